"""Hears what a running session publishes, and says what it missed.

    merealtime --camera demo --publish tcp://127.0.0.1:5555
    python examples/subscriber.py tcp://127.0.0.1:5555
    python examples/subscriber.py tcp://192.168.1.7:5555 --keys DIR      # from another machine

It ends with the session. Needs pyzmq only. DIR holds the two files that the session's owner handed out:
client.key_secret and server.key.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq
import zmq.auth


def subscribe(endpoint: str, topics: tuple[str, ...], keys: Path | None = None) -> zmq.Socket[bytes]:
    """A socket that hears these topics: event, gap, notice, tick, session, summary."""
    socket = zmq.Context.instance().socket(zmq.SUB)
    if keys is not None:
        socket.curve_serverkey, _ = zmq.auth.load_certificate(keys / "server.key")
        public, secret = zmq.auth.load_certificate(keys / "client.key_secret")
        socket.curve_publickey, socket.curve_secretkey = public, secret or b""
    for topic in topics:
        socket.subscribe(topic)
    socket.connect(endpoint)  # the session may start later: ZeroMQ keeps trying
    return socket


def lines(socket: zmq.Socket[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each line, and how many of its topic were lost before it: ``seq`` counts without a hole at the source."""
    expected: dict[str, int] = {}
    while True:
        topic, body = socket.recv_multipart()
        line = json.loads(body)
        name = topic.decode()
        lost = line["seq"] - expected.get(name, line["seq"])  # who comes late has lost nothing
        expected[name] = line["seq"] + 1
        yield line, lost
        if name == "summary":
            return


def told(line: dict[str, Any]) -> str:
    """One line of text."""
    if line["type"] == "event":
        ms = (line["offset_t_ns"] - line["onset_t_ns"]) / 1e6
        frames = f"frames {line['onset']}-{line['offset']}"
        return f"event   {line['id']}: {line['kind']} {line['label']}, {ms:.0f} ms, {frames}"
    if line["type"] == "gap":
        return f"gap     {line['count']} frames not analysed ({line['cause']})"
    if line["type"] == "notice":
        return f"notice  {line['what']} {line['detail']}"
    return f"summary {line['events']} events in {line['frames_analysed']} frames"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint", help="what --publish was given")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="client.key_secret and server.key")
    arguments = parser.parse_args()
    socket = subscribe(arguments.endpoint, ("event", "gap", "notice", "summary"), arguments.keys)
    for line, lost in lines(socket):
        if lost:
            print(f"missed  {lost} of these", flush=True)
        print(told(line), flush=True)
    socket.close(linger=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
