"""The gate before ``--publish``: raw TCP, wrong keys, old peers, 10 MB, random bytes, floods: counted, no more."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq
import zmq.auth
from _lines import SESSION
from _session import ROOT, Run, assert_balanced, left_behind

from realtime.errors import UserError
from realtime.ipc import bus, gate, messages
from realtime.ipc.endpoint import Listening
from realtime.ipc.keys import make_keys, server_keys
from realtime.sinks.publish import Publisher

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\x00" + bytes(31)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
OLD = {
    "ZMTP 1": b"\x01\x00\x01\x01",
    "ZMTP 2": b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x02\x00\x00",
    "ZMTP 3, NULL": GREETING + READY,
}
"""As a subscriber without a key begins."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Door:
    """A publisher with CURVE on this machine, and a friend that must hear everything."""

    def __init__(self, folder: Path, *, curve: bool) -> None:
        self.port, self.keys = free_port(), folder / "keys"
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        make_keys(self.keys)
        self.publisher = Publisher(self.endpoint, str(self.keys) if curve else None)
        self.context = zmq.Context()
        keys = zmq.auth.load_certificate(self.keys / "client.key_secret") if curve else None
        self.friend = self.subscriber(keys)
        while not self.friend.poll(20):
            self.publisher.line(SESSION)
        while self.friend.poll(50):
            self.friend.recv_multipart()

    def subscriber(self, keys: tuple[bytes, bytes | None] | None, server: bytes | None = None) -> zmq.Socket[bytes]:
        made = self.context.socket(zmq.SUB)
        made.setsockopt(zmq.RECONNECT_IVL, 100 if keys is None else -1)
        if keys is not None:
            made.curve_publickey, made.curve_secretkey = keys
            made.curve_serverkey = server or zmq.auth.load_certificate(self.keys / "server.key")[0]
        made.setsockopt(zmq.SUBSCRIBE, b"")
        made.connect(self.endpoint)
        return made

    def raw(self, data: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port))
        made.settimeout(10)
        with contextlib.suppress(OSError):  # cut off while it sends
            made.sendall(data)
        return made

    def wait(self, **least: int) -> None:
        """Until so many are counted."""
        deadline = time.monotonic() + 20
        while any(self.publisher.connections[name] < count for name, count in least.items()):
            assert time.monotonic() < deadline, self.publisher.connections
            time.sleep(0.01)

    def hears(self) -> bool:
        """Whether the friend gets each of some lines, once, and nothing else."""
        for _ in range(5):
            self.publisher.line(SESSION)
        heard = 0
        while self.friend.poll(2000 if heard < 5 else 50):
            heard += self.friend.recv_multipart()[0] == b"session"
        return heard == 5

    def close(self) -> None:
        self.publisher.close()
        self.context.destroy(linger=0)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path, curve=True)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path, curve=False)
    yield made
    made.close()


def test_a_raw_tcp_peer_is_cut_off_and_counted(door: Door) -> None:
    peer = door.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    door.wait(refused=1)
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(4096):
            pass
    assert door.hears()
    assert door.publisher.connections == {"came": 2, "refused": 1, "left": 0}


def test_a_silent_peer_is_cut_off_after_a_while(door: Door) -> None:
    peer = door.raw()
    door.wait(refused=1)
    peer.close()
    assert door.hears()


def test_a_wrong_key_hears_nothing(door: Door) -> None:
    unknown = door.subscriber(zmq.curve_keypair())
    elsewhere = door.subscriber(
        zmq.auth.load_certificate(door.keys / "client.key_secret"), server=zmq.curve_keypair()[0]
    )
    door.wait(refused=2)
    assert door.hears()
    assert not unknown.poll(50)
    assert not elsewhere.poll(50)


@pytest.mark.parametrize("begins", OLD.values(), ids=OLD)
def test_an_old_peer_or_one_without_a_key_is_refused(begins: bytes, door: Door) -> None:
    peer = door.raw(begins)
    door.wait(refused=1)
    peer.close()
    assert door.hears()


