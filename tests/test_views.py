"""What a terminal shows: the live view and the plain one."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from _lines import SESSION, SUMMARY, classified, tick_line
from rich.console import Console

from realtime.sinks import lines
from realtime.sinks.live import LiveView, sparkline
from realtime.sinks.plain import PlainView, describe


@pytest.mark.parametrize(
    "line",
    [
        SESSION,
        SUMMARY,
        lines.event_line(classified(), 20_000_000),
        lines.GapLine(first=1, last=3, count=3, cause="ring"),
        lines.NoticeLine(what="face lost", detail="", t_ns=0),
    ],
    ids=lambda line: type(line).__name__,
)
def test_plain_view_says_each_in_one_line(line: lines.AnyLine, capsys: pytest.CaptureFixture[str]) -> None:
    PlainView().line(line)
    text = capsys.readouterr().out
    assert text == describe(line) + "\n"
    assert text.count("\n") == 1


def _shown_view() -> tuple[LiveView, lines.State]:
    view = LiveView(Console(file=io.StringIO(), width=120))
    view.line(SESSION)
    for step in range(30):
        peak = {"mouth": step / 10, "brow": 0.1}
        view.line(tick_line(step, peak))
    view.line(lines.event_line(classified(), 20_000_000))
    view.line(lines.GapLine(first=1, last=3, count=3, cause="ring"))
    state = lines.State(
        phase="running", fps=199.5, analysed=400, dropped={"ring": 3}, face=True, load={"spot": 0.42},
        queue={"spot": 2}, alive={"spot": "ready", "motion": "starting"},
    )  # fmt: skip
    return view, state


def test_live_view_shows_what_matters() -> None:
    view, state = _shown_view()
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(view.render(state))
    text = console.export_text()
    for word in (
        "199.5 fps", "of 200 asked", "3 ring", "found", "42%", "starting", "mouth", "2.90", "surprise", "0.70",
        "20 ms", "gap",
    ):  # fmt: skip
        assert word in text, word
    face_lost = lines.State(phase="running", face=False, alive={})
    console.print(view.render(face_lost))
    assert "lost" in console.export_text()


def test_views_of_several_faces_say_whose(capsys: pytest.CaptureFixture[str]) -> None:
    several, done = msgspec.structs.replace(SESSION, faces=3), classified()
    event = lines.event_line(msgspec.structs.replace(done, event=msgspec.structs.replace(done.event, face=2)), 0)
    plain, view = PlainView(), LiveView(Console(file=io.StringIO(), width=120))
    for sink in (plain, view):
        sink.line(several)
        sink.line(event)
    assert "event  0 face 2 micro surprise" in capsys.readouterr().out
    for step in range(70):  # face 2 leaves at 60; nobody is left at 65
        for face in (0, 2) if step < 60 else (0,):
            view.line(tick_line(step, {"mouth": 1.0 + face, "brow": 0.5}, face, step < 65))
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(view.render(lines.State(phase="running", face=True)))
    text = console.export_text()
    curves = {row.split()[2]: row for row in text.splitlines() if "↑" in row}
    assert curves.keys() == {"0", "2"}, "a row a face"
    assert all(" 0.00 " in row for row in curves.values()), "both are gone"
    assert "↑1.00" in curves["0"]
    assert "↑3.00" in curves["2"]
    assert "face" in next(row for row in text.splitlines() if "kind" in row)


def test_live_view_fits_a_small_terminal() -> None:
    view, state = _shown_view()
    view._console = Console(file=io.StringIO(), width=80)
    for step in range(100):
        peak = {"mouth": step / 10, "right_eye_brow": 0.01}
        view.line(tick_line(step, peak))
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(view.render(state))
    rows = [row for row in console.export_text().splitlines() if "↑" in row]
    assert len(rows) == 3  # none is wrapped
    mouth, _, still = rows
    assert "█" in mouth
    assert not set("▁▂▃▄▅▆▇█") & set(still), "noise stays flat beside a movement"


def test_live_view_exports_a_picture(tmp_path: Path) -> None:
    view, state = _shown_view()
    view.export_svg(str(tmp_path / "view.svg"), state)
    assert (tmp_path / "view.svg").read_text().lstrip().startswith("<svg")


def test_live_view_draws_and_ends_with_the_summary() -> None:
    view, state = _shown_view()
    view.show(state)
    view.line(SUMMARY)
    view.close()
    text = view._console.file.getvalue()  # type: ignore[attr-defined]
    assert "199.5" in text
    assert "10 frames" in text.splitlines()[-1]


def test_sparkline() -> None:
    from collections import deque

    assert sparkline(deque([0.0, 0.5, 1.0, 2.0, -1.0]), 1.0) == " ▄██ "
