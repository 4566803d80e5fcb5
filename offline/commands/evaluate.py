"""One table over runs, published rows beside them: ``python -m offline.evaluate DIR [DIR …] [--html FILE]``.

With two runs or more each is tested against the first, paired over subjects, where both left subjects out by the same
protocol, on the same clips.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from offline.commands import cli
from offline.evaluation import report
from offline.evaluation.compare import Paired, by_person, paired_test
from offline.evaluation.published import ROWS
from offline.evaluation.results import (
    NotPairedError,
    Predictions,
    Results,
    check_tested,
    read_predictions,
    read_results,
)
from offline.training.protocol import STILL_IN_VIEW
from offline.zoo import ZOO
from realtime.errors import ConfigError


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.evaluate", description="One table over runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="--out folders of offline.train")
    parser.add_argument("--html", type=Path, help="write the tables there as well")
    parser.add_argument("--metric", default="uf1", choices=("acc", "f1", "uf1", "uar"), help="of the paired test")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    if options.html:
        if options.html.is_dir():
            raise ConfigError(f"--html {options.html}: a folder; give a file in it")
        cli.check_writable("--html: folder", options.html.parent)
    runs = [read_results(folder) for folder in options.runs]
    for folder, run in zip(options.runs, runs, strict=True):
        check_tested(run, folder)
    tests, notes = [], []
    for folder, run in zip(options.runs[1:], runs[1:], strict=True):
        try:
            tests += compare([options.runs[0], folder], [runs[0], run], options.metric)
        except NotPairedError as error:
            notes.append(f"{error}.")
    console = Console()
    named = _named(options.runs, runs)
    _print(console, named, tests)
    notes = list(dict.fromkeys(notes))
    for note in notes:
        console.print(note, style="yellow", highlight=False)
    if options.html:
        sections = [("Runs", report.runs_table(named)), ("UF1 / UAR", report.published_table(named))]
        if tests:
            sections.append(("Paired tests over subjects", report.comparison_rows(tests)))
        report.write_page(
            options.html,
            "Runs and published figures",
            notes,
            list(dict.fromkeys(r for run in runs for r in report_warnings(run))),
            sections,
        )
        print(options.html)


def _named(folders: list[Path], runs: list[Results]) -> dict[str, Results]:
    """Runs by model, with the folder where that is not the model's name or a model comes twice."""
    named: dict[str, Results] = {}
    for folder, run in zip(folders, runs, strict=True):
        name = run.title if folder.name == run.model else f"{run.title} ({folder.name})"
        named[name if name not in named else f"{run.title} ({folder})"] = run
    return named


def report_warnings(run: Results) -> list[str]:
    found = [f"{run.model}: this protocol leaks: {run.leak}."] if run.leak else []
    settled = ZOO[run.model].settled if run.model in ZOO else ""
    settled = STILL_IN_VIEW if run.protocol == "nested" else settled
    return [*found, f"{run.model}: {settled[0].lower()}{settled[1:]}"] if settled else found


def compare(folders: list[Path], runs: list[Results], metric: str) -> list[tuple[str, str, Paired]]:
    """Each later run against the first. Raises NotPairedError when they can't be paired."""
    if len(folders) < 2:
        return []
    for folder, run in zip(folders, runs, strict=True):
        if run.protocol == "frame-split":
            raise NotPairedError(f"{folder} is not leave-one-subject-out but {run.protocol}: it can't be paired")
        if _folds(run) != _folds(runs[0]):
            raise NotPairedError(
                f"{folders[0]} is {runs[0].protocol} and {folder} {run.protocol}: they can't be paired"
            )
    predictions = [read_predictions(folder) for folder in folders]
    tests = []
    for run, own, folder in zip(runs[1:], predictions[1:], folders[1:], strict=True):
        _same_clips(predictions[0], own, folders[0], folder)
        first, second = _counts(own), _counts(predictions[0])
        tests.append((f"{run.title} ({folder.name})", f"{runs[0].title} ({folders[0].name})",
        paired_test(first, second, metric)))  # type: ignore[arg-type]  # fmt: skip
    return tests


def _folds(run: Results) -> str:
    """Whom it held out: nested runs leave each subject out as others do."""
    return "loso" if run.protocol == "nested" else run.protocol


def _counts(predictions: Predictions) -> np.ndarray:
    return by_person(predictions.person, predictions.label, predictions.predicted, len(predictions.labels))


def _same_clips(one: Predictions, other: Predictions, first: Path, second: Path) -> None:
    same = one.person.shape == other.person.shape and all(
        (getattr(one, name) == getattr(other, name)).all() for name in ("person", "clip", "label")
    )
    if not same:
        raise NotPairedError(f"{first} and {second} were not tested on the same clips: they can't be paired")


def _print(console: Console, runs: dict[str, Results], tests: list[tuple[str, str, Paired]]) -> None:
    table = Table(title="UF1 / UAR, leave-one-subject-out unless said")
    for name in ("", *report.PARTS):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name), overflow="fold")
    for name, run in runs.items():
        table.add_row(*report.ours_cells(name, run), style="bold")
    table.add_section()
    for row in ROWS:
        table.add_row(*report.published_cells(row), style="dim" if row.leaky else None)
    console.print(table)
    console.print(report.PUBLISHED_NOTES, highlight=False)
    for run in runs.values():
        if run.leak:
            console.print(f"{run.model}: {run.protocol} leaks: {run.leak}", style="yellow", highlight=False)
    for first, second, test in tests:
        console.print(
            f"{first} − {second}: {test.metric} {test.difference:+.4f} "
            f"(95 % {test.low:+.4f} … {test.high:+.4f}), p = {test.p_value:.4f}, {test.subjects} subjects",
            highlight=False,
        )
