"""What an open page costs a live session: ``python bench/page.py --seconds 60 --rounds 3``.

The same recording session at 200 fps, in turn without a page, with ``--web`` that nobody opens, with one page in a real
Chromium on this very machine, with one and with ten readers that ask as a page does, and with one that stalls. Told are
lost frames and the latency of events; a case is held against the one without in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench._harness import machine, write_json
from bench._pipeline import RESULTS, Outcome, camera, event_percentiles, run_session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_UP_S = 60.0
_BEHIND_START_S = 4.0


class Reader:
    """Asks for the stream and for pictures, one after the other, as a page does, without drawing them."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        self.lines = self.pictures = 0
        self._port, self._stop = port, stop
        self._threads = [threading.Thread(target=self._guarded, args=(job,)) for job in (self._stream, self._look)]
        for thread in self._threads:
            thread.start()

    def _guarded(self, job: Callable[[http.client.HTTPConnection], None]) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_UP_S)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(line):
            job(line)

    def _stream(self, line: http.client.HTTPConnection) -> None:
        line.request("GET", "/stream")
        response = line.getresponse()
        while not self._stop.is_set() and response.readline():
            self.lines += 1

    def _look(self, line: http.client.HTTPConnection) -> None:
        after = "-1"
        while not self._stop.is_set():
            line.request("GET", f"/picture?after={after}")
            response = line.getresponse()
            response.read()
            after = response.getheader("x-index") or after
            self.pictures += response.status == 200

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def readers(port: int, count: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """So many readers."""
    stop, begun = threading.Event(), time.monotonic()
    made = [Reader(port, stop) for _ in range(count)]
    try:
        yield lambda: {"pictures_a_second": round(made[0].pictures / (time.monotonic() - begun), 1)}
    finally:
        stop.set()
        for reader in made:
            reader.join()


@contextlib.contextmanager
def stalled(port: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """One that asks for the stream and for a picture, and reads neither."""
    with contextlib.ExitStack() as stack:
        for path in ("/stream", "/picture?after=-1"):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", port))
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        yield dict


@contextlib.contextmanager
def chromium(port: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """The page itself, drawn in software by a headless browser that shares this machine's cores."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-", ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        words += ["--no-first-run", "--remote-debugging-port=0", "--window-size=1360,900", f"http://127.0.0.1:{port}/"]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield dict
        finally:
            child.terminate()
            child.wait()


CASES: dict[str, Callable[[int], contextlib.AbstractContextManager[Callable[[], dict[str, Any]]]] | None] = {
    "without": None,
    "nobody looks": lambda port: contextlib.nullcontext(dict),
    "one page in chromium": chromium,
    "one reader": lambda port: readers(port, 1),
    "ten readers": lambda port: readers(port, 10),
    "one that stalls": stalled,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_up(port: int) -> None:
    """Until somebody listens there; the page's server answers when it is up."""
    deadline = time.monotonic() + _UP_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


def run(case: str, options: list[str], environment: dict[str, str], frames: str) -> tuple[Outcome, dict[str, Any]]:
    """One session with that company."""
    company, told = CASES[case], dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as folder:
        words = [*options, "--record", folder, "--record-frames", frames]
        if company is None:
            return run_session(words, environment), told
        port, done = free_port(), threading.Event()

        def look() -> None:
            wait_up(port)
            time.sleep(_BEHIND_START_S)  # nobody opens a page before there is one
            with company(port) as figures:
                done.wait()
                told.update(figures())

        visitor = threading.Thread(target=look)
        visitor.start()
        try:
            return run_session([*words, "--web", f"127.0.0.1:{port}"], environment), told
        finally:
            done.set()
            visitor.join()


def summed(outcomes: Sequence[Outcome], extra: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rounds of a case."""
    events = [event for outcome in outcomes for event in outcome.events]
    dropped: dict[str, int] = {}
    cpu: dict[str, float] = {}
    seconds = 0.0
    for outcome in outcomes:
        for cause, count in outcome.summary["frames_dropped"].items():
            dropped[cause] = dropped.get(cause, 0) + count
        spent, span = outcome.cpu()
        seconds += span
        for name, value in spent.items():
            cpu[name] = cpu.get(name, 0.0) + value
    return {
        "frames": sum(outcome.summary["frames_captured"] for outcome in outcomes),
        "dropped": sum(dropped.values()),
        "dropped_by": dropped,
        "not_recorded": sum(outcome.summary["recording"]["dropped"] for outcome in outcomes),
        "events": len(events),
        "latency_ms": {key: event_percentiles(events, key) for key in ("decide", "total")},
        "cpu_share": {name: round(value / seconds, 3) for name, value in cpu.items()} if seconds else {},
        **{key: value for told in extra for key, value in told.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each session")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--camera", help="default: an emulated camera that plays demo frames")
    parser.add_argument("--record-frames", choices=("all", "events"), default="all")
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path, default=RESULTS / "page.json")
    arguments = parser.parse_args(argv)
    cases = [case for case in arguments.cases if case != "one page in chromium" or CHROMIUM is not None]
    width, _, height = arguments.size.partition("x")
    stamp, console = machine(), Console(width=120)
    outcomes: dict[str, list[Outcome]] = {case: [] for case in cases}
    extra: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
    with camera(arguments.camera, arguments.fps, (int(width), int(height))) as (source, environment):
        options = ["--camera", source, "--fps", f"{arguments.fps:g}", "--size", arguments.size, "--live"]
        options += ["--duration", f"{arguments.seconds:g}"]
        for number in range(arguments.rounds):
            for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
                outcome, told = run(case, options, environment, arguments.record_frames)
                outcomes[case].append(outcome)
                extra[case].append(told)
                console.print(f"round {number + 1}, {case}: {outcome.summary['frames_dropped']}", style="dim")
    rows = {case: summed(outcomes[case], extra[case]) for case in cases}
    show(rows, console)
    settings = {"seconds": arguments.seconds, "rounds": arguments.rounds, "fps": arguments.fps, "size": arguments.size}
    settings |= {"record_frames": arguments.record_frames, "source": "emulated camera" if environment else source}
    console.print(f"written: {write_json(arguments.json, {**settings, 'cases': rows, 'machine': stamp})}")
    return 0


def show(rows: dict[str, dict[str, Any]], console: Console) -> None:
    """A line a case."""
    table = Table("", "frames", "dropped", "not recorded", "events", "total p50", "p99 ms", "page's CPU", box=None)
    for case, row in rows.items():
        total = row["latency_ms"]["total"]
        share = row["cpu_share"].get("web")
        table.add_row(
            case,
            str(row["frames"]),
            str(row["dropped"]),
            str(row["not_recorded"]),
            str(row["events"]),
            f"{total.get('p50', 0):.1f}",
            f"{total.get('p99', 0):.1f}",
            "" if share is None else f"{share:.0%}",
        )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
