"""Publication: what is sent, where, and who may hear it."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth
from _lines import SESSION

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc.endpoint import is_loopback
from realtime.ipc.keys import make_keys
from realtime.sinks import lines, open_sinks
from realtime.sinks.publish import Publisher


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tcp://127.0.0.1:5", True),
        ("tcp://127.8.0.1:5", True),
        ("tcp://localhost:5", True),
        ("tcp://[::1]:5", True),
        ("tcp://*:5", False),
        ("tcp://0.0.0.0:5", False),
        ("tcp://192.168.1.2:5", False),
        ("tcp://eth0:5", False),
        ("tcp://127.0.0.1.example.org:5", False),
    ],
)
def test_loopback(endpoint: str, expected: bool) -> None:
    assert is_loopback(endpoint) is expected


def test_publisher_counts_per_topic(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/p"
    publisher = Publisher(endpoint)
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"")
    subscriber.connect(endpoint)
    tick = lines.TickLine(frame=1, t_ns=1, difference={"m": 0.5}, face=True, found=True, fps=200.0, dropped=0)
    while not subscriber.poll(20):
        publisher.line(tick)
    publisher.line(SESSION)
    publisher.line(tick)
    seen = []
    while not seen or seen[-2:-1] != ["session"]:
        topic, body = subscriber.recv_multipart()
        content = json.loads(body)
        seen.append(topic.decode())
        assert content["type"] == topic.decode()
        if topic == b"session":
            assert content["seq"] == 0
            assert content["source"] == "demo"
    assert seen[-1] == "tick"
    publisher.close()
    context.destroy(linger=0)
    assert list(tmp_path.iterdir()) == []


def test_a_socket_file_takes_no_other_s_place(tmp_path: Path) -> None:
    path, endpoint = tmp_path / "p", f"ipc://{tmp_path}/p"
    path.write_text("a user's notes")
    with pytest.raises(UserError, match="is no socket"):
        Publisher(endpoint)
    assert path.read_text() == "a user's notes"
    path.unlink()
    first = Publisher(endpoint)
    with pytest.raises(UserError, match="another program publishes there"):
        Publisher(endpoint)
    assert path.is_socket()
    first.close()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as killed:  # what a killed session leaves
        killed.bind(str(path))
    Publisher(endpoint).close()
    assert not path.exists()
    with pytest.raises(UserError, match="event log"):  # a failed start
        open_sinks(OutputSettings(publish=endpoint, events=f"{tmp_path}/not/e.jsonl", view="none"))
    assert not path.exists()


def test_publishing_abroad_needs_keys(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--curve-dir"):
        Publisher("tcp://0.0.0.0:0")
    with pytest.raises(UserError, match=r"server\.key_secret and clients"):
        Publisher("tcp://127.0.0.1:0", str(tmp_path))
    for endpoint in ("tcp://127.0.0.1:notaport", "tcp://127.0.0.1", "tcp://[::1]"):
        with pytest.raises(UserError, match="the port is missing"):
            Publisher(endpoint)
    with pytest.raises(UserError, match="port 99999"):  # ZeroMQ would take 34463
        Publisher("tcp://127.0.0.1:99999")


def test_secret_keys_are_the_owner_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secrets = list(folder.rglob("*.key_secret"))
    assert len(secrets) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    with pytest.raises(UserError, match="holds keys already"):
        make_keys(folder)
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(UserError, match="chmod 700"):
        make_keys(tmp_path / "open")


def test_only_known_clients_hear(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys" / "clients").stat().st_mode) == 0o700
    endpoint = f"ipc://{tmp_path}/secured"
    publisher = Publisher(endpoint, str(tmp_path / "keys"))
    server, _ = zmq.auth.load_certificate(tmp_path / "keys" / "server.key")
    context = zmq.Context()
    friend = _subscriber(context, endpoint, server, zmq.auth.load_certificate(tmp_path / "keys" / "client.key_secret"))
    stranger = _subscriber(context, endpoint, server, zmq.curve_keypair())
    plain = context.socket(zmq.SUB)
    plain.setsockopt(zmq.SUBSCRIBE, b"")
    plain.connect(endpoint)
    for _ in range(200):
        publisher.line(SESSION)
        if friend.poll(20):
            break
    assert friend.recv_multipart()[0] == b"session"
    assert not stranger.poll(200)
    assert not plain.poll(50)
    publisher.close()
    context.destroy(linger=0)


def _subscriber(context: zmq.Context, endpoint: str, server: bytes, keys: tuple[bytes, bytes | None]) -> zmq.Socket:
    socket = context.socket(zmq.SUB)
    socket.curve_publickey, socket.curve_secretkey = keys
    socket.curve_serverkey = server
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(endpoint)
    return socket
