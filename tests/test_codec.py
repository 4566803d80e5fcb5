"""Messages survive the wire, and nothing else passes for one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from realtime.ipc import messages
from realtime.types import SourceInfo, SpotEvent

EVENT = SpotEvent(
    kind="micro", onset=1, apex=3, offset=9, onset_t_ns=10, apex_t_ns=20, offset_t_ns=30,
    score=7.5, rois={"mouth": 1.5}, decided=11,
)  # fmt: skip
INFO = SourceInfo(source="demo", kind="demo", width=640, height=480, fps=200.0)
TIMES = {"capture_ns": 1, "ring_ns": 2, "taken_ns": 3}
REPORTS = [
    messages.Opened(info=INFO),
    messages.Ready(stage="spot", pid=3, seconds=1.5, detail={"a": "b"}, refused=["no"]),
    messages.Progress(stage="spot", text="loading"),
    messages.Gap(first=3, last=5, count=3, cause="ring"),
    messages.Notice(what="face lost", detail="frame 3", t_ns=9),
    messages.Failed(stage="spot", text="why", exit_code=2),
    messages.Ended(stage="capture", reason="--frames"),
    messages.Classified(
        id=0, event=EVENT, label="surprise", scores={"surprise": 1.0},
        spotted_ns=4, mapped_ns=5, sent_ns=6, **TIMES,
    ),
]  # fmt: skip


@pytest.mark.parametrize("message", REPORTS, ids=lambda message: type(message).__name__)
def test_reports(message: messages.Message) -> None:
    assert messages.decode_report(messages.encode(message)) == message


def test_work_carries_its_pictures() -> None:
    rng = np.random.default_rng(0)
    onset, apex = rng.integers(0, 256, (2, 170, 140), np.uint8)
    landmarks = rng.normal(size=(68, 2)).astype(np.float32)
    message = messages.Spotted(
        id=4,
        event=EVENT,
        onset=messages.pack_picture(onset),
        apex=messages.pack_picture(apex[::1]),
        landmarks=landmarks.tobytes(),
        sent_ns=4,
        **TIMES,
    )
    back = messages.decode_work(messages.encode(message))
    assert isinstance(back, messages.Spotted)
    np.testing.assert_array_equal(messages.unpack_picture(back.onset), onset)
    np.testing.assert_array_equal(messages.unpack_picture(back.apex), apex)
    np.testing.assert_array_equal(np.frombuffer(back.landmarks, np.float32).reshape(68, 2), landmarks)
    assert back == message


def test_a_crop_that_is_a_view_is_packed_as_it_looks() -> None:
    frame = np.arange(400, dtype=np.uint8).reshape(20, 20)
    view = frame[2:12:2, 3:9]
    np.testing.assert_array_equal(messages.unpack_picture(messages.pack_picture(view)), view)


def test_control_and_reply() -> None:
    order = messages.Control(order="ring", ring="merealtime-x", info=INFO, fps=200.0, ids=[1, 2])
    assert messages.decode_control(messages.encode(order)) == order
    assert messages.decode_reply(messages.encode(messages.Reply(ok=True))) == messages.Reply(ok=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", messages.encode(messages.Reply(ok=True)), messages.encode(messages.Hello(token="x"))],
    ids=["empty", "garbage", "untagged", "of another channel"],
)
def test_strangers_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode_report(data)


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        REPORTS[3].count = 4  # type: ignore[misc]
