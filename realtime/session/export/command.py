"""``merealtime export SESSION_DIR|EVENTS.jsonl --format … [--out PATH]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from realtime.errors import MerealtimeError
from realtime.options import OneLineParser
from realtime.session.export import FORMATS, export, would_write
from realtime.session.load import load

_EPILOG = """\
formats:
  csv        frame, timestamp (s) and the curves; events, markers and verdicts in a second file
  openface   the curves with OpenFace 2's names for what we know
  elan       .eaf with the tiers micro, macro, label, marker, verdict
  boris      rows to paste into an observation
  bids       a data set with sub-*/ses-*/beh: events and curves (physio)
  parquet    as csv
"""


def main(words: Sequence[str]) -> int:
    """Read, write, say what was made; the exit code."""
    parser = OneLineParser(
        prog="merealtime export",
        description="Write a recorded session for other tools.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("session", type=Path, metavar="SESSION_DIR|EVENTS.jsonl")
    parser.add_argument("--format", required=True, choices=tuple(FORMATS))
    parser.add_argument("--out", type=Path, metavar="PATH", help="a folder, or the main file's name")
    parser.add_argument("--dry-run", action="store_true", help="name the files and their sizes, and write none")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args(words)
    try:
        session = load(arguments.session)
        if arguments.dry_run:
            made = [f"{path} ({size} bytes)" for path, size in would_write(session, arguments.format, arguments.out)]
        else:
            made = [str(path) for path in export(session, arguments.format, arguments.out)]
    except MerealtimeError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"merealtime: {' '.join(str(error).split())}\n")
        return error.exit_code
    if session.damaged:
        sys.stderr.write(f"merealtime: {arguments.session}: {session.damaged} damaged lines were left out\n")
    for line in made:
        print(line)
    return 0
