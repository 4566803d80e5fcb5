"""Every system of the three papers that the public maps allow, measured here beside its published row.

``python bench/zoo.py [--data FILE.npz] [--runs DIR] [--weights DIR] [--only NAME …] [--report]``. Each row of
`_zoo_rows` is one run of ``offline.train``; a run that was stopped goes on, one that is there is not made again. A row
whose run is gone stays as the report has it; what has neither is listed as not measured. ``--report`` trains nothing.
Each run is tested against LAENet by the same protocol, paired over subjects. Nothing is chosen: the rows, and what was
cut for the machine, are fixed in `_zoo_rows`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._harness import interleaved_ms, machine, write_json
from bench._zoo_rows import ROWS, Row
from offline.commands import cli, evaluate, train
from offline.datasets.flowmaps import load
from offline.evaluation.published import BY_ACCURACY, BY_METHOD
from offline.evaluation.results import Results, read_results
from offline.zoo import ZOO
from realtime.recognition import bundle

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "composite.npz"
METRICS = ("uf1", "uar", "acc")
PARTS = ("full", "smic", "casme2", "samm")
COMMIT = "commit.txt"
"""In a run's folder: of the tree that trained it, which may be older than that which draws it up."""


def measured(row: Row, folder: Path, against: Path) -> dict[str, Any]:
    """One line of the table from a run's folder."""
    run = read_results(folder)
    served = bundle.load(folder / "bundle")
    maps = np.random.default_rng(0).uniform(0, 255, (1, *bundle.MAP_SHAPE)).astype(np.float32)
    figures = {
        part: {name: {k: round(v, 4) for k, v in run.metrics[part][name].items()} for name in METRICS}
        for part in PARTS
        if part in run.metrics
    }
    return {
        "seeds": len(run.seeds),
        "parameters": run.parameters,
        "title": run.title,
        "selection": run.selection,
        "metrics": figures,
        "training_s": run.seconds,
        "commit": (folder / COMMIT).read_text().strip() if (folder / COMMIT).exists() else "unknown",
        "network_bytes": (folder / "bundle" / served.card.network.file).stat().st_size,
        "one_map_ms": interleaved_ms({"map": lambda: served.predict(maps)}, rounds=30)["map"],
        "against_laenet": None if row.model == "laenet" else paired(folder, run, against),
    }


def paired(folder: Path, run: Results, against: Path) -> dict[str, Any] | None:
    """UF1 against LAENet's by the same protocol; None where that has not been run."""
    if not (against / "results.json").exists():
        return None
    ((_, _, test),) = evaluate.compare([against, folder], [read_results(against), run], "uf1")
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in msgspec.to_builtins(test).items()}


def published(model: str) -> dict[str, Any] | None:
    """The papers' own figures."""
    entry = ZOO[model]
    if entry.published is not None:
        row = BY_METHOD[entry.published]
        return {"method": row.method, "uf1": row.full[0], "uar": row.full[1], "leaky": row.leaky}
    if entry.accuracy is not None:
        own = BY_ACCURACY[entry.accuracy]
        return {"method": own.method, "acc": own.figures.get("full", 0.0) / 100, "leaky": own.leaky}
    return None


def line(row: Row, runs: Path) -> dict[str, Any]:
    """All that the page says of a row."""
    found = {
        "model": row.model,
        "protocol": row.protocol,
        "cut": row.cut,
        "published": published(row.model),
        "reads": ZOO[row.model].reads or ZOO[row.model].input.title,
        "command": "python -m offline.train " + " ".join(row.words("COMPOSITE.npz", "WEIGHTS", f"runs/{row.name}")),
        "full_command": f"python -m offline.train --dataset flowmaps --data COMPOSITE.npz --model {row.model}",
        "measured": None,
    }
    folder = runs / row.name
    if (folder / "results.json").exists():
        against = next(one for one in ROWS if one.model == "laenet" and one.protocol == row.protocol)
        found["measured"] = measured(row, folder, runs / against.name)
    return found


def kept(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of an earlier report, by model, protocol and what was cut: each names the commit that trained it."""
    if not path.exists():
        return {}
    rows = msgspec.json.decode(path.read_bytes())["rows"]
    return {(row["model"], row["protocol"], row["cut"]): row["measured"] for row in rows}


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="bench/zoo.py", description="The three papers' systems on the public maps.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "zoo", help="where the runs' folders are")
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="folder of files of ImageNet weights")
    parser.add_argument("--only", nargs="+", default=[], help="models; default: all, in order")
    parser.add_argument("--report", action="store_true", help="train nothing: draw up what is there")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "zoo.json")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    for row in ROWS:
        if options.report or (options.only and row.model not in options.only):
            continue
        if row.weights and not (options.weights / row.weights).exists():
            print(f"{row.name}: no {options.weights / row.weights}; not run", file=sys.stderr)
            continue
        if not (options.runs / row.name / "results.json").exists():
            train.main(row.words(str(options.data), str(options.weights), str(options.runs / row.name)))
            (options.runs / row.name / COMMIT).write_text(machine()["commit"] + "\n")
    data = load(options.data)
    lines, before = [line(row, options.runs) for row in ROWS], kept(options.json)
    for one in lines:
        one["measured"] = one["measured"] or before.get((one["model"], one["protocol"], one["cut"]))
    count = {"clips": len(data), "subjects": len(set(data.person.tolist()))}
    write_json(options.json, {**count, "rows": lines, "machine": machine()})
    table = Table("system", "protocol", "parameters", *METRICS, "ms a map", title="Public maps, full composite")
    for one in lines:
        if one["measured"] is None:
            table.add_row(one["model"], one["protocol"], *["not run"] * 5)
            continue
        full = one["measured"]["metrics"]["full"]
        cells = [f"{full[name]['mean']:.4f}" for name in METRICS]
        ms = f"{one['measured']['one_map_ms']['median']:.2f}"
        table.add_row(one["model"], one["protocol"], f"{one['measured']['parameters']:,}", *cells, ms)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
