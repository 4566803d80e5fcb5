"""The review page's server: what it shows of a session, whole or not; a verdict is on disk before it says so."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from _recordings import read_all
from _session_folder import events_of, with_clips_only, without_frames

from realtime.errors import MerealtimeError, UserError
from realtime.session import review
from realtime.session.pictures import Pictures
from realtime.session.write import Recorder
from realtime.types import SourceInfo
from realtime.web import command
from realtime.web.address import Address
from realtime.web.recorded import Recorded
from realtime.web.review import ReviewPage

HERE = "http://127.0.0.1:8411"


class Asked:
    """A review page over a session folder, asked as a browser asks."""

    def __init__(self, session: Path) -> None:
        self.recorded = Recorded(session)
        self.page = ReviewPage(self.recorded)
        self._app = self.page.app(Address("127.0.0.1", 8411))

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path))

    def json(self, path: str) -> Any:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def judge(self, **fields: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", "/verdict", fields))

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url=HERE) as client:
            return await client.request(method, path, json=body)


@pytest.fixture
def session(recorded_session: Path, tmp_path: Path) -> Path:
    """Of one's own, to write verdicts into; the frames are those of the shared one."""
    own = without_frames(recorded_session, tmp_path / "session")
    for name in ("frames.mkv", "frames.csv"):
        os.link(recorded_session / name, own / name)
    return own


@pytest.fixture
def asked(session: Path) -> Iterator[Asked]:
    made = Asked(session)
    yield made
    made.recorded.close()


def verdict_of(event: dict[str, Any], reviewer: str = "Ada", **other: Any) -> dict[str, Any]:
    moments = {moment: event[moment] for moment in ("onset", "apex", "offset")}
    return {"event": event["id"], "verdict": "true", "label": "surprise", **moments, "reviewer": reviewer, **other}


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("form", ["raw", "ffv1"])
def test_single_pictures_are_those_that_were_recorded(tmp_path: Path, clip: str, form: str) -> None:
    _, _, frames, _ = read_all(clip)
    frames = frames[:90]
    info = SourceInfo(source="x", kind="demo", width=480, height=360, fps=200.0)
    recorder = Recorder(str(tmp_path), "one", info, 200.0, form)
    numbers = [k + 3 * (k >= 40) for k in range(len(frames))]
    for number, frame in zip(numbers, frames, strict=True):
        recorder.write(frame, number, number * 5_000_000, 0)
    recorder.close()
    pictures = Pictures(tmp_path / "one" / "frames.mkv")
    assert pictures.frames[:, 0].tolist() == numbers
    for k in (0, 89, 41, 40, 39, 60, 5):
        np.testing.assert_array_equal(pictures.picture(numbers[k]), frames[k])
    assert pictures.picture(41) is None, "it was lost"
    assert pictures.picture(10**6) is None
    pictures.close()


def test_pictures_of_a_recording_that_was_cut(tmp_path: Path, recorded_session: Path) -> None:
    data = (recorded_session / "frames.mkv").read_bytes()[: 10 * 480 * 360]
    (tmp_path / "frames.mkv").write_bytes(data)
    shutil.copy(recorded_session / "frames.csv", tmp_path)
    pictures = Pictures(tmp_path / "frames.mkv")
    assert len(pictures.frames) == 9
    assert pictures.picture(8) is not None
    assert pictures.picture(9) is None
    pictures.close()
    (tmp_path / "frames.csv").unlink()
    with pytest.raises(MerealtimeError, match="no frame table"):
        Pictures(tmp_path / "frames.mkv")


# ---------------------------------------------------------------- what is shown


def test_the_account_of_a_whole_session(asked: Asked, session: Path) -> None:
    account = asked.json("/session")
    logged = events_of(session)
    assert logged, "the clip has events"
    assert [event["id"] for event in account["events"]] == [event["id"] for event in logged]
    assert (account["pictures"], account["curves"], account["faces"], account["fps"]) == ("all", True, [0], 200.0)
    for event, line in zip(account["events"], logged, strict=True):
        assert event["onset_s"] == pytest.approx(line["onset"] / 200, abs=1e-6)
    assert account["seconds"] == pytest.approx(599 / 200, abs=0.01)
    assert (account["verdicts"], account["agreements"]) == ([], [])


def test_curves_keep_every_peak_however_few_points_there_are(asked: Asked) -> None:
    rows = asked.recorded.curves
    for bins in (3, 40, 5000):
        found = asked.json(f"/curves?from=0&to=10&bins={bins}")
        assert len(found["s"]) == min(bins, len(rows))
        for name, values in found["regions"].items():
            assert max(values) == pytest.approx(float(rows[name].max()), abs=1e-4)
    assert asked.json("/curves?from=5&to=6")["s"] == []
    assert asked.json("/curves?face=7")["s"] == []


