"""BORIS (Friard & Gamba 2016): rows to paste into an observation (events from the clipboard).

Tab-separated, without a head, without a newline at the end, as BORIS splits them: time (s), subject, behaviour code,
modifier, comment, and for an observation of a video the frame's index. A movement is a state event: a row where it
begins, one where it ends; a marker is a point event. The ethogram needs the codes ``micro`` and ``macro`` (state) and
``marker`` (point).
"""

from __future__ import annotations

from pathlib import Path

from realtime.session.export import Place
from realtime.session.load import Session


def write_boris(session: Session, place: Place) -> list[Path]:
    """Of a live session without a video the rows have no frame: BORIS takes them for a live observation only."""
    live = session.first is not None and session.first.live
    video = not live or (session.folder is not None and (session.folder / "frames.mkv").exists())
    rows: list[tuple[float, int, str, str, str]] = []
    for event in session.events:
        comment = f"event {event.id}" + (f", face {event.face}" if event.face else "")
        for t_ns, frame in ((event.onset_t_ns, event.onset), (event.offset_t_ns, event.offset)):
            rows.append((session.seconds(t_ns), frame, event.kind, event.label, comment))
    rows += [(session.seconds(m.t_ns), m.frame, "marker", "", m.text or m.origin) for m in session.markers]
    lines = []
    for seconds, frame, code, modifier, comment in sorted(rows):
        fields = [f"{seconds:.3f}", session.subject, code, modifier, comment, *([str(frame)] if video else [])]
        lines.append("\t".join(" ".join(text.split()) for text in fields))
    path = place.file("" if place.named else "boris")
    path.write_text("\n".join(lines), encoding="utf-8")
    return [path]
