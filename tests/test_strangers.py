"""Whoever reaches a socket: floods of subscriptions, garbage, messages of many parts. Nothing stops for them."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import zmq
from _lines import SESSION
from _session import Run, assert_balanced, left_behind
from hypothesis import given, settings
from hypothesis import strategies as st
from test_codec import REPORTS

from realtime.ipc import messages
from realtime.sinks.publish import Publisher

_FLOOD = """
import sys, time, zmq
socket = zmq.Context().socket(zmq.XSUB)
socket.connect(sys.argv[1])
for size in (*[1 << 20] * 8, 10 << 20):
    socket.send(b"\\x01" + size.to_bytes(4) + bytes(size))
print("sent", flush=True)
time.sleep(60)
"""
"""In a process of its own: ZeroMQ keeps what it subscribes to, a node a byte."""


def test_a_flood_of_large_subscriptions_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/p"
    publisher = Publisher(endpoint)
    context = zmq.Context()
    friend = context.socket(zmq.SUB)
    friend.connect(endpoint)
    friend.setsockopt(zmq.SUBSCRIBE, b"session")
    while not friend.poll(20):
        publisher.line(SESSION)
    before = psutil.Process().memory_info().rss
    flood = subprocess.Popen([sys.executable, "-c", _FLOOD, endpoint], stdout=subprocess.PIPE)
    assert flood.stdout is not None
    assert flood.stdout.readline() == b"sent\n"
    slowest, deadline = 0.0, time.monotonic() + 2.0
    while time.monotonic() < deadline:
        begun = time.monotonic()
        publisher.line(SESSION)
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.005)
    grown = psutil.Process().memory_info().rss - before
    flood.kill()
    flood.communicate()
    assert friend.poll(100)
    publisher.close()
    context.destroy(linger=0)
    assert slowest < 0.5
    assert grown < 20 << 20


def test_garbage_on_the_sockets_of_a_session_has_no_effect_but_a_notice(tmp_path: Path) -> None:
    run = Run(tmp_path, "--camera", "demo:5", "--fps", "60", "--size", "320x240")
    run.wait_for(lambda lines: bool(lines))
    bases = ("/tmp", os.environ.get("XDG_RUNTIME_DIR", "/tmp"), os.environ.get("TMPDIR", "/tmp"))
    (folder,) = {path for base in bases for path in glob.glob(f"{base}/merealtime-*-{run.child.pid}-*")}
    context = zmq.Context()
    kinds = {"reports": zmq.PUSH, "motion": zmq.PUSH, "classify": zmq.PUSH, "ticks": zmq.PUB}
    sockets = {name: context.socket(kinds.get(name, zmq.DEALER)) for name in os.listdir(folder)}
    for name, socket in sockets.items():
        socket.setsockopt(zmq.SNDTIMEO, 1000)
        socket.connect(f"ipc://{folder}/{name}")
    time.sleep(0.3)
    text = messages.encode(messages.Progress(stage="spot", text="xxxx")).replace(b"xxxx", b"\xff\xfe\xff\xfe")
    for name, socket in sockets.items():
        head = [b""] if kinds.get(name) is None else []
        for data in (b"", b"\xc1", b"\x91" * 100_000, text):
            socket.send_multipart([*head, data])
        socket.send_multipart([*head, b"a", b"b"])
    run.wait_for(lambda lines: any(line.get("what") == "message refused" for line in lines))
    time.sleep(1.0)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    context.destroy(linger=0)
    assert (code, errors) == (0, "")
    summary = assert_balanced(run.lines())
    assert (summary["ended"], summary["restarts"]) == ("SIGINT", 0)
    assert summary["stages"]["classify"]["refused"] > 0
    assert left_behind(run.child.pid) == []


@settings(max_examples=400, deadline=None)
@given(which=st.sampled_from(REPORTS), at=st.integers(0, 10**6), put=st.binary(min_size=1, max_size=6))
def test_a_changed_message_is_a_message_or_a_decode_error(which: messages.Message, at: int, put: bytes) -> None:
    data = messages.encode(which)
    at %= len(data)
    changed = data[:at] + put + data[at + len(put) :]
    for decode in (messages.decode_report, messages.decode_work, messages.decode_broadcast, messages.decode_control):
        try:
            decode(changed)
        except messages.msgspec.DecodeError:
            continue
