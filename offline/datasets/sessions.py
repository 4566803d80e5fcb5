"""A lab's own recordings: session folders (``merealtime --record``) that somebody has reviewed.

A clip is what a reviewer called true and gave one of the three labels, with the onset, apex and offset of the reviewer;
who was recorded stands in ``session.json`` (``--subject``). Of several reviewers all must agree. Frames are read where
they are, from ``clips/event-<id>.mkv`` or ``frames.mkv``: nothing is copied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from offline.datasets.common import MARGIN_S, Clip, Loaded, Skipped, frame_in, too_few
from realtime.errors import DatasetError, MerealtimeError, UserError
from realtime.session import review
from realtime.session.load import Session
from realtime.session.load import load as load_session
from realtime.session.pictures import Pictures
from realtime.session.review import Verdict
from realtime.types import LABELS

NAME = "sessions"
LEAST_SUBJECTS = 3
"""Leave-one-subject-out over fewer says nothing about the next person."""
LEAST_LABELS = 2
"""So many of the three labels, each from two subjects at least: else there is nothing to tell apart."""


def load(root: Path) -> Loaded:
    """Every reviewed session in or below ``root``. DatasetError where there are too few subjects or labels."""
    folders = sorted({path.parent for path in root.rglob(review.FILE)}) if root.is_dir() else []
    if not folders:
        raise DatasetError(f"{root}: no reviewed session; give the folder of --record after merealtime review")
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for folder in folders:
        for found in _clips(folder):
            (clips if isinstance(found, Clip) else skipped).append(found)  # type: ignore[arg-type]
    _check(root, clips, skipped)
    return Loaded(tuple(clips), tuple(skipped))


def _check(root: Path, clips: list[Clip], skipped: list[Skipped]) -> None:
    people: dict[int, set[str]] = defaultdict(set)
    for clip in clips:
        people[clip.label].add(clip.subject)
    subjects = set().union(*people.values())
    enough = [label for label, own in people.items() if len(own) > 1]
    if len(subjects) >= LEAST_SUBJECTS and len(enough) >= LEAST_LABELS:
        return
    have = ", ".join(f"{sum(c.label == k for c in clips)} {name}" for k, name in enumerate(LABELS))
    why = f"; {len(skipped)} left out, as {skipped[0].clip}: {skipped[0].why}" if skipped else ""
    raise DatasetError(
        f"{root}: too little to train on: {len(subjects)} subjects ({have}); it takes {LEAST_SUBJECTS} subjects and "
        f"{LEAST_LABELS} labels of two subjects each: record and review more{why}"
    )


def _clips(folder: Path) -> Iterator[Clip | Skipped]:
    """Of one session: the events that were called true, and why one can't be used."""
    try:
        session = load_session(folder)
    except UserError as error:
        yield Skipped(folder.name, str(error))
        return
    for name, said in _by_event(session.verdicts):
        clip = f"{session.subject or '?'}/{folder.name}/{name}"
        if any(verdict.verdict != "true" for verdict in said):
            if any(verdict.verdict == "true" for verdict in said):
                yield Skipped(clip, "the reviewers disagree whether it is true")
            continue
        labels = {verdict.label for verdict in said}
        if len(labels) > 1:
            yield Skipped(clip, f"the reviewers disagree: {' or '.join(sorted(str(label) for label in labels))}")
        elif said[-1].label not in LABELS:
            yield Skipped(clip, f"label {said[-1].label!r} is none of {', '.join(LABELS)}")
        elif not session.subject:
            yield Skipped(clip, 'session.json names no subject: add "subject", or record with --subject')
        else:
            yield _clip(session, folder, name, said[-1])


def _by_event(verdicts: list[Verdict]) -> Iterator[tuple[str, list[Verdict]]]:
    """Name and verdicts of each event; those that the machine missed are one reviewer's each."""
    known: dict[int, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.event is None:
            yield f"missed-{verdict.onset}", [verdict]
        else:
            known[verdict.event].append(verdict)
    for event, said in sorted(known.items()):
        yield f"event-{event}", said


def _clip(session: Session, folder: Path, name: str, verdict: Verdict) -> Clip | Skipped:
    who = f"{session.subject}/{folder.name}/{name}"
    own = folder / "clips" / f"{name}.mkv"
    video = own if own.exists() else folder / "frames.mkv"
    try:
        pictures = Pictures(video)
    except MerealtimeError as error:
        return Skipped(who, f"missing frames: {error}")
    there = pictures.frames[:, 0].tolist()
    pictures.close()
    onset, offset = verdict.onset, verdict.offset
    if why := too_few(there, onset, offset):
        return Skipped(who, f"missing frames: {why} {video}")
    numbers = tuple(n for n in there if onset <= n <= offset)
    reach = round(MARGIN_S * session.fps)
    margin = tuple(n for n in there if onset - reach <= n < onset or offset < n <= offset + reach)
    return Clip(
        dataset=NAME,
        subject=session.subject,
        name=f"{folder.name}_{name}",
        label=LABELS.index(str(verdict.label)),
        emotion=str(verdict.label),
        onset=onset,
        apex=verdict.apex if onset < verdict.apex <= offset and verdict.apex in numbers else None,
        offset=numbers[-1],
        numbers=numbers,
        files=tuple(frame_in(video, n) for n in numbers),
        margin_numbers=margin,
        margin_files=tuple(frame_in(video, n) for n in margin),
        fps=session.fps,
    )
