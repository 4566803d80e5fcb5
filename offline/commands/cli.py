"""What the offline commands share: errors in one line, exit codes, progress."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from offline import extra
from realtime.errors import ConfigError, MerealtimeError
from realtime.options import ModuleParser


class Parser(ModuleParser):
    """As for every command line here; its errors look like those of `run`."""

    says = "error"


def check_writable(option: str, folder: Path) -> None:
    """Find out now, not after the work, that nothing can be written in `folder`; leaves nothing behind."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for made in missing:
            made.rmdir()
    except OSError as error:
        raise ConfigError(f"{option} {folder}: can't be written ({error.strerror}); give another folder") from error


def check_workers(count: int | None) -> None:
    """Refuse a number of processes that is none."""
    if count is not None and count < 1:
        raise ConfigError(f"--workers {count}: at least 1")


def command(name: str, argv: list[str] | None = None) -> int:
    """``python -m offline.NAME`` and ``merealtime NAME``: the command of that name, and its exit code."""
    arguments = sys.argv[1:] if argv is None else argv

    def main(words: list[str]) -> None:
        if name not in extra.WITHOUT and not {"-h", "--help"} & set(words):
            extra.check(name)
        importlib.import_module(f"offline.commands.{name}").main(words)

    return run(main, arguments)


def run(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Call `main`; exit code 0, 1 (failed while running) or 2 (the user can mend it)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        main([a for a in arguments if a != "--debug"])
    except MerealtimeError as error:
        return _fail(str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on from the last checkpoint", 1, False)
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}", 1, debug)
    return 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def progress(console: Console) -> Progress:
    """The tools' progress bar."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=console, transient=False, disable=not console.is_terminal and not
        os.environ.get("FORCE_PROGRESS"),
    )  # fmt: skip


def key_values(pairs: list[str]) -> dict[str, Any]:
    """``--set key=value …`` as a dictionary; values are JSON, or else words."""
    import msgspec

    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair}: expected key=value")
        try:
            found[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[key] = value
    return found
