"""``--record DIR --dry-run``: its figures are those of the recording that follows, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime import config
from realtime.cli import main
from realtime.errors import UserError
from realtime.session import estimate
from realtime.supervisor import Supervisor

FRAMES = 120


@pytest.mark.parametrize("form", ["raw", "ffv1"])
def test_it_tells_what_the_recording_then_takes(form: str, tmp_path: Path) -> None:
    given = {"source.frames": FRAMES, "output.record": str(tmp_path), "output.record_format": form}
    settings = config.load(None, given | {"output.view": "none"})

    info, frames = estimate._first_frames(settings)
    told = estimate.frame_bytes(frames, info, form)
    assert not list(tmp_path.iterdir())

    supervisor = Supervisor(settings)
    assert supervisor.run() == 0
    (video,) = tmp_path.glob("*/frames.mkv")
    assert video.stat().st_size / FRAMES == pytest.approx(told, rel=0.03)


def test_the_command_says_the_sums_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "to come"
    assert main(["--record", str(folder), "--duration", "3600", "--dry-run"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["frames"] == "all, raw, 307 kB each"
    assert lines["in"].endswith("221 GB an hour")
    assert lines["asked"].startswith("60 min: 221 GB")
    assert not folder.exists()


def test_more_than_there_is_room_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_free_bytes", lambda _: 10**9)
    assert main(["--record", str(tmp_path), "--duration", "60", "--dry-run"]) == 0
    assert "MORE THAN THERE IS ROOM FOR" in capsys.readouterr().out


def test_without_a_folder_there_is_nothing_to_tell() -> None:
    with pytest.raises(UserError, match="--record DIR"):
        estimate.tell(config.load(None, {}))
