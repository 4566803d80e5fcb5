"""Systems that need whole clips, beside LAENet, on clips of the generated face: ``python bench/zoo_clips.py``.

The public maps give neither frames nor px, so LBP-TOP can't be measured on them. Here each system runs from the clips
to its report, leaving out one generated subject at a time; the clips are kept in ``--data``. A subject is a seed of one
portrait: nothing learnt on them says anything about people, and the table says no more than that the systems work.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._harness import machine, write_json
from offline.commands import cli, train
from offline.evaluation.results import read_results
from offline.zoo import ZOO

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("lbp-top", "bi-woof", "laenet")
METRICS = ("uf1", "uar", "acc")


def row(model: str, folder: Path) -> dict[str, Any]:
    """One line of the table from a run's folder."""
    run = read_results(folder)
    full = {name: round(run.metrics["full"][name]["mean"], 4) for name in METRICS}
    reads = ZOO[model].reads or ZOO[model].input.title
    clips = int(sum(map(sum, run.confusion["full"])))
    return {
        "model": model,
        "reads": reads,
        "protocol": run.protocol,
        "parameters": run.parameters,
        "clips": clips,
    } | full


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="bench/zoo_clips.py", description="Systems that need clips, on generated ones.")
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "generated", help="where the clips are kept")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "zoo-clips", help="where the runs' folders are")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "zoo_clips.json")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    stamp, rows = machine(), []
    for model in MODELS:
        words = ["--dataset", "synthetic", "--data", str(options.data), "--model", model]
        train.main([*words, "--out", str(options.runs / model)])
        rows.append(row(model, options.runs / model))
    write_json(options.json, {"rows": rows, "machine": stamp})
    table = Table("system", "reads", "clips", "parameters", *METRICS, title="Generated clips, one subject left out")
    for one in rows:
        figures = (f"{one[name]:.4f}" for name in METRICS)
        table.add_row(one["model"], one["reads"], str(one["clips"]), f"{one['parameters']:,}", *figures)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
