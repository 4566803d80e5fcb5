"""Faults that need a session of their own: its parent killed, its outputs unread, its surroundings odd."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pty
import random
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench._fault_session import Account, Session, Trial, account
from bench._pipeline import ROOT
from tests._surroundings import OWN_MOUNTS


@dataclass
class Place:
    """Where sessions run, and on what."""

    folder: Path
    environment: dict[str, str]
    options: list[str]
    fps: float

    def session(self, *options: str, **more: Any) -> Session:
        return Session(self.folder, self.environment, [*self.options, *options], self.fps, **more)

    def short(
        self, *options: str, shm: str = "", prepare: Callable[[], None] | None = None, **environment: str
    ) -> Account:
        """A session of 100 frames from start to end. shm: how /dev/shm is mounted for it alone; empty: as it is."""
        log = self.folder / f"short-{time.monotonic_ns()}.jsonl"
        command = [sys.executable, "-m", "realtime", "--camera", "0", "--fps", f"{self.fps:g}", *self.options]
        command += ["--view", "none", "--events", str(log), "--frames", "100", *options]
        if shm:
            words = f"mount -t tmpfs {shm} none /dev/shm && exec {shlex.join(command)}"
            command = [*OWN_MOUNTS, "sh", "-c", words]
        merged = {**os.environ, **self.environment, **environment}
        merged = {name: text for name, text in merged.items() if text != "-"}
        child = subprocess.Popen(
            command, cwd=ROOT, env=merged, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare
        )
        _, errors = child.communicate(timeout=120)
        lines = [json.loads(text) for text in log.read_text().splitlines()] if log.exists() else []
        left = glob.glob(f"/dev/shm/merealtime-*-{child.pid}-*")
        return account(lines, child.returncode, errors, left)


Start = Callable[[Place, random.Random], tuple[Trial, Account | None]]


def parent_killed(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """All children end; the next start clears what is left, and only that."""
    session, neighbour = place.session(), place.session()
    children = psutil.Process(session.child.pid).children()
    time.sleep(rng.uniform(0.0, 1.0))
    begun = time.monotonic()
    session.child.kill()
    while (alive := [child for child in children if _runs(child)]) and time.monotonic() < begun + 10:
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    session.child.communicate()
    after = place.short()
    left = glob.glob(f"/dev/shm/merealtime-*-{session.child.pid}-*")
    told = neighbour.end()
    whole = after.code == told.code == 0 and not told.unaccounted
    why = f"alive: {len(alive)}, left: {left}, neighbour: {told.errors}"
    return Trial(not alive and not left and whole, seconds, why=why), told


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def unread(view: str) -> Start:
    """Standard output and error go into a terminal that nobody reads; so full a one that not a line fits."""

    def do(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
        reader, writer = pty.openpty()
        os.set_blocking(writer, False)
        for _ in range(20):  # the terminal hands on what it holds a moment later
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b"x" * 512)
            time.sleep(0.02)
        os.set_blocking(writer, True)
        session = place.session("--view", view, "--debug", output=writer)
        os.close(writer)
        begun = time.monotonic()
        ok = session.wait(lambda: session.notices("output stalls"))
        events = len(session.lines())
        ok = session.wait(lambda: len(session.lines()) > events) and ok
        ended = time.monotonic()
        told = session.end(rng.choice((signal.SIGINT, signal.SIGTERM)))
        seconds = time.monotonic() - ended
        os.close(reader)
        return Trial(ok and told.code == 0, seconds, ended - begun, why=told.errors), told

    return do


def subscribers(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """Twenty that never read, one that floods subscriptions, one that comes late and hears the next tick."""
    import zmq

    endpoint = f"ipc://{place.folder}/publish"
    session = place.session("--publish", endpoint)
    context: Any = zmq.Context()
    deaf = [context.socket(zmq.SUB) for _ in range(20)]
    for one in deaf:
        one.setsockopt(zmq.RCVHWM, 1)
        one.connect(endpoint)
        one.subscribe(b"")
    flood = context.socket(zmq.XSUB)
    flood.connect(endpoint)
    for _ in range(500):
        flood.send(b"\x01" + rng.randbytes(500))
    late = context.socket(zmq.SUB)
    late.connect(endpoint)
    late.subscribe(b"tick")
    begun = time.monotonic()
    heard = bool(late.poll(5000))
    seconds = time.monotonic() - begun
    time.sleep(2.0)
    told = session.end()
    context.destroy(linger=0)
    return Trial(heard and told.code == 0, seconds, why=told.errors), told


def pages(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """Ten pages and ten pictures that are asked for and never read; one that comes late is shown."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    session = place.session("--web", f"127.0.0.1:{port}")
    deaf = [socket.create_connection(("127.0.0.1", port), 5.0) for _ in range(20)]
    for number, one in enumerate(deaf):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = "picture" if number % 2 else "stream"
        one.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    time.sleep(rng.uniform(3.0, 4.0))
    begun = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5.0) as answer:
        shown = answer.status == 200
    seconds = time.monotonic() - begun
    told = session.end()
    for one in deaf:
        one.close()
    return Trial(shown and told.code == 0 and _kept_up(told), seconds, why=told.errors), told


