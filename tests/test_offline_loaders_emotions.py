"""Each emotion that a data set's reference names: its class, or its reason for being left out."""

from __future__ import annotations

from pathlib import Path

from _offline_data import CASME2_HEADER, images, sheet

from offline.datasets import Loaded, load_clips

SAMM_HEADER = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"]
CASME2_EMOTIONS = {
    "happiness": 1, "surprise": 2, "disgust": 0, "repression": 0, "others": None, "fear": None, "sadness": None,
}  # fmt: skip
SAMM_EMOTIONS = {
    "Happiness": 1, "Surprise": 2, "Anger": 0, "Contempt": 0, "Disgust": 0, "Fear": 0, "Sadness": 0, "Other": None,
}  # fmt: skip


def check_emotions(loaded: Loaded, wanted: dict[str, int | None]) -> None:
    assert {c.emotion: c.label for c in loaded.clips} == {e: k for e, k in wanted.items() if k is not None}
    left_out = [emotion for emotion, label in wanted.items() if label is None]
    assert len(loaded.skipped) == len(left_out)
    assert all(any(repr(e) in one.why for one in loaded.skipped) for e in left_out)


def test_each_emotion_of_casme2(tmp_path: Path) -> None:
    rows = [[1, f"EP_{e}", None, 1, 2, 3, None, "", e] for e in CASME2_EMOTIONS]
    sheet(tmp_path / "CASME2-coding-20140508.xlsx", [CASME2_HEADER, *rows])
    for emotion in CASME2_EMOTIONS:
        images(tmp_path / "sub01" / f"EP_{emotion}", [f"img{n}.jpg" for n in (1, 2, 3)])
    check_emotions(load_clips("casme2", tmp_path), CASME2_EMOTIONS)


def test_each_emotion_of_samm(tmp_path: Path) -> None:
    rows = [[6, f"006_1_{i}", 1, 2, 3, e] for i, e in enumerate(SAMM_EMOTIONS)]
    sheet(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [SAMM_HEADER, *rows])
    for i in range(len(SAMM_EMOTIONS)):
        images(tmp_path / "006" / f"006_1_{i}", [f"006_{n:05d}.jpg" for n in (1, 2, 3)])
    check_emotions(load_clips("samm", tmp_path), SAMM_EMOTIONS)


def test_each_emotion_of_smic(tmp_path: Path) -> None:
    for emotion in ("negative", "positive", "surprise"):
        images(tmp_path / "s1" / "micro" / emotion / f"s1_{emotion}", ["a1.bmp", "a2.bmp"])
    check_emotions(load_clips("smic", tmp_path), {"negative": 0, "positive": 1, "surprise": 2})


def test_each_emotion_of_ckplus(tmp_path: Path) -> None:
    words = ["anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"]
    for code in range(9):  # 0 is neutral, 8 no code
        images(tmp_path / "cohn-kanade-images" / "S005" / f"00{code}", ["S005_1.png", "S005_2.png"])
        (tmp_path / "Emotion" / "S005" / f"00{code}").mkdir(parents=True)
        (tmp_path / "Emotion" / "S005" / f"00{code}" / f"S005_00{code}_2_emotion.txt").write_text(f"  {code:.7e}\n")
    loaded = load_clips("ckplus", tmp_path)
    labels = [0, 0, 0, 0, 1, 0, 2]
    wanted = {f"S005_00{i}": (word, label) for i, (word, label) in enumerate(zip(words, labels, strict=True), 1)}
    assert {c.name: (c.emotion, c.label) for c in loaded.clips} == wanted
    assert [one.clip for one in loaded.skipped] == ["S005/000", "S005/008"]
    assert all("none of 1 to 7" in one.why for one in loaded.skipped)
