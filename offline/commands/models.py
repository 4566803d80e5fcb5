"""The zoo as a table: ``python -m offline.models``."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from offline.commands import cli
from offline.evaluation import report
from offline.evaluation.published import BY_ACCURACY, BY_METHOD
from offline.zoo import ZOO


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.models", description="The models that can be trained.")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    parser.parse_args(argv)
    # a pipe has no width that would have to be kept to
    Console(width=None if sys.stdout.isatty() else 400).print(listing())


def listing() -> Table:
    """What is too long for the terminal is folded, never cut."""
    table = Table()
    for name in ("name", "parameters", "in the paper", "input", "trained", "source", "published, full UF1/UAR"):
        table.add_column(name, overflow="fold", no_wrap=name in ("name", "parameters"))
    for entry in ZOO.values():
        figures = "–"
        if entry.published is not None:
            figures = f"{entry.published} {report.pair(BY_METHOD[entry.published].full)}"
        elif entry.accuracy is not None:
            figures = BY_ACCURACY[entry.accuracy].text
        table.add_row(
            entry.name,
            f"{'≤ ' if entry.trainer.variants else ''}{entry.parameters:,}",
            "; ".join(filter(None, [entry.in_paper, getattr(entry.trainer, "note", "")])) or "–",
            entry.reads or entry.input.title,
            entry.trainer.name,
            entry.source,
            figures,
        )
    return table
