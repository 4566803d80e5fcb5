"""The JSON Schema of the event log against what sessions write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from _lines import SESSION, SUMMARY, classified
from _session import ROOT, Run
from jsonschema import Draft202012Validator, ValidationError

from realtime.errors import UserError
from realtime.sinks import lines, schema

TICK = lines.TickLine(
    frame=1, t_ns=2, difference={"m": 0.5}, face=True, found=True, fps=200.0, dropped=0, peak={"m": 1.0}
)
DENSE_TICK = msgspec.structs.replace(
    TICK, strain={"m": 0.1}, flow={"m": (1.0, -2.0)}, dense_frame=1, dense_fps=150.0, dense_dropped=3
)
LINES = [
    SESSION,
    msgspec.structs.replace(SESSION, fps_requested=None, start_up_s={"spot": 2.25}),
    lines.event_line(classified(), 20_000_000),
    lines.GapLine(first=1, last=3, count=3, cause="ring"),
    lines.NoticeLine(what="face lost", detail="", t_ns=0),
    SUMMARY,
    msgspec.structs.replace(SUMMARY, recording={"frames": 3, "folder": "x"}, stages={"spot": {"cpu_s": 1.5}}),
]


@pytest.fixture(scope="module")
def log() -> Draft202012Validator:
    """Holds a line against the schema that the command writes."""
    done = subprocess.run(
        [sys.executable, "-m", "realtime.sinks.schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    written = json.loads(done.stdout)
    Draft202012Validator.check_schema(written)
    return Draft202012Validator(written)


def as_json(line: lines.AnyLine) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(line))


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_every_kind_of_line_validates(line: lines.AnyLine, log: Draft202012Validator) -> None:
    content = as_json(line)
    log.validate(content)
    log.validate({**content, "added_later": [1]})  # fields may be added
    for field in log.schema["$defs"][type(line).__name__]["required"]:
        with pytest.raises(ValidationError):
            log.validate({key: value for key, value in content.items() if key != field})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (0, {"width": "640"}),
        (2, {"kind": "large"}),
        (2, {"onset": 1.5}),
        (3, {"cause": "cosmic rays"}),
        (4, {"type": "rumour"}),
        (5, {"frames_dropped": [3]}),
    ],
)
def test_what_breaks_the_contract_is_refused(line: int, wrong: dict[str, Any], log: Draft202012Validator) -> None:
    with pytest.raises(ValidationError):
        log.validate({**as_json(LINES[line]), **wrong})


def test_every_line_of_a_real_session_validates(clip: str, tmp_path: Path, log: Draft202012Validator) -> None:
    run = Run(tmp_path, "--camera", clip)
    code, errors = run.end()
    assert code == 0, errors
    written = run.lines()
    for line in written:
        log.validate(line)
    assert {"session", "notice", "event", "summary"} <= {line["type"] for line in written}


def test_ticks_are_published_and_not_logged(log: Draft202012Validator) -> None:
    published = Draft202012Validator(schema.line_schema(published=True))
    second = msgspec.structs.replace(TICK, face=1)
    nobody = msgspec.structs.replace(TICK, face=0, found=False)
    for line in (*LINES, TICK, DENSE_TICK, second, nobody):
        published.validate({**as_json(line), "seq": 0})
        with pytest.raises(ValidationError):
            published.validate(as_json(line))  # without seq
    with pytest.raises(ValidationError):
        published.validate({**as_json(TICK), "seq": 0, "face": "left"})
    with pytest.raises(ValidationError):
        log.validate(as_json(TICK))


def test_what_docstrings_say_is_in_the_schema() -> None:
    written = schema.line_schema(published=True)["$defs"]
    assert set(written) == {kind.__name__ for kind in get_args(lines.AnyLine)}
    assert written["EventLine"]["properties"]["decided"]["description"].startswith("Frame that completed the event")
    assert written["SummaryLine"]["description"] == "Last line. captured = analysed + Σ dropped."
    for name in ("SessionLine", "GapLine", "NoticeLine", "SummaryLine", "TickLine"):
        silent = [key for key, value in written[name]["properties"].items() if not value.get("description")]
        assert silent == ["type"], name


def test_the_schema_is_written_to_a_file(tmp_path: Path) -> None:
    schema.write(tmp_path / "log.json")
    assert json.loads((tmp_path / "log.json").read_text()) == json.loads(json.dumps(schema.line_schema()))
    with pytest.raises(UserError, match="can't write the schema"):
        schema.write(tmp_path)
