"""Jobs on Ray: two nodes of which one is killed, what a node lacks, an ordered stop. Skips where Ray is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _jobs import CAUGHT, two_ray_nodes
from test_jobs import assert_gone, is_written, job, stop, tries

from offline.jobs import Job, Outcome, Standing, cluster, remote, run_jobs
from realtime.errors import ConfigError, UserError

pytest.importorskip("ray", reason="Ray (the extra merealtime[cluster]) is not installed")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def quiet_ray() -> Iterator[None]:
    """Workers find the tests' functions, as they would find an installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster whose head has one core, and a node with two more; (cluster, node)."""
    with two_ray_nodes(2) as nodes:
        yield nodes


def threads_here() -> str:
    """Of NumPy in a process by itself."""
    words = "import numpy, threadpoolctl as t; print(t.threadpool_info()[0]['num_threads'])"
    return subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_node_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path, two_nodes: tuple[Any, Any]) -> None:
    import ray

    made, node = two_nodes
    (tmp_path / "doomed").write_text(node.node_id)
    names = [f"job{number:02d}" for number in range(10)]
    jobs = [job(tmp_path, name, "unless_doomed", cores=number % 2) for number, name in enumerate(names)]
    jobs.append(job(tmp_path, "wrong", "fail"))
    outcomes: list[Outcome] = []
    killed: list[bool] = []

    def kill_in_the_middle(now: Standing) -> None:
        """When the doomed node is at work and others have finished."""
        if not killed and now.done and (tmp_path / CAUGHT).exists():
            made.remove_node(node, allow_graceful=False)
            killed.append(True)

    summary = run_jobs(
        jobs, done=is_written(tmp_path), on_result=outcomes.append, ray="", progress=kill_in_the_middle, out=tmp_path,
        needs=[tmp_path],
    )  # fmt: skip
    assert killed
    assert (summary.finished, [one.job.key for one in summary.failed]) == (10, ["wrong"])
    assert Counter(one.job.key for one in outcomes) == Counter([*names, "wrong"])
    assert tries(tmp_path) == Counter([*names, "wrong"])  # who hung on the killed node wrote nothing there
    assert {file.stem for file in tmp_path.glob("*.json")} == set(names)
    assert not list(tmp_path.glob(".node-check*"))
    alone = threads_here()
    for number, name in enumerate(names):  # Ray's own limit would make other sums than a run by itself
        assert (tmp_path / f"{name}.json").read_text() == ("1" if number % 2 else alone)
    assert ray.is_initialized()  # it was the caller's
    again = run_jobs(jobs, done=is_written(tmp_path), ray="", out=tmp_path)
    assert (again.before, again.finished, len(again.failed)) == (10, 0, 1)

    for missing, words in (({"gpus": 3}, "3 GPU"), ({"cores": 900}, "900 cores"), ({"memory_mb": 1 << 40}, "MB")):
        with pytest.raises(UserError, match=words) as caught:
            run_jobs([job(tmp_path, "large", title="a large one", **missing)], done=lambda _: False, ray="")
        assert "a large one needs" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"node [\d.]+: /nowhere/data is not there") as caught:
        run_jobs(jobs, done=lambda _: False, ray="", needs=[tmp_path, Path("/nowhere/data")])
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM])  # for which Ray has a handler of its own
def test_a_stop_ends_the_jobs_and_a_cluster_of_ours(tmp_path: Path, number: signal.Signals) -> None:
    code, said, hung = stop(tmp_path, number, ray="")
    assert_gone(hung)
    assert code == 1
    assert said.splitlines()[-1] == "error: stopped; the same command goes on from the last checkpoint"
    assert {file.name for file in tmp_path.glob("*.json")} <= {"a.json", "b.json"}


def test_addresses_that_lead_nowhere_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    for address in ("here", "ray://a:1", "a b:1", "::", "host:port"):
        with pytest.raises(ConfigError, match="--ray"):
            cluster.check(address)
    with pytest.raises(UserError, match=r"--ray 127.0.0.1:9: no Ray cluster answers there") as caught:
        cluster.check("127.0.0.1:9")
    assert "\n" not in str(caught.value)

    def nobody(**_: Any) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    monkeypatch.setattr(ray, "init", nobody)  # there may be one on this machine
    with pytest.raises(UserError, match=r"no Ray cluster can be joined: .*find any running"):
        run_jobs([Job(key="a", run="_jobs:write")], done=lambda _: False, ray="auto")


def bare(words: str, folder: Path) -> str:
    """What an interpreter without our code says: `remote` alone, as Ray ships it."""
    shutil.copy(remote.__file__, folder / "shipped.py")
    words = f"import sys; sys.path[:] = [p for p in sys.path if 'merealtime' not in p]; import shipped as s; {words}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", words], cwd=folder, env={}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_node_says_what_it_lacks(tmp_path: Path) -> None:
    digest = remote.code_digest(str(ROOT))
    nowhere = bare(f"print(s.inspect('/nowhere', '{digest}', [], None))", tmp_path)
    assert nowhere == (
        "there is no /nowhere and merealtime is not installed: share the folder, or install it there"
    )  # fmt: skip
    assert bare(f"print(s.inspect('{ROOT}', '{digest}', [], None))", tmp_path) == ""
    assert "another version of merealtime" in bare(f"print(s.inspect('{ROOT}', 'abc', [], None))", tmp_path)
    task = bare("print(s.task('/nowhere', '', 'os:getpid', {}, {})['error'])", tmp_path)
    assert task.startswith("node ")
    assert task.endswith("or install it there")
    token = tmp_path / "results" / "token"
    said = bare(f"print(s.inspect('{ROOT}', '{digest}', [], '{token}'))", tmp_path)
    assert said == f"{token.parent} is not the folder of results that the others see: share it at the same path"
