"""The report: what its sections say of right and wrong, and where there is no learning curve."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest
from _offline_data import made_maps

from offline.evaluation import report
from offline.export.bundle import choose_threshold
from offline.training.fit import Fitted

DATA = made_maps(3, 6)


def test_curves_without_held_out_ones_and_without_epochs() -> None:
    scores = np.full((len(DATA), 3), 1 / 3, np.float32)
    losses = np.array([1.0, 0.5, 0.25], np.float32)
    held_out = np.repeat(scores[None], 3, 0)
    both = report._curves([Fitted(scores, held_out, losses)], DATA.label)
    assert "<svg" in both
    assert "Held-out curves are shown" in both
    one = report._curves([Fitted(scores, losses=losses)], DATA.label)
    assert "<svg" in one
    assert "No held-out curve" in one
    assert one.count('id="axes_') == 1 < both.count('id="axes_') == 2
    for drawn in ("<!-- held-out UF1 -->", "#c04030"):  # the axis and its line
        assert drawn in both
        assert drawn not in one
    none = report._curves([Fitted(scores)], DATA.label)
    assert "<svg" not in none
    assert "Nothing here is trained in epochs" in none


def calls() -> np.ndarray:
    """Scores of DATA (3 subjects × 6 clips, labels 0 1 2 0 1 2): s00 all right, s01 half, s02 not tested."""
    scores = np.full((len(DATA), 3), 0.1, np.float32)
    scores[np.arange(len(DATA)), DATA.label] = 0.8
    scores[6:9] = np.roll(scores[6:9], 1, axis=1)  # clips 6, 7, 8: called 1, 2, 0
    scores[12:] = np.nan
    return scores


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page)
    return [[unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_subjects_with_their_share_of_right_calls() -> None:
    assert cells(report._subjects(calls(), DATA))[1:] == [
        ["made/s00", "6", "100%", "2 / 2 / 2"],
        ["made/s01", "6", "50%", "2 / 2 / 2"],
    ]


def test_examples_stand_under_right_and_wrong_by_sureness() -> None:
    scores = calls()
    scores[0, 0], scores[9, 0] = 0.7, 0.9  # of the right calls of class 0 (clips 0, 3, 9), 9 is the surest, 0 the last
    page = report._examples(scores, DATA)
    rows = re.findall(r"<span>(\w+)</span>(.*?)</div>", page)
    found = [(label, re.findall(r"<figcaption>(.*?)</figcaption>", row)) for label, row in rows]
    assert found == [
        ("negative", ["right (0.90)", "right (0.80)", "right (0.70)"]),
        ("negative", ["called positive (0.80)"]),
        ("positive", ["right (0.80)"] * 3),
        ("positive", ["called surprise (0.80)"]),
        ("surprise", ["right (0.80)"] * 3),
        ("surprise", ["called negative (0.80)"]),
    ]
    shown = re.findall(r"<img.*?>", page)
    assert shown == [report._picture(DATA.maps[i]) for i in (9, 3, 0, 6, 1, 4, 10, 7, 2, 5, 11, 8)]


def threshold_of(best: list[float], right: list[bool]) -> tuple[float, str]:
    """Of clips whose label's score is `best` (the class called), label 0 where it is right."""
    scores = np.stack([best, *[(1 - np.array(best)) / 2] * 2], axis=1)
    card = choose_threshold(scores, np.where(right, 0, 1))
    return card.value, card.chosen_on


BEST = [0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.80, 0.90, 0.95]


def test_threshold_is_the_lowest_that_leaves_four_of_five_right() -> None:
    # 7 of 10 are right, 7 of 9 from 0.45 on, 7 of 8 from 0.50 on
    value, said = threshold_of(BEST, [False] * 3 + [True] * 7)
    assert value == 0.5
    assert "80.0% of the clips reach it, 87.5% of these are right; of all, 70.0%" in said


def test_threshold_rejects_nothing_where_all_is_well() -> None:
    assert threshold_of(BEST, [False] * 2 + [True] * 8)[0] == 0


def test_threshold_rejects_a_third_at_most() -> None:
    # only from 0.90 on are four of five right: the third of the ten scores, the fourth lowest, is the limit
    value, said = threshold_of(BEST, [True] * 3 + [False] * 5 + [True] * 2)
    assert value == pytest.approx(0.55)
    assert "70.0% of the clips reach it, 28.6% of these are right; of all, 50.0%" in said