@pytest.mark.parametrize("curve", [True, False])
def test_10_mb_at_once_cost_nothing(curve: bool, tmp_path: Path) -> None:
    door = Door(tmp_path, curve=curve)
    large = 10 << 20
    payloads = [
        GREETING + READY + b"\x02" + large.to_bytes(8) + bytes(large),
        b"\x02" + large.to_bytes(8) + bytes(large),
        GREETING + READY + b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",
    ]
    before = psutil.Process().memory_info().rss  # what we send is ours
    peers = [door.raw(payload) for payload in payloads]
    door.wait(refused=3)
    assert psutil.Process().memory_info().rss - before < 8 << 20
    for peer in peers:
        peer.close()
    assert door.hears()
    door.close()


def test_random_bytes_have_no_effect(plain: Door) -> None:
    draw = random.Random(4)
    for begins in (b"", b"\xff", GREETING, GREETING + READY, b"\x01\x00"):
        for _ in range(8):
            plain.raw(begins + draw.randbytes(draw.randrange(1, 400))).close()
    plain.wait(came=41)
    assert plain.hears()


_SUBSCRIBE = """
import socket, sys, time
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
made.sendall(bytes.fromhex(sys.argv[2]))
time.sleep(0.2)
end, number = time.monotonic() + 3, 0
try:
    while time.monotonic() < end:
        parts = []
        for _ in range(200):
            number += 1
            body = b"\\x01" + number.to_bytes(8) + bytes(400)
            parts.append(b"\\x02" + len(body).to_bytes(8) + body)
        made.sendall(b"".join(parts))
except OSError:
    pass
"""
"""Short subscriptions, each another, as fast as they go: some 50 kB of ZeroMQ's memory each."""


def test_a_flood_of_short_subscriptions_is_cut_off(plain: Door) -> None:
    before = psutil.Process().memory_info().rss
    floods = [
        subprocess.Popen([sys.executable, "-c", _SUBSCRIBE, str(plain.port), (GREETING + READY).hex()])
        for _ in range(3)
    ]
    while any(flood.poll() is None for flood in floods):
        plain.publisher.line(SESSION)
        time.sleep(0.005)
    plain.wait(refused=3)
    assert psutil.Process().memory_info().rss - before < 20 << 20
    while plain.friend.poll(100):
        plain.friend.recv_multipart()
    assert plain.hears()


def test_a_flood_of_connections_uses_up_no_descriptors(plain: Door) -> None:
    before = psutil.Process().num_fds()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    peers = [plain.raw(GREETING + READY) for _ in range(gate.MOST + 40)]
    plain.wait(refused=41)
    held = psutil.Process().num_fds() - before - len(peers)
    assert held <= 3 * gate.MOST
    assert plain.hears()
    for peer in peers:
        peer.close()
    plain.wait(left=gate.MOST - 1)
    assert plain.hears()
    late = plain.subscriber(None)
    while not late.poll(20):
        plain.publisher.line(SESSION)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limit


def test_a_subscriber_that_reads_nothing_holds_nobody_up(plain: Door) -> None:
    stalled = plain.raw(GREETING + READY + b"\x00\x01\x01")
    before = psutil.Process().memory_info().rss
    heard, slowest = 0, 0.0
    for _ in range(20_000):
        begun = time.monotonic()
        plain.publisher.line(SESSION)
        slowest = max(slowest, time.monotonic() - begun)
        while plain.friend.poll(0):
            plain.friend.recv_multipart()
            heard += 1
    assert psutil.Process().memory_info().rss - before < 32 << 20
    assert heard > 1000
    stalled.close()


def test_the_last_lines_still_pass_the_gate(plain: Door) -> None:
    for _ in range(200):
        plain.publisher.line(SESSION)
    plain.publisher.close()
    heard = 0
    while plain.friend.poll(200):
        plain.friend.recv_multipart()
        heard += 1
    assert heard == 200


def test_a_published_socket_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        publisher = Publisher(f"ipc://{tmp_path}/p")
        assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700
        publisher.close()
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_every_name_of_a_place_is_understood() -> None:
    for endpoint in ("tcp://127.0.0.1:*", "tcp://localhost:0", "tcp://lo:*", "ipc://@merealtime-test-gate"):
        Listening("--publish", endpoint, encrypted=False).close()
    for endpoint, words in {
        "tcp://127.0.0.1.no.such.host.invalid:5": "invalid",
        "ipc://": "1 to 107 bytes",
        f"ipc:///tmp/{'x' * 200}": "1 to 107 bytes",
        "ipc:///not/there/p": "No such file",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            Listening("--publish", endpoint, encrypted=True)
        assert "\n" not in str(caught.value)
    first = Listening("--publish", "tcp://127.0.0.1:0", encrypted=False)
    first.socket.listen()
    with pytest.raises(UserError, match="in use"):
        Listening("--publish", f"tcp://127.0.0.1:{first.socket.getsockname()[1]}", encrypted=False)
    first.close()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"curve\n", b'curve\n public-key = "x"\n', bytes(70_000)])
