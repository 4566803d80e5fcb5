"""Read a camera through ``realtime.sources`` and print as JSON what came. Runs under the emulator.

One argument, a JSON object: ``frames`` (how many to read), ``request`` (of SourceRequest), ``spec`` (which
camera), ``sessions`` (how many in all, the camera opened anew for each), ``pause_s`` (how long not to read, once).
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from typing import Any

import msgspec
import numpy as np

from realtime.errors import MerealtimeError, SourceLostError
from realtime.sources import open_source, take_notices
from realtime.types import SourceRequest


def play(options: dict[str, Any]) -> dict[str, Any]:
    request = msgspec.convert(options.get("request", {"fps": 200}), SourceRequest)
    source = open_source(options.get("spec", "0"), request)
    answer: dict[str, Any] = {"info": msgspec.to_builtins(source.info), "lost": None}
    out = np.empty((source.info.height, source.info.width), np.uint8)
    numbers, times, digests = [], [], []
    started = time.monotonic()
    try:
        while len(numbers) < options["frames"]:
            stamp = source.read(out)
            assert stamp is not None
            numbers.append(stamp.number)
            times.append(stamp.t_ns)
            digests.append(zlib.crc32(out))
            started = time.monotonic()
            if len(numbers) == 50 and "pause_s" in options:
                time.sleep(options["pause_s"])
                answer["paused_s"] = time.monotonic() - started
    except SourceLostError as error:
        answer["lost"] = str(error)
        answer["silent_s"] = time.monotonic() - started
    finally:
        source.close()
        source.close()
    answer["ahead"] = getattr(source, "decoded_ahead", 0)
    return {**answer, "numbers": numbers, "times": times, "digests": digests, "notices": take_notices(source)}


def reopen(options: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        try:
            return play(options)
        except MerealtimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> None:
    options = json.loads(sys.argv[1])
    try:
        sessions = [play(options)]
        sessions.extend(reopen(options) for _ in range(options.get("sessions", 1) - 1))
    except MerealtimeError as error:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        return
    print(json.dumps({**sessions[0], "sessions": sessions[1:]}))


main()
