"""The job runner in child processes of this machine; shares of a job array; the time left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from offline.commands import cli
from offline.jobs import Bar, Job, Outcome, Standing, add_options, check_options, content_digest, run_jobs, shard
from offline.jobs import progress as progress_module
from offline.jobs.local import workers_for
from offline.jobs.progress import Estimate
from realtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


def job(folder: Path, name: str, what: str = "write", after: tuple[str, ...] = (), **more: Any) -> Job:
    arguments = {"folder": str(folder), "name": name} | more.pop("arguments", {})
    return Job(key=name, run=f"_jobs:{what}", arguments=arguments, after=after, **more)


def is_written(folder: Path) -> Any:
    return lambda one: (folder / f"{one.key}.json").exists()


def tries(folder: Path) -> Counter[str]:
    return Counter((folder / "tries").read_text().split())


def test_what_is_done_is_not_run_and_a_failure_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    jobs = [job(tmp_path, name) for name in "abcd"]
    jobs[2:2] = [job(tmp_path, "f", "fail"), job(tmp_path, "k", "die"), job(tmp_path, "m", "chatter")]
    outcomes: list[Outcome] = []
    standings: list[Standing] = []
    summary = run_jobs(
        jobs, done=is_written(tmp_path), on_result=outcomes.append, progress=standings.append, workers=2
    )  # fmt: skip
    assert (summary.before, summary.finished, summary.total) == (1, 3, 7)
    errors = {one.job.key: one.error for one in summary.failed}
    assert errors["f"] == "f: is wrong; mend it"
    assert errors["k"] == "its process died, killed by SIGKILL (out of memory?): last words"
    assert "has to write a file" in errors["m"]
    assert sorted(one.job.key for one in outcomes) == sorted("bcdfkm")
    assert tries(tmp_path) == Counter("bcdfk")
    assert all(one.value == {"name": one.job.key, "process": one.value["process"]} for one in outcomes if one.value)
    last = standings[-1]
    assert (last.total, last.done, last.failed, last.left_s) == (7, 7, 3, 0.0)
    assert [one.done for one in standings] == sorted(one.done for one in standings)
    again = run_jobs(jobs, done=is_written(tmp_path), workers=1)
    assert (again.before, again.finished, len(again.failed)) == (4, 0, 3)


def test_children_are_used_again_and_kept_to_their_threads(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    jobs = [job(tmp_path, name, cores=2) for name in "abc"] + [job(tmp_path, "d", cores=1)]
    run_jobs(jobs, done=is_written(tmp_path), on_result=outcomes.append, workers=1)
    used = [one.value["process"] for one in outcomes if one.value]
    assert used[0] == used[1] == used[2] != used[3]
    assert [(tmp_path / f"{name}.json").read_text() for name in "abcd"] == ["2", "2", "2", "1"]


def test_a_job_comes_after_others_and_waits_where_one_failed(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, "last", after=("b", "c")),
        job(tmp_path, "never", after=("f", "b")),
        job(tmp_path, "nor", after=("never",)),
        job(tmp_path, "f", "fail"),
        *(job(tmp_path, name) for name in "bc"),
    ]
    summary = run_jobs(jobs, done=is_written(tmp_path), workers=2)
    order = [name for name in (tmp_path / "tries").read_text().split() if name != "f"]
    assert order in (["b", "c", "last"], ["c", "b", "last"])
    assert [one.key for one in summary.waiting] == ["never", "nor"]
    assert (summary.finished, len(summary.failed), summary.total) == (3, 1, 6)


def test_the_same_key_is_run_once(tmp_path: Path) -> None:
    assert run_jobs([job(tmp_path, "a"), job(tmp_path, "a")], done=is_written(tmp_path)).finished == 1
    assert tries(tmp_path) == Counter("a")


STOPPED = """\
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
from offline.commands import cli
from offline.jobs import Job, run_jobs
folder = sys.argv[1]
jobs = [Job(key=k, run=f"_jobs:{w}", arguments={"folder": folder, "name": k}) for k, w in
        (("a", "write"), ("h", "hang"), ("b", "write"), ("g", "hang"))]
def main(words):
    run_jobs(jobs, done=lambda one: (Path(folder) / f"{one.key}.json").exists(), workers=2, ray=RAY)
