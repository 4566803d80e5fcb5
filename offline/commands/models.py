"""The zoo as a table: ``python -m offline.models``."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from offline.commands import cli
from offline.evaluation import report
from offline.evaluation.published import BY_METHOD
from offline.zoo import ZOO


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.models", description="The models that can be trained.")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    parser.parse_args(argv)
    # a pipe has no width that would have to be kept to
    Console(width=None if sys.stdout.isatty() else 240).print(listing())


def listing() -> Table:
    """What is too long for the terminal is folded, never cut."""
    table = Table()
    for name in ("name", "parameters", "input", "trained", "source", "published, full UF1/UAR"):
        table.add_column(name, overflow="fold", no_wrap=name in ("name", "parameters"))
    for entry in ZOO.values():
        row = None if entry.published is None else BY_METHOD[entry.published]
        figures = "–" if row is None else f"{row.method} {report.pair(row.full)}"
        table.add_row(
            entry.name,
            f"{'≤ ' if entry.trainer.variants else ''}{entry.parameters:,}",
            entry.reads or entry.input.title,
            entry.trainer.name,
            entry.source,
            figures,
        )
    return table
