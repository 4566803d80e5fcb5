"""``merealtime export``: each format is read back by the tool or its reader, and says what the session says."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from pympi import Elan

from realtime.session import review
from realtime.session.curves import COLUMNS, ROW, CurveLog
from realtime.session.export.command import main
from realtime.session.load import load
from realtime.session.review import Verdict
from realtime.sinks.lines import EventLine, MarkerLine, SessionLine, SummaryLine
from realtime.vision.face.regions import ROI_NAMES

FPS, T0 = 200.0, 5_000_000_000_000
STEP = 5_000_000
LOST = range(40, 44)


def at(frame: int) -> int:
    return T0 + frame * STEP


def event(number: int, onset: int, offset: int, kind: str = "micro", **other: Any) -> EventLine:
    apex = (onset + offset) // 2
    scores = {"negative": 0.1, "positive": 0.2, "surprise": 0.7}
    return EventLine(
        id=number, kind=kind, onset=onset, apex=apex, offset=offset,  # type: ignore[arg-type]
        onset_t_ns=at(onset), apex_t_ns=at(apex), offset_t_ns=at(offset),
        label="surprise", scores=scores, spot_score=12.5, rois=dict.fromkeys(ROI_NAMES, 0.5), latency_ms={},
        decided=offset + 9, magnitude_px=0.75, head={"yaw": 1.0, "pitch": -2.0, "roll": 0.5}, **other,
    )  # fmt: skip


SESSION = SessionLine(
    version="1", started_at="2026-01-02T03:04:05Z", source="0", fps_requested=200.0, fps_measured=200.0, width=64,
    height=48, pixel_format="GREY", model="laenet-composite", flow_backend="cpu", config_digest="x", fps_granted=200.0,
    live=True, detector="motion",
)  # fmt: skip
SUMMARY = SummaryLine(
    frames_captured=400, frames_analysed=396, frames_dropped={"camera": 4}, events=3, fps_measured=FPS, latency_ms={},
    seconds=2.0, ended="SIGINT",
)  # fmt: skip
EVENTS = [event(0, 50, 100), event(1, 90, 140, during=["speech"]), event(2, 150, 350, kind="macro")]
MARKERS = [
    MarkerLine(text="film\t1 ü", t_ns=at(20) + 1000, frame=20, origin="control"),
    MarkerLine(text="", t_ns=at(20) + 2000, frame=20, origin="page"),
]
VERDICTS = [
    Verdict(event=0, verdict="true", label="positive", onset=52, apex=70, offset=98, reviewer="ann", at="z", note="n"),
    Verdict(event=0, verdict="false", onset=50, apex=75, offset=100, reviewer="bob", at="z"),
    Verdict(event=None, verdict="true", label="negative", onset=360, apex=370, offset=380, reviewer="ann", at="z"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "20260102T030405Z-77"
    made.mkdir()
    lines = [SESSION, *MARKERS, *EVENTS, SUMMARY]
    (made / "events.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    (made / "session.json").write_text(json.dumps({"subject": "S-01", "camera": {"detail": "a camera"}}))
    rows = np.zeros(400, ROW)
    rows["frame"] = np.arange(400)
    rows["t_ns"] = at(0) + rows["frame"] * STEP
    rows["found"] = rows["frame"] >= 10
    for k, name in enumerate(COLUMNS[4:-2]):
        rows[name] = np.where(rows["found"], 0.01 * rows["frame"] + k, np.nan)
    log = CurveLog(made)
    log.add(rows[~np.isin(rows["frame"], LOST)].tobytes())
    log.close()
    for verdict in VERDICTS:
        review.append(made, verdict)
    return made


def export(source: Path, form: str, out: Path, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    assert main([str(source), "--format", form, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return [Path(line) for line in printed.out.splitlines()]


def check_events(table: pd.DataFrame) -> None:
    assert table["type"].tolist().count("marker") == 2
    events = table[table["type"].isin(["micro", "macro"])].set_index("id")
    for line in EVENTS:
        row = events.loc[line.id]
        assert row["onset_s"] == pytest.approx(line.onset / FPS)
        assert row["offset_s"] == pytest.approx(line.offset / FPS)
        assert (row["onset_frame"], row["label"], row["score_surprise"]) == (line.onset, "surprise", 0.7)
    verdicts = table[table["type"] == "verdict"]
    assert set(verdicts["origin"]) == {"ann", "bob"}
    assert verdicts[verdicts["id"].isna()]["onset_s"].item() == pytest.approx(1.8)


def check_curves(table: pd.DataFrame) -> None:
    assert tuple(table.columns) == ("frame", "timestamp", *[name for name in COLUMNS if name != "frame"])
    assert len(table) == 396
    assert not set(LOST) & set(table["frame"])
    np.testing.assert_allclose(table["timestamp"], table["frame"] / FPS)
    assert table["chin"].isna().sum() == 10
    np.testing.assert_allclose(table["chin"][10:], 0.01 * table["frame"][10:] + ROI_NAMES.index("chin"), atol=1e-5)


def test_csv_by_pandas(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves, events = export(folder, "csv", tmp_path / "out.csv", capsys)
    assert (curves.name, events.name) == ("out.csv", "out_events.csv")
    check_curves(pd.read_csv(curves))
    check_events(pd.read_csv(events))
    texts = pd.read_csv(events).query("type == 'marker'")["text"].tolist()
    assert texts[0] == "film\t1 ü"


def test_parquet_by_pandas(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves, events = export(folder, "parquet", tmp_path / "out", capsys)
    check_curves(pd.read_parquet(curves))
    check_events(pd.read_parquet(events))


def test_openface_columns(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = export(folder, "openface", tmp_path / "of.csv", capsys)
    table = pd.read_csv(path)
    assert table.columns[:8].tolist() == [
        "frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz",
    ]  # fmt: skip
    assert not [name for name in table.columns if re.match(r"(AU\d|gaze|[xyXYZ]_\d)", name)], "nothing is invented"
    assert table["success"].tolist() == [0] * 10 + [1] * 386
    good = table[table["success"] == 1]
    np.testing.assert_allclose(good["pose_Ry"], np.radians(0.01 * good["frame"] + 6), atol=1e-5)
    np.testing.assert_allclose(good["pose_Rx"], np.radians(0.01 * good["frame"] + 7), atol=1e-5)


def test_elan_by_pympi(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = export(folder, "elan", tmp_path / "out.eaf", capsys)
    export(folder, "elan", tmp_path / "out.eaf", capsys)  # once more: written over
    assert sorted(tmp_path.glob("out*")) == [path]
    eaf = Elan.Eaf(str(path))
    assert {"micro", "macro", "label", "marker", "verdict"} <= set(eaf.get_tier_names())
    assert eaf.get_annotation_data_for_tier("micro") == [(250, 500, "0")]
    assert eaf.get_annotation_data_for_tier("micro-2") == [(450, 700, "1")]
    assert eaf.get_annotation_data_for_tier("macro") == [(750, 1750, "2")]
    assert [text for _, _, text in eaf.get_annotation_data_for_tier("marker")] == ["film\t1 ü"]
    said = {text for name in eaf.get_tier_names() if name.startswith("verdict")
            for _, _, text in eaf.get_annotation_data_for_tier(name)}  # fmt: skip
    assert said == {"true positive (ann)", "false (bob)", "true negative (ann)"}
    for name in eaf.get_tier_names():
        spans = sorted(eaf.get_annotation_data_for_tier(name))
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)), "ELAN refuses overlaps in a tier"
        assert all(begin < end for begin, end, _ in spans)
    root = ElementTree.parse(path).getroot()
    slots = {slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")}
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        assert {annotation.get("TIME_SLOT_REF1"), annotation.get("TIME_SLOT_REF2")} <= slots
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} <= {
        kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")
    }


def as_boris(text: str, columns: int) -> list[list[Any]]:
    """How BORIS takes what is pasted: every line the same number of fields, the first a decimal number."""
    rows = [line.split("\t") for line in text.split("\n")]
    assert {len(row) for row in rows} == {columns}
    return [[Decimal(row[0]), *row[1:]] for row in rows]


@pytest.mark.parametrize("video", [True, False])
def test_boris_by_the_rules_of_its_import(
    video: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An observation of a video has a column more, of whole numbers: the frame."""
    if video:
        (folder / "frames.mkv").touch()
    (path,) = export(folder, "boris", tmp_path / "out.tsv", capsys)
    rows = as_boris(path.read_text(), 6 if video else 5)
    assert rows == sorted(rows, key=lambda row: row[0])
    assert {row[1] for row in rows} == {"S-01"}
    for kind, ends in (("micro", [0.25, 0.45, 0.5, 0.7]), ("macro", [0.75, 1.75])):
        own = [float(row[0]) for row in rows if row[2] == kind]
        assert own == pytest.approx(ends), "a state event is a row at its start, one at its end"
    assert [row[4] for row in rows if row[2] == "marker"] == ["film 1 ü", "page"]
    if video:
        assert [int(row[5]) for row in rows if row[2] == "macro"] == [150, 350]


