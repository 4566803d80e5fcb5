"""Draws ``page-live.png`` and ``page-review.png``: both pages in Chromium, on the demo's generated face alone.

``python docs/page_pictures.py`` from a checkout; wants a machine with nothing else to do, or the pictures show losses.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from _browser import browser_page  # noqa: E402
from _session import left_behind  # noqa: E402
from PIL import Image  # noqa: E402

_COLOURS = 256
_LIVE_S = 22


def start(*words: str) -> tuple[subprocess.Popen[str], str]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "realtime", *words]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with contextlib.suppress(OSError):  # the browser draws on the same cores
        os.setpriority(os.PRIO_PROCESS, child.pid, -15)
    assert child.stdout is not None
    return child, child.stdout.readline().split()[-1]


def keep(page: Any, name: str) -> None:
    """A small PNG."""
    path = Path(__file__).parent / name
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(_COLOURS, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} kB")


def draw_live(records: Path) -> None:
    """A session that is recorded, with a mark, dark."""
    words = ["--camera", "demo:3", "--fps", "200", "--web", "127.0.0.1:0", "--record", str(records), "--view", "none"]
    child, url = start(*words)
    with browser_page(1360, 880, "dark") as watched:
        watched.page.goto(url)
        watched.wait("document.querySelectorAll('#events tr').length > 4", 60)
        watched.page.fill("#words", "film 2")
        watched.press("Escape", "m")
        watched.page.wait_for_timeout(1500)
        keep(watched.page, "page-live.png")
        watched.wait(f"document.querySelector('#time').textContent >= '0:{_LIVE_S}'", 60)
        watched.press("x", "Tab", "Enter")
        child.wait()
    assert not left_behind(child.pid)


def draw_review(session: Path) -> None:
    """Two events judged, the third under review, light."""
    child, url = start("review", str(session), "--port", "0", "--no-browser")
    with browser_page(1360, 1010) as watched:
        watched.page.goto(url)
        watched.wait("document.body.dataset.ready")
        watched.page.fill("#reviewer", "Ada")
        watched.press("Enter")
        for key in ("t", "f"):
            title = watched.text("#event-title")
            watched.press(key)
            watched.wait("document.querySelector('#saved').textContent.startsWith('on disk')")
            watched.press("j")
            watched.wait(f"document.querySelector('#event-title').textContent !== {title!r}")
        watched.wait("document.querySelector('#maps-told').textContent.startsWith('computed')", 60)
        watched.press("w", "t")
        watched.wait("document.querySelector('#saved').textContent.startsWith('on disk')")
        watched.page.wait_for_timeout(1000)
        keep(watched.page, "page-review.png")
    child.terminate()
    child.wait()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        draw_live(Path(folder))
        (session,) = Path(folder).iterdir()
        draw_review(session)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
