"""The lab's day as one script, small: people who differ, recorded, reviewed by truth, trained, judged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench import own
from bench._people import manner, someone
from realtime.session.load import load
from realtime.synthesis import Portrait


def test_people_differ_in_face_and_manner_and_a_seed_is_always_the_same_one() -> None:
    one, other = someone(1), someone(2)
    again = someone(1)
    np.testing.assert_array_equal(one.gray, again.gray)
    np.testing.assert_array_equal(one.mesh, again.mesh)
    assert np.abs(one.mesh - other.mesh).max() > 3, "another shape, not the same face in other light"
    assert np.abs(one.mesh - Portrait.packaged().mesh).max() < 0.12 * np.ptp(one.mesh[:, 0]), "still a face"
    assert manner(1) == manner(1)
    assert manner(1).rise_s != manner(2).rise_s


def test_the_mesh_lies_on_the_warped_picture() -> None:
    """As the landmark detector sees it."""
    from realtime.vision.face.landmarks import FaceMesh

    portrait = someone(3)
    finder = FaceMesh()
    found = finder.detect(portrait.gray)
    finder.close()
    assert found is not None
    off = np.linalg.norm(found - portrait.mesh, axis=1)
    assert np.median(off) < 0.02 * np.ptp(portrait.mesh[:, 0])


@pytest.mark.skipif(not os.environ.get("MEREALTIME_LONG"), reason="takes long; MEREALTIME_LONG=1 runs it")
@pytest.mark.slow
def test_the_whole_day_with_three_people(tmp_path: Path) -> None:
    out, work = tmp_path / "own.json", tmp_path / "work"
    words = ("--subjects", "3", "--seconds", "10", "--seeds", "1", "--epochs", "3", "--tuned-only")
    assert own.main([*words, "--json", str(out), "--work", str(work)]) == 0
    result = json.loads(out.read_text())
    assert set(result["tuned"]) == {"uar", "uf1"}
    assert sum(result["clips"].values()) == result["reviewed"]["true"] + result["reviewed"]["missed"]
    assert result["reviewed"]["true"] >= 0.6 * result["movements"], "most movements are found and called true"
    sessions = [load(folder) for folder in sorted((work / "recordings").iterdir())]
    assert [session.subject for session in sessions] == ["S00", "S01", "S02"]
    for session in sessions:
        assert session.summary is not None
        assert session.summary.recording is not None
        assert session.summary.recording["readable"] == session.summary.frames_captured == 1000
