"""An archive on Ray: two nodes of which one is killed in the middle. Skips where Ray is missing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _archive import ROOT, demo, index
from _jobs import two_ray_nodes
from _recordings import write_video
from _same_log import told

from offline import jobs
from offline.commands import cli, spot
from offline.jobs import Standing

pytest.importorskip("ray", reason="Ray (the extra merealtime[cluster]) is not installed")


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """A cluster with one core on its head and one on a second node; (cluster, second node)."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with two_ray_nodes(1) as nodes:
        yield nodes


@pytest.mark.skipif(
    not os.environ.get("MEREALTIME_LONG"), reason="test_jobs_ray.py kills a node too; MEREALTIME_LONG=1 runs it"
)
@pytest.mark.slow
def test_a_killed_node_loses_nothing_and_doubles_nothing(
    tmp_path: Path, two_nodes: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, node = two_nodes
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    short = write_video(tmp_path / "short.mkv", demo(300), "FFV1")
    names = [f"{letter}.mkv" for letter in "abcdef"]
    for name in names:
        os.link(short, data / name)
    (data / "bad.mp4").write_text("no video")
    ended: list[str] = []

    class Killing(jobs.Bar):
        """Kills the second node while it writes a log and others have finished."""

        def __call__(self, now: Standing) -> None:
            super().__call__(now)
            if now.last is not None:
                ended.append(now.last.job.title)
            if now.done >= 2 and node in made.worker_nodes and len(list(out.rglob("events.jsonl.*.part"))) == 2:
                made.remove_node(node, allow_graceful=False)

    monkeypatch.setattr(jobs, "Bar", Killing)
    arguments = ["--dataset", "folder", "--data", str(data), "--out", str(out), "--ray"]
    code = cli.run(spot.main, arguments)
    assert node not in made.worker_nodes, "nobody was killed"
    assert code == 1  # the text
    assert sorted(ended) == sorted([*names, "bad.mp4"])
    rows = index(out)
    assert {path: row["state"] for path, row in rows.items()} == {**dict.fromkeys(names, "done"), "bad.mp4": "failed"}
    logs = [told(out / "videos" / name / "events.jsonl") for name in names]
    for log in logs:
        log["session"][0].pop("source")
        assert log == logs[0]
    for name in names:
        types = [json.loads(text)["type"] for text in (out / "videos" / name / "events.jsonl").read_text().splitlines()]
        assert (types.count("session"), types.count("summary"), types[-1]) == (1, 1, "summary")
    shutil.rmtree(out / "videos" / "a.mkv")
    ended.clear()
    assert cli.run(spot.main, [*arguments, "--failures-ok"]) == 0
    assert sorted(ended) == ["a.mkv", "bad.mp4"]
