"""ELAN (``.eaf``): tiers micro, macro, label, marker and verdict, ms from the session's start.

Annotations of one tier may not overlap in ELAN: what would, goes to ``micro-2``, ``micro-3`` … Written by pympi.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from realtime.errors import UserError
from realtime.session.export import Place
from realtime.session.load import Session
from realtime.session.read import read_frame_table

_Span = tuple[int, int, str]
"""From, to (ms), text."""
_TIERS = ("micro", "macro", "label", "marker", "verdict")


def write_elan(session: Session, place: Place) -> list[Path]:
    """UserError where pympi is not installed."""
    try:
        from pympi import Elan
    except ImportError:
        raise UserError("--format elan: needs pympi: pip install 'merealtime[lab]'") from None
    eaf = Elan.Eaf(author="merealtime")
    eaf.remove_tier("default")
    video = _video(session)
    if video is not None:
        eaf.add_linked_file(video.resolve().as_uri(), relpath=f"./{video.name}", mimetype="video/x-matroska")
    for name, spans in zip(_TIERS, _spans(session), strict=True):
        eaf.add_tier(name)
        for tier, begin, end, text in _without_overlap(name, spans):
            if tier not in eaf.get_tier_names():
                eaf.add_tier(tier)
            eaf.add_annotation(tier, begin, end, text)
    path = place.file()
    if path.exists():  # pympi would keep the older one under another name
        path.unlink()
    eaf.to_file(str(path))
    return [path]


def _video(session: Session) -> Path | None:
    """The recording, where its time is the session's: no frame is missing in it."""
    if session.folder is None or not (session.folder / "frames.mkv").exists():
        return None
    numbers = read_frame_table(str(session.folder / "frames.csv")).rows[:, 0]
    whole = len(numbers) > 0 and bool((numbers == np.arange(len(numbers))).all())
    return session.folder / "frames.mkv" if whole else None


def _spans(session: Session) -> list[list[_Span]]:
    """Of each tier."""

    def ms(seconds: float) -> int:
        return max(0, round(seconds * 1000))

    events = [(ms(session.seconds(e.onset_t_ns)), ms(session.seconds(e.offset_t_ns)), e) for e in session.events]
    micro, macro = ([(a, b, f"{e.id}") for a, b, e in events if e.kind == kind] for kind in ("micro", "macro"))
    labels = [(a, b, e.label) for a, b, e in events]
    at = [(ms(session.seconds(m.t_ns)), m.text or "mark") for m in session.markers]
    verdicts = [
        (
            ms(session.frame_seconds(v.onset)),
            ms(session.frame_seconds(v.offset)),
            " ".join(filter(None, (v.verdict, v.label, f"({v.reviewer})"))),
        )
        for v in session.verdicts
    ]
    return [micro, macro, labels, [(a, a + 1, text) for a, text in at], verdicts]


def _without_overlap(name: str, spans: Iterable[_Span]) -> list[tuple[str, int, int, str]]:
    """Each with the first tier on which there is room for it; at least 1 ms long."""
    ends: list[int] = []
    placed = []
    for begin, end, text in sorted(spans):
        row = next((k for k, last in enumerate(ends) if begin >= last), len(ends))
        ends[row : row + 1] = [max(end, begin + 1)]
        placed.append((name if row == 0 else f"{name}-{row + 1}", begin, ends[row], text))
    return placed