def test_a_clip_and_its_pictures(asked: Asked, session: Path, clip: str) -> None:
    _, _, frames, _ = read_all(clip)
    event = events_of(session)[0]
    found = asked.json(f"/clip?event={event['id']}")
    numbers = [number for number, _ in found["frames"]]
    assert numbers == list(range(max(0, event["onset"] - 100), min(599, event["offset"] + 100) + 1))
    assert found["pictures"] is True
    x0, y0, x1, y1 = found["box"]
    assert -50 < x0 < x1 < 530
    assert -50 < y0 < y1 < 410
    response = asked.get(f"/picture/{event['apex']}?event={event['id']}")
    assert (response.headers["content-type"], response.headers["cache-control"]) == ("image/jpeg", "no-store")
    shown = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(shown.astype(int) - frames[event["apex"]]).mean() < 2
    assert asked.get("/picture/99999").status_code == 404


def test_an_event_computed_again_is_what_the_live_session_saw(asked: Asked, session: Path) -> None:
    event = next(event for event in events_of(session) if event["kind"] == "micro")
    found = asked.json(f"/maps?event={event['id']}")
    assert found["model"] == "laenet-composite"
    assert found["scores"] == pytest.approx(event["scores"], abs=0.12)
    assert found["label"] == event["label"]
    assert (found["width"], found["height"], found["size"]) == (140, 170, 28)
    moved = asked.json(f"/maps?event={event['id']}&apex={event['apex'] - 8}")
    assert moved["map"] != found["map"]


