"""Both pages as a lab sees them: a live session and its review, by keyboard alone, in a real browser, to the end."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _browser import Watched, browser_page, need_browser
from _session import ROOT, Run, assert_balanced, left_behind
from _session_folder import events_of

pytestmark = pytest.mark.slow
HOSTILE = (
    b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: {}\r\n\r\n",
    b"GET /static/../../address.py HTTP/1.1\r\nHost: {}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /do HTTP/1.1\r\nHost: {}\r\nOrigin: http://evil.example\r\nContent-Type: application/json\r\n"
    b'Content-Length: 13\r\n\r\n{"do":"stop"}',
    b"POST /do HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{",
    b"POST /do HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 5000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


def printed_address(stream: object) -> str:
    line = stream.readline()  # type: ignore[attr-defined]
    found = re.fullmatch(r"page    (http://127\.0\.0\.1:\d+/)\n", line)
    assert found, line
    return found[1]


def send_raw(url: str, request: bytes) -> bytes:
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        with contextlib.suppress(ConnectionError):
            line.sendall(request.replace(b"{}", f"{host}:{port}".encode()))
        line.settimeout(2)
        with contextlib.suppress(OSError):
            return line.recv(4096)
    return b""


def stalled_page(url: str) -> socket.socket:
    """One that asks for the stream and never reads it."""
    host, port = url.split("/")[2].split(":")
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((host, int(port)))
    line.sendall(f"GET /stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    return line


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session folder that the live test leaves, for the review's."""
    need_browser()
    folder = tmp_path_factory.mktemp("page")
    run = Run(folder, "--camera", "demo:3", "--fps", "200", "--web", "127.0.0.1:0", "--record", str(folder / "rec"))
    try:
        drive_live(run, folder)
    finally:
        if run.child.poll() is None:
            run.child.kill()
    (session,) = (folder / "rec").iterdir()
    return session


def drive_live(run: Run, folder: Path) -> None:
    """Watch, mark, rest, pause, go on, survive strangers and the death of the page's server, stop."""
    url = printed_address(run.child.stdout)
    with browser_page() as watched, contextlib.closing(stalled_page(url)):
        watched.page.goto(url)
        watched.wait("document.querySelector('#phase').textContent === 'running'", 60)
        watched.wait("document.querySelectorAll('#events tr').length > 0")
        watched.wait("Number(document.querySelector('#picture').dataset.count) >= 10")
        assert watched.text("#face") == "found"
        assert "200 fps" in watched.text("#rate")
        assert not watched.nameless()

        watched.press("/")
        watched.page.keyboard.type("trial 1")
        watched.press("Escape", "m")
        watched.wait("document.querySelector('#notices').textContent.includes('trial 1')")
        watched.press("r", "c")
        watched.wait("document.querySelector('#recording').textContent === 'recording paused'")
        watched.press("c")
        watched.wait("document.querySelector('#recording').textContent === 'recording'")

        for request in HOSTILE:
            answer = send_raw(url, request)
            assert not answer or re.match(rb"HTTP/1.1 (4\d\d|50[15]) ", answer), (request[:60], answer[:200])
        assert run.child.poll() is None
        assert watched.text("#phase") == "running"

        run.stage("web").send_signal(signal.SIGKILL)
        watched.wait("document.querySelector('#notices').textContent.includes('stage back')", 60)
        before = int(watched.page.get_attribute("#picture", "data-count"))
        watched.wait(f"Number(document.querySelector('#picture').dataset.count) > {before + 5}")
        assert "trial 1" in watched.text("#notices"), "told again what came before"

        watched.wait("document.querySelectorAll('#events tr').length > 2", 60)
        watched.press("x", "Tab", "Enter")
        watched.wait("document.querySelector('#phase').textContent === 'ended'")
        watched.wait("document.querySelector('#notices').textContent.includes('stopped by page')")
        assert not watched.foreign(url)
        assert not [text for text in watched.trouble if "ERR_" not in text], watched.trouble  # the server died once
    code, errors = run.end()
    assert code == 0, errors
    assert not left_behind(run.child.pid)


