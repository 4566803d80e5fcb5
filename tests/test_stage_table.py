"""The pipeline's table against the code: names, messages, sockets, and what the supervisor makes of it."""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path

import msgspec
import pytest

from realtime import pipeline
from realtime.errors import MerealtimeError
from realtime.ipc import messages
from realtime.stages import runner

STAGES_DIR = Path(pipeline.__file__).parent / "stages"
HELPERS = {"poses": "spot", "ticks": "spot", "dense": "motion", "runner": None}
"""Modules that open a stage's sockets for it; the runner opens those that every stage has."""


def names_of(union: types.UnionType) -> set[str]:
    return {kind.__name__ for kind in union.__args__}


def test_every_stage_is_a_module_that_runs() -> None:
    for stage in pipeline.STAGES:
        assert callable(importlib.import_module(f"realtime.stages.{stage.name}").run)
    assert sorted(pipeline.NAMES) == sorted(set(pipeline.NAMES))
    assert sorted(stage.start_rank for stage in pipeline.STAGES) == list(range(len(pipeline.STAGES)))


def test_what_is_emitted_is_consumed_and_what_is_consumed_is_emitted() -> None:
    emitted = {name for stage in pipeline.STAGES for name in (*stage.emits, *stage.dense_emits)}
    consumed = {name for stage in pipeline.STAGES for name in (*stage.consumes, *stage.dense_consumes)}
    assert emitted == consumed | set(pipeline.SUPERVISOR_CONSUMES)
    assert emitted == {channel.name for channel in pipeline.CHANNELS} | {pipeline.RING}
    writers = [stage.name for stage in pipeline.STAGES if pipeline.RING in stage.emits]
    assert writers == ["capture"], "a ring has one writer"


def test_channels_carry_the_messages_that_are_decoded_there() -> None:
    carried = {channel.name: set(channel.carries) for channel in pipeline.CHANNELS}
    assert carried["reports"] == names_of(messages.Report)
    assert carried["motion"] | carried["classify"] == names_of(messages.Work)
    assert carried["ticks"] == names_of(messages.Tick | messages.Curves | messages.Dense | messages.Hello)
    for name in set().union(*carried.values()):
        assert issubclass(getattr(messages, name), messages.Message)


def endpoints_in(path: Path) -> set[str]:
    """Literal arguments of ``….endpoint("…")`` in a module."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "endpoint"
        and isinstance(node.args[0], ast.Constant)
    }


def test_a_stage_opens_the_sockets_that_are_declared_for_it_and_no_other() -> None:
    opened: dict[str, set[str]] = {name: set() for name in pipeline.NAMES}
    for path in STAGES_DIR.glob("*.py"):
        for name in pipeline.NAMES if path.stem == "runner" else [HELPERS.get(path.stem) or path.stem]:
            if endpoints_in(path):
                opened[name] |= endpoints_in(path)
    for stage in pipeline.STAGES:
        declared = {*stage.consumes, *stage.emits, *stage.dense_consumes, *stage.dense_emits} - {pipeline.RING}
        assert opened[stage.name] == declared, stage.name


def test_an_undeclared_channel_is_refused() -> None:
    context = object.__new__(runner.StageContext)
    context.stage, context.spec = "classify", msgspec.defstruct("Spec", ["directory"])("/tmp/x")
    assert context.endpoint("reports").startswith("ipc://")
    assert context.endpoint("control-classify").startswith("ipc://")
    for foreign in ("ticks", "control-spot"):
        with pytest.raises(MerealtimeError, match=f"classify: channel '{foreign}' is not declared"):
            context.endpoint(foreign)


def test_ring_events_and_order_follow_from_the_table() -> None:
    assert [s.name for s in pipeline.STAGES if s.needs_ring(dense=False)] == ["capture", "spot", "record"]
    assert [s.name for s in pipeline.STAGES if s.needs_ring(dense=True)] == ["capture", "spot", "motion", "record"]
    assert pipeline.EVENT_PATH == ("motion", "classify")
    assert [stage.name for stage in pipeline.stages_of(record=False)] == ["capture", "spot", "motion", "classify"]
    assert [stage.name for stage in pipeline.stages_of(record=True)] == list(pipeline.NAMES)
    assert pipeline.start_order(("capture", "spot", "motion", "classify")) == ["classify", "spot", "motion", "capture"]
