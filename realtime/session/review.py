"""``review.jsonl``: what people said of a session's events, a line a verdict, beside the log and never a change of it.

A line is on disk (fsync) before anybody is told that it is. The last line of a reviewer on an event counts. An event
that the machine missed has ``event`` null; a later line of the same reviewer that overlaps it in time takes its place,
and with the verdict ``false`` takes it back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from realtime.errors import UserError

FILE = "review.jsonl"
Said = Literal["true", "false", "unsure"]
SAID: tuple[Said, ...] = get_args(Said)
Frame = Annotated[int, Meta(ge=0, lt=2**53)]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    event: Annotated[int, Meta(ge=0)] | None
    """Id of the event; null: one that the machine missed."""
    verdict: Said
    label: Annotated[str, Meta(max_length=40)] | None = None
    """What it is, by the reviewer; null: not said."""
    onset: Frame
    """Frame numbers, where the reviewer sees them."""
    apex: Frame
    offset: Frame
    reviewer: Annotated[str, Meta(min_length=1, max_length=60)]
    at: str
    """ISO 8601, UTC."""
    note: Annotated[str, Meta(max_length=2000)] = ""


class Review(msgspec.Struct, frozen=True):
    """All that was said."""

    verdicts: list[Verdict]
    """In the order of writing."""
    damaged: int = 0
    """Lines that can't be read: of a disk that failed, or cut."""


def read(folder: Path | str) -> Review:
    """The review of a session folder; empty where there is none. UserError where it can't be opened."""
    path = Path(folder) / FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return Review([])
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    verdicts, damaged = [], 0
    for line in filter(None, lines):
        try:
            verdicts.append(msgspec.json.decode(line, type=Verdict))
        except (msgspec.DecodeError, ValueError, RecursionError):
            damaged += 1
    return Review(verdicts, damaged)


def append(folder: Path | str, verdict: Verdict) -> None:
    """Write a verdict; on disk when this returns. OSError where the disk does not take it: nothing of it stays."""
    path = os.path.join(folder, FILE)
    new = not os.path.exists(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        line = msgspec.json.encode(verdict) + b"\n"
        if size and os.pread(fd, 1, size - 1) != b"\n":  # what was cut there must not take this line with it
            line = b"\n" + line
        try:
            if os.write(fd, line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)
    if new:
        _sync_folder(folder)


def _sync_folder(folder: Path | str) -> None:
    """The name of a new file is on disk only with its folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def latest(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Of each reviewer the verdict that counts on each event, and the missed ones that were not taken back."""
    known: dict[tuple[str, int], Verdict] = {}
    missed: list[Verdict] = []
    for verdict in verdicts:
        if verdict.event is not None:
            known[verdict.reviewer, verdict.event] = verdict
            continue
        missed = [old for old in missed if not (old.reviewer == verdict.reviewer and _overlap(old, verdict))]
        if verdict.verdict != "false":
            missed.append(verdict)
    return [*known.values(), *missed]


def _overlap(one: Verdict, other: Verdict) -> bool:
    return one.onset <= other.offset and other.onset <= one.offset


class Agreement(msgspec.Struct, frozen=True):
    """Two reviewers on the same events."""

    reviewers: tuple[str, str]
    events: int
    """That both have judged."""
    agreed: int
    """On which they said the same."""
    kappa: float | None
    """Cohen's (1960), of true, false, unsure; null where chance alone explains all, or nothing is shared."""
    label_events: int
    """That both hold for true, with a label."""
    label_kappa: float | None


def agreements(verdicts: Iterable[Verdict]) -> list[Agreement]:
    """Each two reviewers."""
    counting = [verdict for verdict in latest(verdicts) if verdict.event is not None]
    said: dict[str, dict[int, Verdict]] = {}
    for verdict in counting:
        said.setdefault(verdict.reviewer, {})[verdict.event or 0] = verdict
    names = sorted(said)
    return [_agreement(one, other, said) for k, one in enumerate(names) for other in names[k + 1 :]]


def _agreement(one: str, other: str, said: dict[str, dict[int, Verdict]]) -> Agreement:
    pairs = [(said[one][event], said[other][event]) for event in sorted(said[one].keys() & said[other].keys())]
    verdicts = [(a.verdict, b.verdict) for a, b in pairs]
    both = [(a.label, b.label) for a, b in pairs if a.verdict == b.verdict == "true"]
    labels = [(a, b) for a, b in both if a is not None and b is not None]
    agreed = sum(a == b for a, b in verdicts)
    return Agreement((one, other), len(pairs), agreed, cohen_kappa(verdicts), len(labels), cohen_kappa(labels))


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two reviewers beyond chance (Cohen 1960): 1 always, 0 as by chance.

    pairs: what each said of the same thing. None without a pair, or where both always say the same one thing.
    """
    if not pairs:
        return None
    kinds = {kind for pair in pairs for kind in pair}
    count = len(pairs)
    observed = sum(a == b for a, b in pairs) / count
    chance = sum(sum(a == kind for a, _ in pairs) * sum(b == kind for _, b in pairs) for kind in kinds) / count**2
    return None if chance >= 1.0 else (observed - chance) / (1.0 - chance)