@pytest.mark.parametrize("file", ["server.key_secret", "clients/client.key"])
def test_a_key_that_is_none_is_named(file: str, content: bytes, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    (tmp_path / "keys" / file).write_bytes(content)
    with pytest.raises(UserError, match="no CURVE key") as caught:
        server_keys(tmp_path / "keys")
    assert str(tmp_path / "keys" / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_makes_a_set_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "meine Schlüssel"
    command = [sys.executable, "-m", "realtime", "keys", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    files = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.key*")}
    names = ("client.key_secret", "clients/client.key", "server.key", "server.key_secret")
    assert files == dict.fromkeys(names, 0o600)
    assert server_keys(folder)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("merealtime: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("begins", [b"", GREETING, GREETING + READY], ids=["nothing", "greeting", "ready"])
def test_a_raw_peer_on_a_socket_of_the_session_has_no_effect(begins: bytes) -> None:
    """One of the same user: nobody else may enter the folder."""
    folder, context = bus.make_directory("merealtime-test-"), zmq.Context()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    receiver = bus.Receiver(context, bus.address(folder, "reports"))
    sender = bus.Sender(context, bus.address(folder, "reports"))
    before = psutil.Process().memory_info().rss
    for data in (b"\xff" * 300, b"\x02" + (10 << 20).to_bytes(8) + bytes(10 << 20), random.Random(1).randbytes(4000)):
        with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
            peer.connect(f"{folder}/reports")
            peer.sendall(begins + data)
    sender.send(messages.Progress(stage="spot", text="there"))
    assert receiver.take(messages.decode_report, 5.0) == messages.Progress(stage="spot", text="there")
    assert psutil.Process().memory_info().rss - before < 16 << 20
    sender.close()
    receiver.close()
    context.destroy(linger=0)
    bus.remove_directory(folder)


def test_a_session_beyond_this_machine_is_heard_by_its_client_alone(tmp_path: Path) -> None:
    """The whole program: keys, every interface, strangers among them; the summary counts who came."""
    make_keys(tmp_path / "keys")
    port = free_port()
    options = ("--publish", f"tcp://*:{port}", "--curve-dir", str(tmp_path / "keys"))
    run = Run(tmp_path, "--camera", "demo:5", "--fps", "60", "--size", "320x240", *options)
    context = zmq.Context()
    server = zmq.auth.load_certificate(tmp_path / "keys" / "server.key")[0]
    client = zmq.auth.load_certificate(tmp_path / "keys" / "client.key_secret")
    subscribers = []
    for public, secret in (client, zmq.curve_keypair()):
        made = context.socket(zmq.SUB)
        made.curve_publickey, made.curve_secretkey, made.curve_serverkey = public, secret, server
        made.setsockopt(zmq.SUBSCRIBE, b"")
        made.connect(f"tcp://127.0.0.1:{port}")
        subscribers.append(made)
    friend, stranger = subscribers
    run.wait_for(lambda lines: bool(lines))
    for data in (b"GET / HTTP/1.1\r\n\r\n", GREETING + READY, bytes(1 << 20)):
        with socket.create_connection(("127.0.0.1", port)) as peer, contextlib.suppress(OSError):
            peer.sendall(data)
            peer.recv(1)
            time.sleep(0.2)
    run.wait_for(lambda lines: any(line.get("what") == "connection refused" for line in lines))
    assert friend.poll(5000)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert (code, errors) == (0, "")
    summary = assert_balanced(run.lines())
    assert summary["restarts"] == 0
    assert summary["connections"]["refused"] >= 3
    topics = set()
    while friend.poll(500):
        topics.add(friend.recv_multipart()[0])
    assert {b"tick", b"summary"} <= topics
    assert not stranger.poll(0)
    context.destroy(linger=0)
    assert left_behind(run.child.pid) == []
