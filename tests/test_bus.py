"""Sockets: what each guarantee promises; counters, names and logs beside them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from realtime import pipeline
from realtime.errors import RingError
from realtime.ipc import bus, messages
from realtime.ipc.board import FIELDS, Board
from realtime.supervisor import cleanup
from realtime.supervisor.logs import LogThread


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = bus.make_directory("merealtime-test-")
    yield made
    bus.remove_directory(made)


def test_the_directory_is_private(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(bus.address(folder, "control-classify")) < 107
    bus.remove_directory(folder)
    assert not folder.exists()


def test_reliable_messages_wait_for_their_receiver(context: zmq.Context, folder: Path) -> None:
    sender = bus.Sender(context, bus.address(folder, "work"))
    for number in range(500):
        sender.send(messages.Progress(stage="spot", text=str(number)))
    receiver = bus.Receiver(context, bus.address(folder, "work"))
    got = [messages.decode_report(receiver.receive(5.0) or b"") for _ in range(500)]
    assert [message.text for message in got if isinstance(message, messages.Progress)] == [
        str(number) for number in range(500)
    ]
    assert receiver.receive(0.0) is None
    sender.close()
    receiver.close()


def test_a_reliable_sender_never_drops_silently(context: zmq.Context, folder: Path) -> None:
    sender = bus.Sender(context, bus.address(folder, "nobody"), timeout_s=0.05)
    message = messages.Progress(stage="spot", text="x" * 100)
    with pytest.raises(bus.BusError, match="nobody: nobody took a message"):
        _send_many(sender, message, 100_000)


def _send_many(sender: bus.Sender, message: messages.Message, count: int) -> None:
    for _ in range(count):
        sender.send(message)


def test_a_receiver_that_comes_back_gets_the_rest(context: zmq.Context, folder: Path) -> None:
    endpoint = bus.address(folder, "work")
    sender, receiver = bus.Sender(context, endpoint), bus.Receiver(context, endpoint)
    sender.send(messages.Ended(stage="a"))
    assert receiver.receive(5.0) is not None
    receiver.close()
    time.sleep(0.1)
    receiver = bus.Receiver(context, endpoint)
    sender.send(messages.Ended(stage="b"))
    assert messages.decode_work(receiver.receive(5.0) or b"") == messages.Ended(stage="b")
    sender.close()
    receiver.close()


def test_ticks_are_lossy_and_counted(context: zmq.Context, folder: Path) -> None:
    endpoint = bus.address(folder, "ticks")
    listener = bus.Listener(context, endpoint)
    bus.hear_itself(context, listener, endpoint, timeout_s=5.0)
    sender = bus.Broadcaster(context, endpoint)
    got: list[int] = []
    for number in range(2000):
        sender.send(_tick(number))
    deadline = time.monotonic() + 10
    last = 2000
    while time.monotonic() < deadline and (not got or got[-1] < last):
        tick = listener.receive(0.2)
        if tick is not None:
            got.append(tick.seq)
        else:
            last += 1
            sender.send(_tick(last - 1 + 1))
    assert got == sorted(set(got))
    assert listener.lost == got[-1] + 1 - len(got) - got[0]
    sender.close()
    listener.close()


def _tick(seq: int) -> messages.Tick:
    return messages.Tick(seq=seq, frame=seq, t_ns=seq, difference={"m": 0.5}, peak={"m": 1.0}, face=True, found=True)


def test_the_handshake_fails_when_nobody_listens(context: zmq.Context, folder: Path) -> None:
    listener = bus.Listener(context, bus.address(folder, "ticks"))
    with pytest.raises(bus.BusError, match="handshake"):
        bus.hear_itself(context, listener, bus.address(folder, "elsewhere"), timeout_s=0.2)
    listener.close()


def test_control_asks_and_times_out(context: zmq.Context, folder: Path) -> None:
    endpoint = bus.address(folder, "control-spot")
    caller = bus.Caller(context, endpoint)
    with pytest.raises(bus.BusError, match="control-spot: no answer to 'start'"):
        caller.ask(messages.Control(order="start"), timeout_s=0.1)
    heard: list[str] = []

    def handle(order: messages.Control) -> messages.Reply:
        heard.append(order.order)
        return messages.Reply(ok=True, detail=threading.current_thread().name)

    answerer = bus.Answerer(context, endpoint, handle)
    assert caller.ask(messages.Control(order="stop"), timeout_s=5.0) == messages.Reply(ok=True, detail="control")
    raw = context.socket(zmq.REQ)
    raw.connect(endpoint)
    raw.send(b"\xc1")
    assert not messages.decode_reply(raw.recv()).ok
    raw.close()
    assert heard == ["stop"]
    answerer.close()


def test_board_is_shared_and_outlives_its_writer() -> None:
    name = f"{cleanup.session_prefix()}test-board"
    board = Board.create(name)
    try:
        code = (
            f"from realtime.ipc.board import Board\nr = Board.attach({name!r}).row('spot')\n"
            "r.put('frames', 7); r.put('last_number', 2**40)\nimport os; os._exit(1)"
        )
        subprocess.run([sys.executable, "-c", code], check=False)
        spot = board.row("spot")
        assert (spot.get("frames"), spot.get("last_number"), spot.get("first_number")) == (7, 2**40, -1)
        assert all(board.row(row).get(field) in (0, -1) for row in pipeline.NAMES if row != "spot" for field in FIELDS)
        with pytest.raises(RingError):
            Board.create(name)
    finally:
        board.close()
        board.unlink()
    with pytest.raises(RingError):
        Board.attach(name)


def test_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    code = "from realtime.supervisor import cleanup; print(cleanup.session_prefix())"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    own = cleanup.session_prefix()
    other_namespace = own.replace("merealtime-", "merealtime-0", 1)
    paths = [Path("/dev/shm") / f"{prefix}test" for prefix in (dead.strip(), own, other_namespace)]
    folder = Path("/tmp") / f"{dead.strip()}sockets"
    folder.mkdir()
    for path in paths:
        path.write_bytes(b"x")
    try:
        removed = cleanup.sweep()
        assert str(paths[0]) in removed
        assert str(folder) in removed
        assert [path.exists() for path in paths] == [False, True, True]
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_a_reused_process_id_does_not_protect_leftovers() -> None:
    parts = cleanup.session_prefix().split("-")
    stale = "-".join([*parts[:3], str(int(parts[3]) + 1), "ring"])
    path = Path("/dev/shm") / stale
    path.write_bytes(b"x")
    assert str(path) in cleanup.sweep()


def test_log_thread_keeps_and_shows_every_line() -> None:
    shown: list[str] = []
    logs = LogThread(shown.append)
    children = []
    for stage in ("a", "b"):
        code = f"import sys\nfor i in range(200): print('{stage}', i, file=sys.stderr)\nsys.stderr.write('end')"
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        assert child.stderr is not None
        logs.follow(stage, child.stderr)
        children.append(child)
    for child in children:
        child.wait()
    time.sleep(0.1)
    logs.close()
    for stage in ("a", "b"):
        wanted = [f"[{stage}] {stage} {i}" for i in range(200)] + [f"[{stage}] end"]
        assert [line for line in shown if line.startswith(f"[{stage}]")] == wanted
        assert logs.tail(stage)[-1] == "end"
        assert len(logs.tail(stage)) == 60


def test_the_log_thread_does_not_wait_for_a_silent_stage() -> None:
    logs = LogThread(None)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stderr=subprocess.PIPE)
    assert child.stderr is not None
    logs.follow("silent", child.stderr)
    begun = time.monotonic()
    logs.close()
    child.kill()
    child.wait()
    os.close(child.stderr.fileno())
    child.stderr = None
    assert time.monotonic() - begun < 30
