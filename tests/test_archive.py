"""``offline.spot --dataset folder``: a session's lines for each recording, what a rerun does, what a kill leaves."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from _archive import ROOT, command, demo, files, index, spot, states
from _recordings import write_video
from _same_log import told
from _session import Run

from offline.archive import index as joined
from offline.archive import job, records
from offline.archive.records import Digests, Record, Row
from offline.archive.tree import walk
from offline.commands import spot_folder
from offline.jobs import Job, Outcome
from realtime import config


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a face."""
    return write_video(tmp_path_factory.mktemp("short") / "short.mkv", demo(100), "Y800")


@pytest.mark.slow
def test_an_archive_from_end_to_end(tmp_path: Path, short: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "s 01" / "ünï").mkdir(parents=True)
    video = write_video(data / "s 01" / "ünï" / "take 1.mkv", demo(900), "Y800")
    shutil.copy(short, data / "short.mkv")
    (data / "empty.mp4").touch()
    (data / "text.mp4").write_text("no video\n" * 100)
    whole = short.read_bytes()
    (data / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])

    code, said = spot(data, out, "--dry-run")
    assert (code, out.exists()) == (0, False)
    assert "5 recordings" in said
    assert "to do: s 01/ünï/take 1.mkv (new)" in said

    code, said = spot(data, out)
    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith("error: 2 of 5 recordings failed; first: empty.mp4: ")
    rows = index(out)
    bad = ("empty.mp4", "text.mp4")
    assert states(out) == dict.fromkeys(("cut.mkv", "s 01/ünï/take 1.mkv", "short.mkv"), "done") | dict.fromkeys(
        bad, "failed"
    )
    row = rows["s 01/ünï/take 1.mkv"]
    log = out / row["log"]
    assert log == out / "videos" / "s 01" / "ünï" / "take 1.mkv" / "events.jsonl"
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    events = [line for line in lines if line["type"] == "event"]
    assert (row["frames"], row["fps"], row["seconds"], row["dropped"]) == (900, 200.0, 4.5, 0)
    assert row["events"] == len(events) == row["micro"] + row["macro"] >= 1
    assert row["face_share"] > 0.9
    assert row["wall_s"] >= row["decode_s"] + row["landmarks_s"] + row["track_s"] + row["spot_s"] > 0
    assert "recording truncated" in rows["cut.mkv"]["notes"]
    assert rows["text.mp4"]["error"].count("no video that FFmpeg can open") == 1
    assert rows["text.mp4"]["log"] is None

    run = Run(tmp_path, "--camera", str(video), name="session")
    assert run.end()[0] == 0
    assert told(log) == told(run.events)

    before = files(out)
    os.utime(data / "short.mkv", ns=(1, 1))
    code, said = spot(data, out, "--failures-ok")
    assert code == 0
    assert "2 done, 2 failed before, 1 the recording changed" in said
    after = files(out)
    written = {name for name in after if after[name] != before.get(name)}
    assert written == {
        "videos/short.mkv/events.jsonl", "videos/short.mkv/record.json", "videos/empty.mp4/record.json",
        "videos/text.mp4/record.json", "index.parquet",
    }  # fmt: skip
    _, said = spot(data, out, "--dry-run", "--set", "spot.threshold_sigmas=7")
    assert "to do: short.mkv (settings or model changed)" in said
    assert files(out) == after