def test_a_live_session(live: Path) -> None:
    lines = [json.loads(text) for text in (live / "events.jsonl").read_text().splitlines()]
    assert assert_balanced(lines)["ended"] == "stopped by page"
    (mark,) = [line for line in lines if line["type"] == "marker"]
    assert (mark["text"], mark["origin"]) == ("trial 1", "page")
    assert mark["frame"] > 0
    told = [line["what"] for line in lines if line["type"] == "notice"]
    assert {"recording paused", "recording goes on", "stage restarted", "stage back"} <= set(told)
    assert lines[-1]["stages"]["web"]["busy_s"] > 0


@pytest.fixture
def reviewed(live: Path) -> Iterator[tuple[Path, str]]:
    """A session under review: its folder, the page's address."""
    words = [sys.executable, "-m", "realtime", "review", str(live), "--port", "0", "--no-browser"]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield live, printed_address(child.stdout)
    finally:
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")


def as_reviewer(watched: Watched, url: str, name: str) -> None:
    watched.page.goto(url)
    watched.wait("document.body.dataset.ready")
    watched.page.focus("#reviewer")
    watched.page.keyboard.press("Control+A")
    watched.page.keyboard.type(name)
    watched.press("Enter")
    watched.wait("document.querySelector('#judged').textContent.startsWith('0 of')")


def saved_lines(session: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in (session / "review.jsonl").read_text().splitlines()]


def test_a_review_by_two(reviewed: tuple[Path, str]) -> None:
    session, url = reviewed
    events = sorted(events_of(session), key=lambda event: (event["onset_t_ns"], event["id"]))
    with browser_page(height=1000) as watched:
        as_reviewer(watched, url, "Ada")
        watched.wait("document.querySelector('#event-title').textContent !== 'Event'")
        assert watched.text("#event-title").startswith(f"Event {events[0]['id']},")
        watched.wait("document.querySelectorAll('#maps canvas').length === 8", 60)
        watched.wait("document.querySelector('#picture').dataset.frame > 0")
        assert not watched.nameless()

        label = "positive" if events[0]["label"] == "negative" else "negative"
        watched.press(
            "q", "ArrowRight", "ArrowRight", "ArrowRight", "1", label[0], "t"
        )  # onset three frames later, true
        watched.wait("document.querySelector('#saved').textContent.startsWith('on disk')")
        (line,) = saved_lines(session)
        first = events[0]
        numbers = [int(v) for v in re.findall(r"\d+", watched.text("#moments"))]
        assert numbers[0] == line["onset"] > first["onset"]
        assert (line["event"], line["verdict"], line["label"]) == (first["id"], "true", label)
        assert (line["apex"], line["offset"], line["reviewer"]) == (first["apex"], first["offset"], "Ada")

        for event in events[1:]:
            watched.press("j")
            watched.wait(f"document.querySelector('#event-title').textContent.startsWith('Event {event['id']},')")
            watched.press("f" if event is events[1] else "t")
            watched.wait("document.querySelector('#saved').textContent.startsWith('on disk')")
        assert watched.text("#judged") == f"{len(events)} of {len(events)}"

        watched.press("PageDown")
        watched.wait("document.querySelector('#event-title').textContent === 'No event here'")
        watched.press("a", "ArrowRight", "ArrowRight", "1", "u")
        watched.wait("document.querySelector('#judged').textContent.endsWith('1 added')")
        assert saved_lines(session)[-1]["event"] is None
        watched.press("k", " ")  # plays in slow motion
        shown = watched.page.get_attribute("#picture", "data-frame")
        watched.wait(f"document.querySelector('#picture').dataset.frame !== '{shown}'")
        watched.press(" ")

        as_reviewer(watched, url, "Ben")
        for event in events:
            watched.wait(f"document.querySelector('#event-title').textContent.startsWith('Event {event['id']},')")
            assert watched.text("#others") == "", "nobody sees what others said before"
            watched.press("t")
            watched.wait("document.querySelector('#saved').textContent.startsWith('on disk')")
            assert "Ada: " in watched.text("#others")
            watched.press("j")
        assert re.search(r"Ada – Ben: κ -?0\.00 \(\d+ of \d+ alike\)", watched.text("#agreement"))
        assert not watched.foreign(url)
        assert not watched.trouble
    words = [sys.executable, "-m", "realtime", "export", str(session), "--format", "elan", "--out", f"{session}.eaf"]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert "Ada" in Path(f"{session}.eaf").read_text()
