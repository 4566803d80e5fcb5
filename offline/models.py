"""The zoo as a table: ``python -m offline.models``."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from offline import cli
from offline.zoo import ZOO


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.models", description="The models that can be trained.")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    parser.parse_args(argv)
    table = Table("name", "parameters", "input", "trained", "source")
    for entry in ZOO.values():
        table.add_row(entry.name, f"{entry.parameters:,}", entry.input, entry.trainer, entry.source)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
