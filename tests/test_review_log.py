"""``review.jsonl``: what was said is on disk, the last word counts, two reviewers are compared as scikit-learn does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from realtime.session import review
from realtime.session.review import Verdict


def said(event: int | None, verdict: review.Said, by: str = "ann", **other: object) -> Verdict:
    fields: dict[str, object] = {"label": None, "onset": 10, "apex": 20, "offset": 30, "at": "2026-01-01T00:00:00Z"}
    return Verdict(event=event, verdict=verdict, reviewer=by, **{**fields, **other})  # type: ignore[arg-type]


def test_what_is_written_is_read_for_its_owner_alone(tmp_path: Path) -> None:
    lines = [said(0, "true", label="surprise", note="brow"), said(None, "true", onset=99, apex=100, offset=120)]
    for line in lines:
        review.append(tmp_path, line)
    found = review.read(tmp_path)
    assert (found.verdicts, found.damaged) == (lines, 0)
    assert stat.S_IMODE((tmp_path / review.FILE).stat().st_mode) == 0o600
    assert review.read(tmp_path / "nothing").verdicts == []


def test_a_line_that_was_cut_takes_no_other_with_it(tmp_path: Path) -> None:
    review.append(tmp_path, said(0, "true"))
    path = tmp_path / review.FILE
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole + whole[:length])
        review.append(tmp_path, said(1, "false"))
        found = review.read(tmp_path)
        assert [line.event for line in found.verdicts][:1] == [0]
        assert found.verdicts[-1].event == 1
        cut_short = 0 < length < len(whole) - 1
        assert found.damaged == cut_short


def test_it_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    review.append(tmp_path, said(0, "true"))
    assert (tmp_path / review.FILE).stat().st_size in synced


def test_the_last_word_of_each_reviewer_counts_and_a_missed_event_can_be_taken_back() -> None:
    lines = [
        said(0, "true"),
        said(0, "unsure"),
        said(0, "true", "bob"),
        said(None, "true", onset=100, apex=110, offset=120),
        said(None, "true", onset=118, apex=125, offset=140),
        said(None, "true", onset=300, apex=310, offset=320),
        said(None, "false", onset=310, apex=312, offset=315),
    ]
    counting = review.latest(lines)
    assert [(v.event, v.verdict, v.reviewer, v.onset) for v in counting] == [
        (0, "unsure", "ann", 10),
        (0, "true", "bob", 10),
        (None, "true", "ann", 118),
    ]


def test_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        count = int(rng.integers(2, 30))
        one, other = (rng.choice(review.SAID, count).tolist() for _ in range(2))
        mine = review.cohen_kappa(list(zip(one, other, strict=True)))
        if len({*one, *other}) == 1:
            assert mine is None
        else:
            assert mine == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    assert review.cohen_kappa([]) is None


def test_two_reviewers_are_compared_on_what_both_have_judged() -> None:
    ann = [said(k, "true" if k < 4 else "false", label="surprise") for k in range(6)]
    bob = [said(k, "true" if k < 3 else "false", "bob", label="surprise" if k else "negative") for k in range(5)]
    (found,) = review.agreements([*ann, *bob])
    assert (found.reviewers, found.events, found.agreed) == (("ann", "bob"), 5, 4)
    assert found.label_events == 3
    verdicts = (["true"] * 4 + ["false"], ["true"] * 3 + ["false"] * 2)
    assert found.kappa == pytest.approx(cohen_kappa_score(*verdicts))