@pytest.mark.slow
def test_what_kill_9_leaves_does_not_count(tmp_path: Path, short: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(short, data / "a.mkv")
    write_video(data / "b.mkv", demo(900), "FFV1")
    child = subprocess.Popen(command(data, out, "--workers", "1"), cwd=ROOT, stderr=subprocess.DEVNULL)
    part, deadline = [], time.monotonic() + 120
    while not part or not part[0].stat().st_size:
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
        part = list((out / "videos" / "b.mkv").glob("*.part")) if out.exists() else []
    child.send_signal(signal.SIGKILL)
    child.wait()
    tree, digest = walk(data, out), records.settings_digest(config.load())
    assert {row.path: row.state for row in joined.join(out, tree, digest)} == {"a.mkv": "done", "b.mkv": "missing"}
    kept = os.stat(out / "videos" / "a.mkv" / "record.json").st_mtime_ns
    assert spot(data, out)[0] == 0
    assert states(out) == {"a.mkv": "done", "b.mkv": "done"}
    assert os.stat(out / "videos" / "a.mkv" / "record.json").st_mtime_ns == kept
    assert not list(out.rglob("*.part"))
    log = (out / "videos" / "b.mkv" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in log].count("session") == 1


@pytest.mark.slow
def test_shards_share_a_folder_and_make_one_index(tmp_path: Path, short: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    names = [f"{letter}.mkv" for letter in "abcd"]
    for name in names:
        os.link(short, data / name)
    assert spot(data, out, "--shard", "1/2")[0] == 0
    half = states(out)
    assert set(half.values()) == {"done", "missing"}
    both = [subprocess.Popen(command(data, out, "--shard", f"{i}/2"), cwd=ROOT, stderr=subprocess.PIPE) for i in (1, 2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert states(out) == dict.fromkeys(names, "done")


def test_only_what_is_whole_is_done(tmp_path: Path) -> None:
    """After a kill between any two writes: no log yet, a log without its record, half a record, another log."""
    now = Digests(file="f", settings="s", code="c")
    folder = records.folder_of(tmp_path, "a.mp4")

    def state() -> tuple[str, str]:
        found, _, changed = records.standing(tmp_path, "a.mp4", now)
        return found, changed

    assert state() == ("missing", "")
    folder.mkdir(parents=True)
    (folder / records.LOG).write_bytes(b"12345")
    assert state() == ("missing", "")
    record = Record(digests=now, log_bytes=5, row=Row(path="a.mp4", state="done"))
    records.write(tmp_path, record)
    assert state() == ("done", "")
    whole = (folder / records.RECORD).read_bytes()
    for cut in range(0, len(whole) - 2, 7):
        (folder / records.RECORD).write_bytes(whole[:cut])
        assert state() == ("missing", ""), f"cut at {cut}"
    (folder / records.RECORD).write_bytes(whole)
    (folder / records.LOG).write_bytes(b"1234")
    assert state() == ("missing", "")
    (folder / records.LOG).unlink()
    assert state() == ("missing", "")
    for field, said in (("file", "the recording"), ("settings", "settings or model"), ("code", "merealtime")):
        records.write(
            tmp_path, Record(digests=msgspec.structs.replace(now, **{field: "x"}), log_bytes=5, row=record.row)
        )
        assert state() == ("outdated", said)
    records.write(tmp_path, Record(digests=now, log_bytes=None, row=Row(path="a.mp4", state="failed", error="why")))
    assert state() == ("failed", "")


def test_a_part_that_is_still_written_is_left_alone(tmp_path: Path) -> None:
    from realtime.sinks.events import EventLog

    (tmp_path / "events.jsonl.1-a.part").write_bytes(b"of a killed job")
    writer = EventLog(str(tmp_path / "events.jsonl.2-b.part"))
    job._sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["events.jsonl.2-b.part"]
    writer.close()


def test_a_worker_forgets_the_recording_before(tmp_path: Path, short: Path) -> None:
    """A few seconds of pictures are held in circles, which Python alone looks for too seldom."""
    from realtime.vision.spotting.face_meter import FaceMeter

    def held() -> int:
        # isinstance would ask what a weak proxy stands for, which may be gone
        return sum(type(one) is FaceMeter for one in gc.get_objects())

    settings = msgspec.to_builtins(config.load())
    gc.collect()
    before = held()  # by other tests
    gc.disable()
    try:
        for number in range(2):
            job.run(str(short.parent), short.name, "video", str(tmp_path / str(number)), settings)
            assert held() <= before + 1
    finally:
        gc.enable()


def test_a_process_that_dies_is_a_failed_row(tmp_path: Path, short: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(short, data / "a.mkv")
    archive = spot_folder._Archive(data, out, config.load(), None)
    (key,) = archive._by_key
    dead = Outcome(job=Job(key=key, run=job.RUN), error="its process died, killed by SIGSEGV", seconds=2.0)
    archive._on_result(dead)
    archive.write_index()
    row = index(out)["a.mkv"]
    assert (row["state"], row["error"]) == ("failed", "its process died, killed by SIGSEGV")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "{nowhere}"], "no such folder"),
        (["--data", "{empty}"], "no recording below it"),
        (["--data", "{data}", "--shard", "3/2"], "--shard 3/2"),
        (["--data", "{data}", "--model", "nothing"], "no bundle there"),
        (["--data", "{data}", "--set", "spot.nothing=1"], "unknown key spot.nothing"),
        (["--data", "{data}", "--set", "source.live=true"], "source.live"),
        (["--data", "{data}", "--fps", "-5"], "source.fps"),
        (["--data", "{data}", "--ray", "nobody"], "--ray"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    from offline.commands import cli
    from offline.commands import spot as spot_command

    (tmp_path / "empty").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.mp4").touch()
    places = {name: str(tmp_path / name) for name in ("nowhere", "empty", "data")}
    filled = [option.format(**places) for option in options]
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        code = cli.run(spot_command.main, ["--dataset", "folder", "--out", str(tmp_path / "out"), *filled])
    assert code == 2
    assert len(said) == 1
    assert words in said[0]
    assert not (tmp_path / "out").exists()


def test_a_data_set_takes_no_option_of_an_archive() -> None:
    from offline.commands import cli
    from offline.commands import spot as spot_command

    arguments = ["--dataset", "casme_sq", "--data", ".", "--shard", "1/2"]
    assert cli.run(spot_command.main, arguments) == 2


def test_an_archive_needs_no_package_of_training() -> None:
    """A node of a cluster gets by with what a live session needs."""
    words = (
        "import sys\n"
        "from offline import extra\n"
        "for name in set(extra.MODULES) - {'matplotlib'}: sys.modules[name] = None\n"  # which MediaPipe brings
        "from offline.commands import cli\n"
        "sys.exit(cli.command('spot', ['--dataset', 'folder', '--data', '/nowhere']))"
    )
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such folder" in done.stderr