def test_bids_is_a_data_set(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "bids"
    made = export(folder, "bids", root, capsys)
    stem = "sub-S01/ses-20260102T030405Z77/beh/sub-S01_ses-20260102T030405Z77_task-recording"
    assert {str(path.relative_to(root)) for path in made} == {
        "dataset_description.json", "README", "participants.tsv", f"{stem}_events.tsv", f"{stem}_events.json",
        f"{stem}_physio.tsv.gz", f"{stem}_physio.json",
    }  # fmt: skip
    events = pd.read_csv(root / f"{stem}_events.tsv", sep="\t", na_values="n/a")
    assert events.columns[:2].tolist() == ["onset", "duration"]
    assert events["onset"].is_monotonic_increasing
    micro = events[events["trial_type"] == "micro"]
    assert micro["onset"].tolist() == pytest.approx([0.25, 0.45])
    assert micro["duration"].tolist() == pytest.approx([0.25, 0.25])
    assert set(events.columns) == set(json.loads((root / f"{stem}_events.json").read_text()))
    facts = json.loads((root / f"{stem}_physio.json").read_text())
    with gzip.open(root / f"{stem}_physio.tsv.gz", "rt") as file:
        table = pd.read_csv(file, sep="\t", header=None, names=facts["Columns"], na_values="n/a")
    assert (facts["SamplingFrequency"], facts["StartTime"], len(table)) == (FPS, 0.0, 400)
    assert table["found"].isna().sum() == len(LOST), "frames that were lost keep the time"
    assert table["chin"][300] == pytest.approx(0.01 * 300 + ROI_NAMES.index("chin"))
    export(folder, "bids", root, capsys)
    assert (root / "participants.tsv").read_text() == "participant_id\nsub-S01\n"
    _validate(root)


def _validate(root: Path) -> None:
    """By the BIDS validator, where it is installed."""
    validator = shutil.which("bids-validator-deno") or os.environ.get("BIDS_VALIDATOR")
    if validator is None:
        return
    done = subprocess.run([validator, str(root), "--json"], capture_output=True, text=True, timeout=120, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_a_bare_log(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No curves, no review: what the log has."""
    log = shutil.copy(folder / "events.jsonl", tmp_path / "lone.jsonl")
    (path,) = export(log, "csv", tmp_path / "lone.csv", capsys)
    table = pd.read_csv(path)
    assert table["type"].value_counts().to_dict() == {"micro": 2, "marker": 2, "macro": 1}
    assert table.query("id == 0")["onset_s"].item() == pytest.approx(0.25)
    for form in ("elan", "boris", "bids", "parquet"):
        assert export(log, form, tmp_path / form, capsys)
    assert main([str(log), "--format", "openface", "--out", str(tmp_path / "x.csv")]) == 2
    assert "has no curves" in capsys.readouterr().err


def test_a_killed_session_with_damaged_lines(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"event","id":3,"ki')
    (folder / "session.json").unlink()
    session = load(folder)
    assert (len(session.events), session.damaged, session.subject) == (3, 1, "")
    assert main([str(folder), "--format", "csv"]) == 0
    printed = capsys.readouterr()
    assert "1 damaged lines were left out" in printed.err
    assert [Path(line).parent for line in printed.out.splitlines()] == [folder / "export"] * 2


def test_what_can_not_be_exported_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.write_text("")
    for words, says in (
        ([tmp_path / "nothing"], "no such file or folder"),
        ([empty], "holds no session"),
        ([folder, "--out", file], "is a file"),
        ([folder, "--out", file / "deeper"], "can't write there"),
    ):
        assert main([*map(str, words), "--format", "csv"]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    done = subprocess.run([sys.executable, "-m", "realtime", "export", str(folder)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--format" in done.stderr
