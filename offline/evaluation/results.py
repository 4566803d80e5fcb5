"""A run's folder: ``results.json`` and ``predictions.csv``, written and read."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.datasets.people import clip_of
from offline.evaluation.beside import Beside
from offline.evaluation.calibration import Calibration
from offline.evaluation.metrics import NAMES, confusion, metrics, metrics_of
from offline.files import write_bytes
from realtime.errors import UserError
from realtime.files import read_at_most
from realtime.types import LABELS

_MOST_BYTES = 256 << 20
PLAIN = ("seed", "dataset", "subject", "clip", "label", "predicted")
COLUMNS = (*PLAIN, *(f"score_{name}" for name in LABELS))
"""Of the three classes; a data set with others has their scores. With a leaky protocol a warning follows."""


class NotPairedError(UserError):
    """Runs that can't be tested against each other."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """``results.json``."""

    model: str
    parameters: int
    dataset: str
    protocol: str
    selection: str
    """"none": the run chose nothing; "nested: …": each fold chose, on its training subjects alone."""
    seeds: list[int]
    metrics: dict[str, dict[str, dict[str, float]]]
    """data set or "full" → metric → mean and std over seeds."""
    confusion: dict[str, list[list[int]]]
    """data set or "full" → counts summed over seeds, rows the truth."""
    seconds: float
    """Training, all folds and seeds, without loading and report."""
    config: dict[str, Any]
    labels: list[str] = msgspec.field(default_factory=lambda: list(LABELS))
    """Of the classes, in the order of the confusions."""
    leak: str = ""
    """What the protocol lets through, where it does."""
    warning_best_epoch_on_test: dict[str, float] | None = None
    """NOT a result: what picking each test subject's best epoch would have shown."""
    calibration: Calibration | None = None
    """Of the held-out scores; None where too few people were tested."""
    chosen: dict[str, int] | None = None
    """With a selection: how many folds chose what."""
    choices: dict[str, dict[str, Any]] | None = None
    """With ``protocol`` nested: what each fold, named after whom it held out, chose from ``config``'s grid."""
    loso: dict[str, dict[str, float]] | None = None
    """With a leaky protocol: the honest figures of the same model and samples, by the protocol `beside`."""
    beside: str = ""
    beside_bundle: Beside | None = None
    """The bundle that it is to take the place of, on the same clips; None: it was not compared."""

    @property
    def pretraining(self) -> str:
        """What the networks were trained on first, in words; empty: nothing."""
        if not self.config.get("pretrain"):
            return ""
        return f"pre-trained on {self.config['pretrain']} ({self.config.get('pretrain_clips')} clips){self.frozen}"

    @property
    def started(self) -> str:
        """The file of weights that the networks started from, in words; empty: none."""
        if not self.config.get("weights"):
            return ""
        return f"started from {self.config['weights']}{self.frozen}"

    @property
    def frozen(self) -> str:
        share = self.config.get("freeze")
        return f", first {share:.0%} of the layers frozen" if share else ""

    @property
    def title(self) -> str:
        """Model, pre-training, and whether the folds chose its settings or maps were cut anew, for tables."""
        nested = "nested" if self.protocol == "nested" else ""
        recut = "re-cut" if self.config.get("recut") else ""
        return ", ".join(filter(None, [self.model, self.pretraining, self.started, nested, recut]))


class Predictions(msgspec.Struct, frozen=True):
    """``predictions.csv`` of a run."""

    seeds: tuple[int, ...]
    person: NDArray[np.str_]
    clip: NDArray[np.str_]
    label: NDArray[np.int64]
    scores: NDArray[np.float64]
    """(seeds, n, classes)."""
    labels: tuple[str, ...] = LABELS

    @property
    def predicted(self) -> NDArray[np.int64]:
        return self.scores.argmax(-1)


def summarise(
    scores: NDArray[np.float32], label: NDArray[np.int64], dataset: NDArray[np.str_]
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, list[list[int]]]]:
    """Metrics and confusion, full and per data set: scores (seeds, n, classes), NaN where a clip was not tested."""
    parts = {"full": np.ones(len(label), bool)} | {str(n): dataset == n for n in sorted(set(dataset))}
    measured: dict[str, dict[str, dict[str, float]]] = {}
    counts: dict[str, list[list[int]]] = {}
    for name, own in parts.items():
        stack = np.stack([_confusion(row[own], label[own]) for row in scores])
        values = metrics_of(stack)
        measured[name] = {
            metric: {"mean": float(v.mean()), "std": float(v.std(ddof=1)) if len(v) > 1 else 0.0}
            for metric, v in zip(NAMES, values, strict=True)
        }
        counts[name] = stack.sum(0).tolist()
    return measured, counts


def _confusion(scores: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.int64]:
    tested = np.isfinite(scores[:, 0])
    return confusion(label[tested], scores[tested].argmax(-1), scores.shape[-1])


