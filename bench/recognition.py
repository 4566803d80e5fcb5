"""Recognition as one small JSON: what runs of ``offline.train`` found, for docs/benchmarks.md.

``python bench/recognition.py runs/laenet [runs/OTHER …] [--json FILE]``. Reads ``results.json``,
``predictions.csv`` and the bundle of each run folder, trains nothing, and times one map through each bundle.
Runs after the first are tested against it, paired over subjects. Figures on other clips than the first run's
are refused.
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
from offline.commands import cli, evaluate
from offline.evaluation import calibration
from offline.evaluation.results import Results, check_tested, read_predictions, read_results
from offline.zoo import get
from realtime.errors import ConfigError
from realtime.recognition import bundle

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("uf1", "uar", "acc")
PARTS = ("full", "smic", "casme2", "samm")


def command(run: Results, folder: Path) -> str:
    """What makes the run again (the data's places are placeholders)."""
    words = [f"python -m offline.train --dataset {run.dataset} --data COMPOSITE.npz --model {run.model}"]
    words.append(f"--seeds {len(run.seeds)}")
    if run.protocol != "loso":
        words.append(f"--protocol {run.protocol}")
    if run.config.get("recut"):
        words.append("--recut")
    if run.config.get("pretrain"):
        words.append(f"--pretrain {run.config['pretrain']} --pretrain-data SOURCE")
    if run.config.get("freeze"):
        words.append(f"--freeze {run.config['freeze']}")
    if run.config.get("variant", "nested") != "nested":
        words.append(f"--variant {run.config['variant']}")
    networks = run.config["recipe"].get("networks", {}) if "variant" in run.config else run.config["recipe"]
    usual = msgspec.to_builtins(get(run.model).recipe) or {}
    changed = [f"{k}={msgspec.json.encode(v).decode()}" for k, v in networks.items() if usual.get(k) != v]
    words += ["--set", *changed] if changed else []
    return " ".join([*words, f"--out runs/{folder.name}"])


def row(run: Results, folder: Path) -> dict[str, Any]:
    """One model's line of the table."""
    served = bundle.load(folder / "bundle")
    maps = np.random.default_rng(0).uniform(0, 255, (1, 28, 28, 3)).astype(np.float32)
    return {
        "model": run.title,
        "parameters": run.parameters,
        "seeds": len(run.seeds),
        "selection": run.selection,
        "chosen": run.chosen,
        "metrics": {
            part: {name: {k: round(v, 6) for k, v in run.metrics[part][name].items()} for name in METRICS}
            for part in PARTS
            if part in run.metrics
        },
        "choices": run.choices,
        "calibration": means(run, folder),
        "leaky_best_epoch_on_test": run.warning_best_epoch_on_test,
        "training_s": run.seconds,
        "network_bytes": (folder / "bundle" / served.card.network.file).stat().st_size,
        "one_map_ms": interleaved_ms({"map": lambda: served.predict(maps)}, rounds=300)["map"],
        "command": command(run, folder),
    }


def means(run: Results, folder: Path) -> dict[str, Any] | None:
    """What the scores mean: calibration errors, raw and calibrated, and accuracy of the surest clips."""
    if run.calibration is None:
        return None
    found = msgspec.to_builtins(run.calibration)
    tested = read_predictions(folder)
    sure, right = tested.scores.max(-1), tested.predicted == tested.label
    del found["bins"]
    return found | {"selective_raw": calibration.selective(sure, right)}


def paired(folders: list[Path], runs: list[Results]) -> list[dict[str, Any]]:
    """Each later run against the first, in every metric."""
    tests = [
        {"model": run.title, "against": runs[0].title, **msgspec.to_builtins(test)}
        for metric in METRICS
        for run, (_, _, test) in zip(runs[1:], evaluate.compare(folders, runs, metric), strict=True)
    ]
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in test.items()} for test in tests]


def kept(file: Path, models: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and tests of models that are not measured again, each with the commit that it was measured on."""
    if not models:
        return [], []
    old = msgspec.json.decode(file.read_bytes())
    missing = set(models) - {row["model"] for row in old["rows"]}
    if missing:
        raise ConfigError(f"--keep {', '.join(sorted(missing))}: no such row in {file}")
    commit = {"commit": old["machine"]["commit"]}
    rows, tests = ([one for one in old[name] if one["model"] in models] for name in ("rows", "paired_over_subjects"))
    return [commit | row for row in rows], [commit | test for test in tests]


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="bench/recognition.py", description="Runs as one small JSON.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="--out folders of offline.train")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "recognition.json")
    parser.add_argument("--keep", nargs="+", default=[], metavar="MODEL", help="rows of the old file that stay, marked")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    runs = [read_results(folder) for folder in options.runs]
    for run, folder in zip(runs, options.runs, strict=True):
        check_tested(run, folder)
    tests = paired(options.runs, runs)
    rows = [row(run, folder) for run, folder in zip(runs, options.runs, strict=True)]
    old_rows, old_tests = kept(options.json, options.keep)
    rows, tests = rows + old_rows, tests + old_tests
    write_json(options.json, {"rows": rows, "paired_over_subjects": tests, "machine": machine()})
    table = Table("model", "parameters", "seeds", *METRICS, title="Full, leave-one-subject-out")
    for one in rows:
        cells = [f"{one['metrics']['full'][name]['mean']:.4f}" for name in METRICS]
        table.add_row(one["model"], f"{one['parameters']:,}", str(one["seeds"]), *cells)
    Console().print(table)
    for test in tests:
        print(
            "{model} - {against}: {metric} {difference:+.4f} ({low:+.4f} … {high:+.4f}), p = {p_value:.4f}".format(
                **test
            )
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
