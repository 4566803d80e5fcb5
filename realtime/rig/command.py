"""``merealtime check [--camera SOURCE] [--seconds N] [--report FILE.html] [--json FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from realtime.errors import MerealtimeError, without_passwords
from realtime.options import OneLineParser

_EPILOG = """\
Sit before the camera as in a session, look ahead, hold still. Exit code 0 whatever the verdict: it is in the table, on
the page (--report) and in --json. What this machine can do at all says merealtime --check.
"""


def make_parser() -> argparse.ArgumentParser:
    """Its options; those of a session mean the same."""
    parser = OneLineParser(
        prog="merealtime check",
        description="Measure camera, light and face: will this rig do for micro-expressions?",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--camera", metavar="SOURCE", help="as of a session; default: demo")
    add("--fps", type=float, metavar="N", help="frames a second to ask for, or a recording's true rate")
    add("--size", metavar="WxH", help="picture size to ask of a camera")
    add("--pixel-format", choices=("auto", "GREY", "YUYV", "MJPG"), help="pixel format to ask of a camera")
    add("--config", metavar="FILE.toml", help="settings")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    add("--seconds", type=float, default=20.0, metavar="N", help="how long to measure; default: 20")
    add("--report", type=Path, metavar="FILE.html", help="write a page")
    add("--json", type=Path, metavar="FILE", help="write the figures")
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def main(words: Sequence[str]) -> int:
    """Measure, show, write; the exit code."""
    parser = make_parser()
    arguments = parser.parse_args(words)
    if not 3.0 <= arguments.seconds <= 3600.0:
        parser.error(f"--seconds {arguments.seconds:g}: from 3 to 3600; the noise is learnt for two")
    try:
        return _run(arguments)
    except MerealtimeError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"merealtime: {without_passwords(' '.join(str(error).split()))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _run(arguments: argparse.Namespace) -> int:
    from realtime import config
    from realtime.rig import report
    from realtime.rig.measure import measure

    overrides = dict(config.parse_assignment(text) for text in arguments.set)
    given = {"camera": arguments.camera, "fps": arguments.fps, "size": arguments.size}
    given["pixel_format"] = arguments.pixel_format
    overrides |= {f"source.{name}": value for name, value in given.items() if value is not None}
    settings = config.load(arguments.config, overrides)
    quiet = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("look ahead, hold still", total=1.0)
        figures = measure(settings, arguments.seconds, lambda done: progress.update(task, completed=done))
    report.show(figures, Console())
    if arguments.report is not None:
        report.write(figures, arguments.report)
        print(f"page: {arguments.report}")
    if arguments.json is not None:
        text = msgspec.json.format(msgspec.json.encode(figures)).decode() + "\n"
        report.write_text(arguments.json, without_passwords(text), "--json")
    return 0