def inlets(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """Three LSL inlets that are opened and never read."""
    import pylsl

    session = place.session("--lsl")
    found = [info for info in pylsl.resolve_streams(2.0) if info.name().startswith("merealtime")]
    opened = [pylsl.StreamInlet(info, max_buflen=1) for info in found for _ in range(3)]
    for inlet in opened:
        inlet.open_stream(5.0)
    time.sleep(rng.uniform(3.0, 4.0))
    told = session.end()
    why = told.errors if opened else "no stream found"
    return Trial(bool(opened) and told.code == 0 and _kept_up(told), why=why), told


def _kept_up(told: Account) -> bool:
    return told.captured > 0 and not any(told.dropped.values())


def full_disk(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """Under recording and event log: told, nothing written is lost, and it goes on when there is room."""
    disk = place.folder / "disk"
    disk.mkdir(exist_ok=True)
    mounted = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        return Trial(False, why="not run: needs the right to mount"), None
    try:
        session = place.session("--record", str(disk / "kept"), log=disk / "events.jsonl")
        filler, began = disk / "filler", time.monotonic()
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
        ok = session.wait(lambda: session.get("record", "dropped") > 0)
        time.sleep(0.5)
        freed = time.monotonic()
        filler.unlink()
        ok = session.wait(lambda: session.notices("disk has space again", after=freed)) and ok
        seconds = time.monotonic() - freed
        noticed = session.notices("disk full")
        time.sleep(0.5)
        told = session.end()
        trial = Trial(ok and told.code == 1, seconds, noticed[0] - began if noticed else None, told.errors)
        return trial, told
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def two_on_one_log(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """On one camera and one log: the second says so in one line, the first never notices."""
    session = place.session()
    time.sleep(rng.uniform(0.0, 1.0))
    second = subprocess.run(
        [sys.executable, "-m", "realtime", "--camera", "0", "--fps", f"{place.fps:g}", *place.options,
         "--view", "none", "--events", str(session.log), "--frames", "100"],
        cwd=ROOT, env={**os.environ, **place.environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    told = session.end()
    refused = second.returncode == 2 and second.stderr.count("\n") == 1 and "another session" in second.stderr
    return Trial(refused and told.code == 0, why=told.errors + second.stderr), told


def interrupted(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
    """Ctrl-C at any moment, mostly of the start: one line at most, nothing left."""
    log = place.folder / f"int-{time.monotonic_ns()}.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "realtime", "--camera", "0", "--fps", f"{place.fps:g}", *place.options,
         "--view", "none", "--events", str(log)],
        cwd=ROOT, env={**os.environ, **place.environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(rng.uniform(0.0, 6.0))
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    seconds = time.monotonic() - begun
    left = glob.glob(f"/dev/shm/merealtime-*-{child.pid}-*")
    ok = errors.count("\n") <= 1 and not left and child.returncode in (0, -signal.SIGINT, 130)
    return Trial(ok, seconds, why=f"{child.returncode} {errors} {left}"), None


def refused(words: str, **surroundings: Any) -> Start:
    """Refused before the start, in one line."""

    def do(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
        begun = time.monotonic()
        told = place.short(**surroundings)
        ok = told.code in (1, 2) and words in told.errors and told.errors.count("\n") == 1 and not told.left
        return Trial(ok, time.monotonic() - begun, why=f"{told.code} {told.errors}"), None

    return do


def works(*, prepare: Callable[[], None] | None = None, **environment: str) -> Start:
    """Works all the same. An environment of ``-`` is unset; ``{here}`` is the folder."""

    def do(place: Place, rng: random.Random) -> tuple[Trial, Account | None]:
        odd = place.folder / "odd ü ☃"
        odd.mkdir(exist_ok=True)
        bare = place.folder / "bare"
        bare.mkdir(exist_ok=True)
        bare.chmod(0o555)
        filled = {name: text.format(odd=odd, bare=bare) for name, text in environment.items()}
        told = place.short(prepare=prepare, **filled)
        shutil.rmtree(odd, ignore_errors=True)
        return Trial(told.code == 0 and not told.left, why=f"{told.code} {told.errors} {told.left}"), told

    return do


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))


def _closed_streams() -> None:
    os.close(0)
    os.close(1)


STARTS: dict[str, Start] = {
    "kill -9 of the parent": parent_killed,
    "output that nobody reads, plain view": unread("plain"),
    "output that nobody reads, live view": unread("live"),
    "20 deaf subscribers, a flood, one late": subscribers,
    "20 pages and pictures that nobody reads": pages,
    "LSL inlets that nobody reads": inlets,
    "disk full under log and recording": full_disk,
    "two sessions on one camera and one log": two_on_one_log,
    "Ctrl-C at any moment": interrupted,
    "/dev/shm too small": refused("free in /dev/shm", shm="-o size=4m"),
    "/dev/shm read-only": refused("Read-only file system", shm="-o ro"),
    "descriptors used up": refused("", prepare=_few_descriptors),
    "HOME unset": works(HOME="-"),
    "HOME read-only": works(HOME="{bare}"),
    "TMPDIR with blanks and snowmen": works(TMPDIR="{odd}"),
    "standard input and output closed": works(prepare=_closed_streams),
}