def best_epoch_on_test(
    curves: NDArray[np.float32], label: NDArray[np.int64], person: NDArray[np.str_]
) -> dict[str, float]:
    """The leak that some published figures contain, for the warning: curves (seeds, epochs, n, 3).

    For each subject the epoch with most of its own clips right is kept; mean over seeds.
    """
    values = []
    for epochs in curves:
        predicted = epochs.argmax(-1)
        right = predicted == label
        best = predicted[-1].copy()
        for name in np.unique(person):
            own = person == name
            best[own] = predicted[int(right[:, own].sum(1).argmax()), own]
        values.append(list(metrics(confusion(label, best, epochs.shape[-1])).values()))
    return dict(zip(NAMES, np.mean(values, axis=0).tolist(), strict=True))


def write_predictions(
    folder: Path, data: MapSet, seeds: list[int], scores: NDArray[np.float32], warning: str = ""
) -> None:
    """scores: (seeds, n, classes), NaN rows are left out; warning: a last column, in each line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    more = ["warning"] if warning else []
    writer.writerow([*PLAIN, *(f"score_{name}" for name in data.labels), *more])
    for seed, rows in zip(seeds, scores, strict=True):
        for i in np.flatnonzero(np.isfinite(rows[:, 0])):
            called = data.labels[int(rows[i].argmax())]
            values = [f"{value:.6f}" for value in rows[i]]
            writer.writerow(
                [
                    seed,
                    data.dataset[i],
                    data.subject[i],
                    data.clip[i],
                    data.labels[data.label[i]],
                    called,
                    *values,
                    *([warning] if warning else []),
                ]
            )
    write_bytes(folder / "predictions.csv", text.getvalue().encode())


def write_results(folder: Path, results: Results) -> None:
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    write_bytes(folder / "results.json", text + b"\n")


def read_results(folder: Path) -> Results:
    file = folder / "results.json"
    try:
        found = msgspec.json.decode(read_at_most(file, _MOST_BYTES), type=Results)
        _check_metrics(found.metrics)
        _check_choices(found)
        return found
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file}: {why}; give the --out folder of an offline.train run") from error


def _check_metrics(measured: dict[str, dict[str, dict[str, float]]]) -> None:
    if "full" not in measured:
        raise msgspec.ValidationError("metrics lack full")
    for part, figures in measured.items():
        for name in NAMES:
            if not {"mean", "std"} <= set(figures.get(name, ())):
                raise msgspec.ValidationError(f"metrics of {part} lack {name}, or its mean or std")


def _check_choices(found: Results) -> None:
    """A nested run says what each fold chose, and chose from its grid."""
    if found.protocol != "nested":
        return
    if not found.selection.startswith("nested") or not found.choices:
        raise msgspec.ValidationError("protocol nested, but no choice of each fold")
    grid = found.config.get("grid")
    for person, choice in found.choices.items():
        if not isinstance(grid, dict) or any(value not in grid.get(name, ()) for name, value in choice.items()):
            raise msgspec.ValidationError(f"fold {person} chose what is not in the run's grid")
        if choice.keys() != grid.keys():
            raise msgspec.ValidationError(f"fold {person} did not choose {', '.join(grid.keys() - choice.keys())}")


def check_tested(found: Results, folder: Path) -> None:
    """UserError unless each person whom a nested run tested is a fold that chose for itself."""
    if found.choices is None:
        return
    people = set(read_predictions(folder).person.tolist())
    chose = {clip_of(*name.partition("/")[::2], "")[0] for name in found.choices}
    if people != chose:
        first = min(people ^ chose)
        raise UserError(f"{folder}: results.json and predictions.csv disagree on the fold {first}; train it again")


def read_predictions(folder: Path) -> Predictions:
    """Predictions in a fixed order (data set, subject, clip), so that runs can be paired.

    Raises NotPairedError when a clip comes twice, as the frames of one do.
    """
    file = folder / "predictions.csv"
    try:
        text = read_at_most(file, _MOST_BYTES).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows, columns = list(reader), [c for c in reader.fieldnames or () if c.startswith("score_")]
        labels = tuple(column.removeprefix("score_") for column in columns)
        if not labels:
            raise KeyError("score_…")
        seeds = sorted({int(row["seed"]) for row in rows})
        key = {s: {_key(row): row for row in rows if int(row["seed"]) == s} for s in seeds}
        if sum(map(len, key.values())) < len(rows):
            raise NotPairedError(f"{file}: several predictions of one clip and seed: they can't be paired")
        order = sorted(set.intersection(*(set(own) for own in key.values())))
        first = [key[seeds[0]][k] for k in order]
        label = np.array([labels.index(row["label"]) for row in first])
        scores = [[[float(key[s][k][c]) for c in columns] for k in order] for s in seeds]
    except (OSError, LookupError, ValueError, TypeError, AttributeError, csv.Error) as error:  # cells that are missing
        raise UserError(f"{file}: not a predictions file of offline.train: {error}") from error
    return Predictions(
        tuple(seeds),
        np.array([person for _, person, _ in order]),
        np.array([clip for *_, clip in order]),
        label,
        np.array(scores),
        labels,
    )


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    person, clip = clip_of(row["dataset"], row["subject"], row["clip"])
    return person.partition("/")[0], person, clip