@pytest.mark.parametrize(
    "path",
    ["/maps?event=0&onset=50&apex=20", "/maps", "/maps?event=0&apex=nan", "/maps?event=0&apex=1e400",
     "/maps?event=9999", "/maps?onset=1&apex=2&offset=3000", "/clip?event=-1", "/clip?event=x", "/clip?event=99",
     "/curves?from=x", "/curves?bins=inf", "/picture/1?event=88", "/picture/-1", "/picture/1e3",
     "/picture/..%2fsession.json", "/picture/" + "9" * 400, "/session.json", "/events.jsonl", "/review.jsonl",
     "/static/../review.py"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(asked: Asked, path: str) -> None:
    response = asked.get(path)
    assert 400 <= response.status_code < 500, response.text
    assert "Traceback" not in response.text


def test_huge_numbers_cost_nothing(asked: Asked) -> None:
    assert len(asked.json("/clip?first=0&last=999999999999")["frames"]) <= 4001
    assert len(asked.json("/curves?from=-1e11&to=1e11&bins=1e11")["s"]) <= 4000
    assert asked.json("/clip?first=-999999999999&last=5")["frames"][0][0] == 0


def test_a_session_of_clips_alone(recorded_session: Path, tmp_path: Path) -> None:
    asked = Asked(with_clips_only(recorded_session, tmp_path / "clips-only"))
    event = events_of(recorded_session)[0]
    assert asked.json("/session")["pictures"] == "clips"
    found = asked.json(f"/clip?event={event['id']}")
    assert found["pictures"] is True
    numbers = [number for number, _ in found["frames"]]
    assert numbers == list(range(max(0, event["onset"] - 40), min(599, event["offset"] + 40) + 1))
    assert asked.get(f"/picture/{event['apex']}?event={event['id']}").status_code == 200
    assert asked.get(f"/picture/{event['apex']}").status_code == 404, "no event, no clip"
    assert asked.json(f"/maps?event={event['id']}")["scores"] == pytest.approx(event["scores"], abs=0.12)
    assert asked.json("/clip?first=300&last=300")["pictures"] is False
    asked.recorded.close()


def test_a_session_without_frames_or_curves_or_whole_lines(recorded_session: Path, tmp_path: Path) -> None:
    session = without_frames(recorded_session, tmp_path / "bare")
    event = events_of(session)[0]
    asked = Asked(session)
    assert asked.json("/session")["pictures"] == "none"
    assert asked.json(f"/clip?event={event['id']}")["frames"][0][0] == max(0, event["onset"] - 100)
    response = asked.get(f"/maps?event={event['id']}")
    assert (response.status_code, response.json()["error"]) == (422, "no frames of it were recorded")
    (session / "curves.parquet").unlink()
    (session / "session.json").unlink()
    log = session / "events.jsonl"
    log.write_bytes(log.read_bytes() + b'{"type":"event","id":99,"ons')
    asked = Asked(session)
    account = asked.json("/session")
    assert (account["curves"], account["damaged"], len(account["events"])) == (False, 1, len(events_of_whole(log)))
    assert asked.json(f"/clip?event={event['id']}")["frames"][0][0] == max(0, event["onset"] - 100)
    assert asked.judge(**verdict_of(event)).status_code == 200


def events_of_whole(log: Path) -> list[bytes]:
    return [
        line for line in log.read_bytes().splitlines() if line.startswith(b'{"type":"event"') and line.endswith(b"}")
    ]


# ---------------------------------------------------------------- verdicts


def test_a_verdict_is_on_disk_before_the_page_says_so(
    asked: Asked, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, synced = events_of(session)[0], []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    response = asked.judge(**verdict_of(event, apex=event["apex"] - 3, note="lid"))
    assert response.json()["ok"] is True
    path = session / "review.jsonl"
    assert synced == [str(path), str(session)], "the line, and with a new file its name"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (line,) = map(json.loads, path.read_text().splitlines())
    assert line == {**verdict_of(event, apex=event["apex"] - 3, note="lid"), "at": response.json()["verdict"]["at"]}
    assert (session / "events.jsonl").read_text().count('"verdict"') == 0


def test_a_verdict_that_the_disk_does_not_take_is_not_said_to_be_there(
    asked: Asked, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = events_of(session)[0]
    assert asked.judge(**verdict_of(event)).status_code == 200
    before = (session / "review.jsonl").read_bytes()

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    response = asked.judge(**verdict_of(event, verdict="false"))
    assert response.status_code == 507
    assert "not written (Input/output error)" in response.json()["error"]
    assert (session / "review.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [{"verdict": "maybe"}, {"reviewer": "  "}, {"reviewer": "x" * 61}, {"reviewer": "a\u0007"},
     {"onset": 90, "apex": 20}, {"onset": -5}, {"offset": 2**60}, {"apex": "12"}, {"event": 4711}, {"event": True},
     {"event": -1}, {"label": "x" * 41}, {"note": "x" * 2001}, {"more": 1}, {"onset": 7, "apex": 7, "offset": 7}],
)  # fmt: skip
def test_verdicts_that_are_none_leave_no_trace(asked: Asked, session: Path, wrong: dict[str, Any]) -> None:
    response = asked.judge(**{**verdict_of(events_of(session)[0]), **wrong})
    assert 400 <= response.status_code < 500
    assert response.json()["ok"] is False
    assert not (session / "review.jsonl").exists()


def test_two_reviewers_and_a_missed_event(asked: Asked, session: Path) -> None:
    events = events_of(session)
    for reviewer, said in (("Ada", "true"), ("Ben", "false")):
        for event in events:
            assert (
                asked.judge(**verdict_of(event, reviewer, verdict=said if event["id"] else "true")).status_code == 200
            )
    missed = {"event": None, "verdict": "true", "label": None, "onset": 10, "apex": 20, "offset": 40, "reviewer": "Ada"}
    assert asked.judge(**missed).status_code == 200
    assert asked.judge(**{**missed, "onset": 12}).status_code == 200, "the same one, moved"
    account = asked.json("/session")
    assert [v["onset"] for v in account["verdicts"] if v["event"] is None] == [12]
    (pair,) = account["agreements"]
    counted = [v for v in review.read(session).verdicts if v.event is not None]
    assert (pair["reviewers"], pair["events"]) == (["Ada", "Ben"], len(counted) // 2)
    assert pair["agreed"] == 1
    response = asked.judge(**{**missed, "onset": 13, "verdict": "false"})
    assert not [v for v in response.json()["verdicts"] if v["event"] is None], "taken back"


# ---------------------------------------------------------------- the command


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, why in (
        ([str(tmp_path / "none")], "no such folder"),
        ([str(tmp_path)], "holds no session"),
        ([str(tmp_path), "--port", "70000"], "0 to 65535"),
    ):
        assert command.review([*words, "--no-browser"]) == 2
        said = capsys.readouterr().err
        assert why in said
        assert said.count("\n") == 1
    with pytest.raises(UserError):
        Recorded(tmp_path / "none")


@pytest.mark.parametrize(("facts", "least"), [({"least_spot_score": 1e3}, 1e3), ({"least_spot_score": "x"}, None)])
def test_a_movement_looked_at_again_is_named_by_the_sessions_own_rules(
    facts: dict[str, object], least: float | None, recorded_session: Path
) -> None:
    from realtime.config import RecognitionSettings
    from realtime.web.look_again import Looker
    from realtime.web.recorded import Recorded

    recorded = Recorded(recorded_session)
    recorded.session.facts["settings"]["recognition"] = facts
    looker = Looker(recorded, threading.Lock())
    event = next(event for event in recorded.events if event.label != "uncertain")
    found = looker.look(event, (event.onset, event.apex, event.offset))
    assert found["label"] == ("uncertain" if least else event.label)
    assert looker._settings.least_spot_score == (least or RecognitionSettings().least_spot_score)
    recorded.close()
