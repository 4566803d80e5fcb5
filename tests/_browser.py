"""A real browser: the system's Chromium, driven by Playwright. Tests skip where it is not."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def need_browser() -> None:
    """Skip, with the reason, where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (scripts/setup.sh --tests installs it)")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed (scripts/setup.sh --tests)")


class Watched:
    """A page, and what it asked and complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.trouble: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", lambda m: self.trouble.append(m.text) if m.type in ("error", "warning") else None)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, condition: str, timeout_s: float = 30) -> None:
        """Until a JavaScript expression is true. (Playwright's own waiting needs ``eval``, which the page forbids.)"""
        deadline = time.monotonic() + timeout_s
        while not self.page.evaluate(f"Boolean({condition})"):
            said = self.page.evaluate("document.body.innerText.slice(0, 1500)")
            assert time.monotonic() < deadline, f"waited in vain for {condition}; trouble: {self.trouble}; page: {said}"
            self.page.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def foreign(self, origin: str) -> list[str]:
        """What was asked of anybody else."""
        return [url for url in self.asked if not url.startswith((origin, "blob:", "data:"))]

    def nameless(self) -> list[str]:
        """Controls that a screen reader has no name for."""
        tree = self.page.context.new_cdp_session(self.page).send("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "textbox", "checkbox", "combobox", "slider", "img", "image", "dialog", "region"}
        return [
            str(node)
            for node in tree
            if not node["ignored"]
            and node.get("role", {}).get("value") in roles
            and not node.get("name", {}).get("value")
        ]


@contextlib.contextmanager
def browser_page(width: int = 1360, height: int = 900, scheme: str = "light") -> Iterator[Watched]:
    """A page of a fresh headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield Watched(made.new_page(viewport={"width": width, "height": height}, color_scheme=scheme))  # type: ignore[arg-type]
        finally:
            made.close()
