"""What a model and its trainer owe each other: the ONE protocol behind which every way of training stands.

A model (`Entry`) names its input, its recipe and its trainer. A trainer fits one seed over all folds at once or
one by one, as it likes, counts what it learnt, and serves it as a LiteRT file. `offline.training.fit`, the
commands and the bundle know no more of it than `Trainer`, so that a model with a new trainer is one file in
`offline/zoo/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.inputs import Input, flow_map
from offline.training.batches import Recipe
from realtime.errors import ConfigError, UserError

if TYPE_CHECKING:
    from offline.training.bundle_start import Start

IN_VIEW = (
    "with leave-one-subject-out results on the MEGC 2019 composite in view, not in nested folds: "
    "figures on that composite are to this degree optimistic."
)
"""Ends the note on how a recipe was settled (`Entry.settled`)."""
STILL_IN_VIEW = (
    "Each fold chose its settings in inner folds of its training subjects. That there are these features and networks "
    "to choose from was settled with results on the MEGC 2019 composite in view."
)
"""Of a nested run, in place of `Entry.settled`."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the zoo."""

    name: str
    source: str
    """Paper, or where it is described."""
    trainer: Trainer
    input: Input = flow_map.INPUT
    also: tuple[Input, ...] = ()
    """Other inputs that it can take."""
    reads: str = ""
    """What of the input it uses; empty: all."""
    frames: int = 1
    """How many of each clip it is shown; 1: its apex, or the clip as a whole."""
    weights: Literal["none", "imagenet"] = "none"
    """What it starts from unless ``--weights`` says otherwise."""
    recipe: msgspec.Struct | None = Recipe()
    """Settings that ``--set`` lays others over; None: there are none."""
    published: str | None = None
    """Method of its row in `offline.evaluation.published`; None: there is none."""
    accuracy: str | None = None
    """The same of a row that gives accuracies alone."""
    in_paper: str = ""
    """Number of parameters as a paper prints it, where that is another."""
    settled: str = ""
    """What was in view when the recipe was settled: a note in the card of its bundles."""

    @property
    def parameters(self) -> int:
        """Of all that is trained, at most."""
        return self.trainer.parameters(self.recipe)

    @property
    def inputs(self) -> dict[str, Input]:
        """All that it can take, its own first."""
        return {one.name: one for one in (self.input, *self.also)}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to train."""

    entry: Entry
    recipe: Any
    """Of the type of the entry's."""
    source: MapSet | None = None
    """Pre-train on these first."""
    frozen: float = 0.0
    """Share of the layers that fine-tuning leaves alone."""
    variant: str = "nested"
    """Of a trainer that has variants."""
    weights: str = "none"
    """What a network starts from: "none", "keras" (its cache) or a file."""
    seen: Input | None = None
    """What it is shown; None: the entry's own input."""
    nested: bool = False
    """Each fold chooses from the trainer's grid, in inner folds of its training subjects."""

    @property
    def shown(self) -> Input:
        return self.seen or self.entry.input

    @property
    def selection(self) -> str:
        """What a run of this job chooses, and where: for ``results.json``."""
        nested = self.nested or (bool(self.entry.trainer.variants) and self.variant == "nested")
        return "nested: inner folds of the training subjects" if nested else "none"


class Fitted(msgspec.Struct, frozen=True):
    """Result of one seed."""

    scores: NDArray[np.float32]
    """(n, 3) by the fold that held each clip out; NaN: none did."""
    curves: NDArray[np.float32] | None = None
    """(epochs, n, 3) the same after each epoch."""
    losses: NDArray[np.float32] | None = None
    """(epochs,) mean training loss over the folds (fusion: of its networks); None: nothing is trained in epochs."""
    chosen: NDArray[np.str_] | None = None
    """(folds + 1,) variant that each fold chose, the last one on everything; None: nothing to choose. With a grid: the
    choice as `offline.training.nested.encoded` writes it."""
    factors: NDArray[np.float64] | None = None
    """(folds + 1, 6) with a grid: what `offline.evaluation.calibration.fitted` gives in each fold's inner folds."""
    seconds: float = 0.0
    """All runs that worked on this seed together."""
    trained: int | None = None
    """Numbers that were learnt, where only training knows; None: `Trainer.parameters` does."""