sys.exit(cli.run(main, []))
"""


def stop(folder: Path, number: signal.Signals, ray: str | None = None) -> tuple[int, str, list[int]]:
    """Start jobs of which two hang, send the signal; exit code, standard error, processes of those that hung."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED.replace("RAY", repr(ray)), str(folder)],
        env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    files = [folder / "h.pid", folder / "g.pid"]
    try:
        deadline = time.monotonic() + 120
        while not all(file.exists() for file in files):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        hung = [int(file.read_text()) for file in files]
        process.send_signal(number)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    return process.returncode, said, hung


def assert_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_alive(one) for one in processes):
        assert time.monotonic() < deadline, "a job outlived its stop"
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_ends_the_jobs_and_keeps_what_is_finished(tmp_path: Path, number: signal.Signals) -> None:
    code, said, hung = stop(tmp_path, number)
    assert_gone(hung)
    assert {file.name for file in tmp_path.glob("*.json")} == {"a.json", "b.json"}
    if number != signal.SIGKILL:
        assert code == 1
        assert said == "error: stopped; the same command goes on from the last checkpoint\n"


def test_shares_are_whole_apart_and_stay() -> None:
    keys = [content_digest("video", number) for number in range(500)]
    shares = [shard(f"{number}/7", keys) for number in range(1, 8)]
    assert sorted(key for own in shares for key in own) == sorted(keys)
    assert all(40 < len(own) < 105 for own in shares)
    assert shares[2] == [key for key in keys if key in set(shares[2])]
    later = shard("3/7", [*keys[:100], "new one", *keys[100:400]])
    assert set(later) - {"new one"} == set(shares[2]) & set(keys[:400])
    assert shard("1/1", keys) == keys


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "1/2/3", "-1/4", "1/99999999", ""])
def test_a_wrong_share_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shard(text, ["a"])
    assert str(caught.value).startswith(f"--shard {text}: ")
    assert "\n" not in str(caught.value)


def test_digests_tell_contents_apart_in_any_order() -> None:
    assert content_digest("a", {"x": 1, "y": [2]}) == content_digest("a", {"y": [2], "x": 1})
    assert len({content_digest("a", 1), content_digest("a", 1.5), content_digest(["a", 1]), content_digest("a1")}) == 4


def test_workers_by_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    jobs = [Job(key=str(number), run="a:b", cores=3) for number in range(40)]
    assert workers_for(jobs, None) == 5
    assert workers_for(jobs, 7) == 7
    assert workers_for(jobs[:2], 7) == 2
    assert workers_for([Job(key="a", run="a:b", cores=40), *jobs], None) == 1
    assert workers_for([Job(key="a", run="a:b", memory_mb=1 << 40), *jobs], None) == 1


def test_the_time_left_goes_by_group_and_by_what_runs_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    quick = [Job(key=f"q{number}", run="a:b", group="quick") for number in range(4)]
    slow = [Job(key=f"s{number}", run="a:b", group="slow", size=10) for number in range(3)]
    estimate = Estimate([*quick, *slow], total=9)
    assert estimate.standing().left_s is None
    assert estimate.standing().done == 2
    now[0] += 50
    estimate.take(Outcome(job=quick[0], seconds=2))
    estimate.take(Outcome(job=slow[0], seconds=98))
    # 3 quick ones of 2 s and 2 slow ones of 98 s; two went side by side
    assert estimate.standing().left_s == pytest.approx((3 * 2 + 2 * 98) / 2)
    estimate.take(Outcome(job=slow[1], error="failed"))
    assert estimate.standing().left_s == pytest.approx((3 * 2 + 98) / 2)


def test_without_a_terminal_failures_and_standing_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), width=60)
    with Bar(console, "sweep") as bar:
        bar(Standing(total=4, done=1, failed=0, left_s=3.0))
        monkeypatch.setattr(progress_module, "_LINE_EVERY_S", 0.0)
        one = Job(key="k", run="a:b", title="laenet, seed 1")
        bar(Standing(total=4, done=2, failed=1, left_s=3661.4, last=Outcome(job=one, error="no space [left]")))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == ["failed laenet, seed 1: no space [left]", "sweep: 2 of 4, 1 failed, 1:01:01 left"]


def test_ray_that_is_not_installed_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "ray" else find(name))

    def main(words: list[str]) -> None:
        parser = cli.Parser(prog="offline.sweep")
        add_options(parser)
        check_options(parser.parse_args(words))

    assert cli.run(main, ["--ray"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'merealtime[cluster]'" in error
    assert error.count("\n") == 1
    assert cli.run(main, ["--shard", "9/2"]) == 2
    assert cli.run(main, ["--workers", "0"]) == 2
    assert cli.run(main, ["--shard", "2/2", "--workers", "2"]) == 0