class Task(msgspec.Struct, frozen=True):
    """What a trainer is given: one seed, all folds."""

    job: Job
    data: MapSet
    held_out: NDArray[np.bool_]
    """(folds, n); the last row holds nobody out: what it trains is served."""
    seed: int
    state: Path
    """Folder for checkpoints, and for what `Trainer.serve` needs later."""
    progress: Callable[[int], None]
    """To be called with the steps done so far, of `Trainer.units`."""


class Trainer(ABC):
    """One way of training. Three methods are its own; the rest has the answers of a plain one."""

    name: ClassVar[str]
    """In the list of models."""
    seeded: ClassVar[bool] = True
    """Does a seed change anything?"""
    variants: ClassVar[tuple[str, ...]] = ()
    """What ``--variant`` may name; "nested": each fold chooses by inner folds."""
    by_fold: ClassVar[bool] = False
    """Are folds trained one after the other by `sequential.train_folds`, with its checkpoint ``seed-N.part.npz``? Then
    several machines can share them."""

    @abstractmethod
    def fit(self, task: Task) -> Fitted:
        """Train each fold, blind to what it holds out; go on from the checkpoints in `task.state`."""

    @abstractmethod
    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        """Numbers that are learnt for what is served; chosen: with this variant, None: with the largest."""

    @abstractmethod
    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        """What was trained on everything, as a LiteRT file; factor: on its log-probabilities (calibration)."""

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        """Refuse, before any data is read, what can't be done."""
        if pretrained:
            raise UserError(f"{model}: its trainer can't start from another training; leave out --pretrain")

    def check_weights(self, model: str, weights: str, recipe: Any, frozen: float) -> str:
        """Refuse, before any data is read, weights that can't be had; "none" or the file to start from.

        weights: "none", "keras", "imagenet" (a model's default) or a path.
        """
        if weights not in ("none", ""):
            raise UserError(
                f"{model}: --weights {weights}: nothing in it can start from another's weights; leave it out"
            )
        return "none"

    def start(self, job: Job) -> Start | None:
        """The bundle that it starts from; None: no bundle."""
        return None

    def any_classes(self) -> bool:
        """Can it tell other classes apart than negative, positive, surprise?"""
        return False

    def units(self, recipe: Any, folds: int) -> int:
        """Steps of the progress bar in one seed."""
        return folds

    def grid(self) -> dict[str, list[Any]]:
        """What ``--protocol nested`` chooses from, by name; empty: it can't."""
        return {}

    def open_keys(self) -> tuple[str, ...]:
        """Keys of the recipe that the grid decides."""
        return ()

    def units_nested(self, recipe: Any, folds: int) -> int:
        """Steps of the progress bar in one seed of ``--protocol nested``."""
        return self.units(recipe, folds)

    def fit_nested(self, task: Task) -> Fitted:
        """As `fit`, with what each fold chose from `grid` by inner folds; UserError where there is none."""
        raise UserError(f"--protocol nested: {task.job.entry.name} has no grid to choose from")

    def settings(self, job: Job) -> dict[str, Any]:
        """What of the job stands in ``results.json`` under "config"; "recipe" must be there."""
        return {"recipe": {} if job.recipe is None else msgspec.to_builtins(job.recipe)}

    def depends(self) -> list[Any]:
        """What else, besides settings and data, a checkpoint depends on."""
        return []

    def notes(self, job: Job) -> list[str]:
        """For the card of its bundles."""
        return []


def recipe_with(entry: Entry, changes: dict[str, Any]) -> Any:
    """The entry's recipe with `changes` laid over it. Raises ConfigError for a key that it has not."""
    if entry.recipe is None:
        if changes:
            hint = "; it takes --variant" if entry.trainer.variants else ""
            raise ConfigError(f"--set and --epochs: {entry.name} has no such recipe{hint}")
        return None
    try:
        return msgspec.convert(msgspec.to_builtins(entry.recipe) | changes, type(entry.recipe))
    except msgspec.ValidationError as error:
        raise ConfigError(f"recipe: {error}; keys are {', '.join(entry.recipe.__struct_fields__)}") from error
