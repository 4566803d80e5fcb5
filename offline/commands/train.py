"""Train and judge a model: ``python -m offline.train --dataset NAME --data DIR …``.

Leave-one-subject-out over all subjects and seeds; metrics on pooled predictions; a report; a bundle trained
on everybody. Within a run no epoch, threshold or setting is chosen on a test subject: the last epoch counts.
(The models' default recipes are older than the run: `offline.zoo` says what was in view when they were
settled.) A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from offline.commands import cli, dry_run
from offline.commands.prepare import ALL_FRAMES, prepare, print_notice, print_skipped
from offline.commands.training_run import LEAKY, NESTED, Plan, Run, check_protocol, digest, identity
from offline.datasets import CLIP_DATASETS, NAMES, MapSet, flowmaps, load_clips, sessions
from offline.datasets.frames import recut
from offline.inputs import Input
from offline.inputs.flow_map import FlowMap
from offline.training import bundle_start, camera, fit
from offline.training.protocol import Entry, recipe_with
from offline.zoo import ZOO, get
from realtime.errors import ConfigError, DatasetError, UserError
from realtime.recognition import bundle
from realtime.types import LABELS

__all__ = ["arguments", "check", "digest", "identity", "load", "main", "recipe_of", "resolved", "seeds_of"]
DEFAULT_OUT = Path("runs")
BUILT_IN = "laenet-composite"
"""What a live session takes unless told otherwise."""
FRAMES_EACH = 10
"""Frames a clip in the frame-split protocol."""


def arguments() -> argparse.ArgumentParser:
    parser = cli.Parser(prog="offline.train", description="Train and judge a model.")
    parser.add_argument("--dataset", required=True, choices=NAMES)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, or an .npz of maps")
    parser.add_argument("--model", default="laenet", help=f"one of {', '.join(ZOO)} (default laenet)")
    parser.add_argument(
        "--input", help="what the model is shown, where it can take several (an unknown one lists them)"
    )
    parser.add_argument("--recut", action="store_true",
                        help="cut published maps of another frame (SAMM's) as the camera's are")  # fmt: skip
    parser.add_argument("--protocol", default="loso",
                        help="loso, nested (folds choose), subject-folds:K or frame-split (leaks)")  # fmt: skip
    parser.add_argument("--beside", default="loso", help="honest protocol beside frame-split (default loso)")
    parser.add_argument("--frames", type=int, help="frames of each clip, of models of frames; 0: all")
    parser.add_argument("--seeds", type=int, default=1, help="how many; 0, 1, …")
    parser.add_argument("--pretrain", choices=NAMES, help="data set to train on first")
    parser.add_argument("--pretrain-data", type=Path, help="its folder")
    parser.add_argument("--weights", help="what a network starts from: none, keras (its cache), a file, or a bundle")
    parser.add_argument("--freeze", type=float, default=0.0, help="share of the layers: 0, 0.2, 0.5 in the papers")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="of the model's recipe (an unknown key lists them)")  # fmt: skip
    parser.add_argument("--variant", help="of a model that has some (default nested: inner folds)")
    parser.add_argument("--name", help="name of the bundle (default MODEL-DATASET)")
    parser.add_argument("--out", type=Path, help="default runs/MODEL-DATASET-PROTOCOL")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and train nothing")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    return parser


def main(argv: list[str]) -> None:
    options = arguments().parse_args(argv)
    console = Console(stderr=True)
    check(options)
    out = options.out or DEFAULT_OUT / f"{options.model}-{options.dataset}-{options.protocol.replace(':', '-')}"
    cli.check_writable("--out", out)
    if options.dry_run:
        _say(options, out, console)
        return
    job, data = resolved(options, out / "cache", console)
    plan = Plan(
        dataset=options.dataset,
        protocol=options.protocol,
        beside=options.beside,
        name=options.name or f"{job.entry.name}-{options.dataset}",
        out=out,
        seeds=seeds_of(list(range(options.seeds)), job.entry, options.protocol, console),
        against=_against(options, job, data),
        config={"pretrain": options.pretrain, "recut": data.recut},
    )
    Run(job, data, plan, console).execute()


def resolved(options: argparse.Namespace, cache: Path, console: Console) -> tuple[fit.Job, MapSet]:
    """What options ask for, with its data (made from recordings where needed, and kept in `cache`)."""
    entry, weights = get(options.model), check(options)
    shown, frames = input_of(entry, options.input), frames_of(options, entry)
    data = load(options.dataset, options.data, shown, cache, console, frames, entry.inputs if not options.input else {})
    data = recut(data) if options.recut else data
    if tuple(data.labels) != LABELS and not entry.trainer.any_classes():
        raise UserError(
            f"{options.model} tells {', '.join(LABELS)} apart; {options.dataset} has {', '.join(data.labels)}"
        )
    job = fit.Job(
        entry=entry,
        recipe=recipe_of(options),
        frozen=options.freeze,
        variant=options.variant or "nested",
        weights=weights,
        seen=entry.inputs[data.shown],
        nested=options.protocol == NESTED,
    )
    if options.pretrain:
        source = load(options.pretrain, options.pretrain_data, job.shown, cache, console)
        fit.check_source(data, source)
        job = msgspec.structs.replace(job, source=source)
    return job, data


def seeds_of(asked: list[int], entry: Entry, protocol: str, console: Console) -> list[int]:
    """The first alone where seeds change nothing."""
    if entry.trainer.seeded or protocol == LEAKY or len(asked) == 1:
        return asked
    console.print(f"{entry.name} has nothing random: one seed says it all")
    return asked[:1]


def check(options: argparse.Namespace) -> str:
    """Refuse what can't be done, before any data is read; the weights to start from."""
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least 1")
    if options.epochs is not None and options.epochs < 1:
        raise ConfigError(f"--epochs {options.epochs}: at least 1")
    if options.frames is not None and options.frames < 0:
        raise ConfigError(f"--frames {options.frames}: 1 or more, or 0 for all")
    if bool(options.pretrain) != bool(options.pretrain_data):
        raise ConfigError("--pretrain and --pretrain-data go together")
    if options.recut and options.dataset != "flowmaps":
        raise ConfigError(
            "--recut is for published maps (--dataset flowmaps); what is made from recordings is cut right"
        )
    check_protocol("--protocol", options.protocol)
    check_protocol("--beside", options.beside, leaky=False)
    if not 0 <= options.freeze < 1:
        raise ConfigError(f"--freeze {options.freeze:g}: a share of the layers, 0 or more and below 1")
    entry = get(options.model)
    trainer, recipe = entry.trainer, recipe_of(options)
    if options.variant and options.variant not in trainer.variants:
        known = f"its variants are {', '.join(trainer.variants)}" if trainer.variants else "it has no variants"
        raise ConfigError(f"--variant {options.variant}: not of {options.model}: {known}")
    trainer.check(options.model, recipe, bool(options.pretrain))
    if options.protocol == NESTED:
        _check_nested(options, entry)
    shown = input_of(entry, options.input)
    if camera.adds(recipe) and not isinstance(shown, FlowMap):
        named = ", ".join(name for name in camera.AMOUNTS if getattr(recipe, name))
        raise ConfigError(f"--set {named}: is put on flow maps, and {options.model} is shown {shown.title}")
    asked = entry.weights if options.weights is None else options.weights
    weights = trainer.check_weights(options.model, asked, recipe, options.freeze)
    if options.freeze and not options.pretrain and weights == "none":
        raise ConfigError("--freeze keeps layers that have learnt something: give --weights or --pretrain too")
    return weights


def _check_nested(options: argparse.Namespace, entry: Entry) -> None:
    """ConfigError where there is no grid, or where an option settles beforehand what the folds are to choose."""
    if not entry.trainer.grid():
        known = ", ".join(name for name, one in ZOO.items() if one.trainer.grid())
        raise ConfigError(f"--protocol nested: {options.model} has no grid to choose from; {known} have one")
    given = {*cli.key_values(options.set), *(["epochs"] if options.epochs is not None else [])}
    settled = sorted(given & set(entry.trainer.open_keys()))
    if settled:
        raise ConfigError(f"--protocol nested: the folds choose {', '.join(settled)}; leave out --set and --epochs")
    for option in ("variant", "pretrain", "weights"):
        if getattr(options, option) not in (None, "none", "nested"):
            raise ConfigError(f"--protocol nested: can't go with --{option}; leave it out")


def _say(options: argparse.Namespace, out: Path, console: Console) -> None:
    """What the same command would do without ``--dry-run``."""
    entry, recipe = get(options.model), recipe_of(options)
    shown, frames = input_of(entry, options.input), frames_of(options, entry)
    if options.dataset == "flowmaps":
        data = load(options.dataset, options.data, shown, out / "cache", console, frames, entry.inputs)
        lines, people = [dry_run.of_maps(data)], data.person.tolist()
        if options.recut:
            lines.append(f"of them cut anew: {', '.join(recut(data).recut)}")
    else:
        loaded = dry_run.clips_of(options.dataset, options.data)
        lines = [dry_run.of_loaded(loaded), dry_run.to_make(loaded.clips, out / "cache", shown, frames)]
        people = [f"{clip.dataset}/{clip.subject}" for clip in loaded.clips]
        print_skipped(loaded.skipped, console)
    epochs = getattr(recipe, "epochs", None)
    each = f", {epochs} epochs each" if epochs else ""
    if options.protocol == NESTED:
        each = dry_run.of_grid(entry.trainer.grid(), people)
    lines.append(f"{entry.name}, {dry_run.trainings(options.protocol, people, options.seeds)}{each}")
    lines.append(f"{out}: results.json, predictions.csv, report.html and bundle/ would be written; nothing was")
    print("\n".join(lines))


def _against(options: argparse.Namespace, job: fit.Job, data: MapSet) -> Path | None:
    """The bundle to be judged beside the run: the one that it starts from, with own recordings the built-in one.

    Refuses to start from a bundle that knows the subjects, or that was made for other maps.
    """
    start = job.entry.trainer.start(job)
    if start is not None:
        bundle_start.check_people(start, set(data.dataset))
        if start.feature_digest != job.shown.digest():
            raise UserError(f"--weights {options.weights}: made for other feature maps than {job.shown.title} of here")
        return Path(job.weights)
    if options.dataset != sessions.NAME or job.shown.name != "flow-map":
        return None
    return bundle.find(BUILT_IN)


def input_of(entry: Entry, name: str | None) -> Input:
    """The one asked for, or the model's own. Raises ConfigError."""
    if name and name not in entry.inputs:
        raise ConfigError(f"--input {name}: {entry.name} can take {', '.join(entry.inputs)}")
    return entry.inputs[name] if name else entry.input


def frames_of(options: argparse.Namespace, entry: Entry) -> int:
    """Frames of each clip: as asked, the model's own, and with frame-split several in any case."""
    if options.frames is not None:
        return options.frames or ALL_FRAMES
    return entry.frames if entry.frames > 1 or options.protocol != LEAKY else FRAMES_EACH


def recipe_of(options: argparse.Namespace) -> Any:
    """The model's own recipe with --epochs and --set laid over it."""
    changes = cli.key_values(options.set) | ({} if options.epochs is None else {"epochs": options.epochs})
    return recipe_with(get(options.model), changes)


def load(
    name: str,
    path: Path,
    shown: Input,
    cache: Path,
    console: Console,
    frames: int = 1,
    known: dict[str, Input] | None = None,
) -> MapSet:
    """What the model is shown of a data set, made from recordings where needed (kept in `cache`).

    known: inputs that prepared arrays may be of besides `shown`.
    """
    if name == "flowmaps":
        data = flowmaps.load(path)
        fits = {shown.name: shown} | (known or {})
        if data.shown not in fits:
            raise DatasetError(
                f"{path}: holds the input {data.shown}, the model takes {', '.join(fits)}: "
                f"prepare it from the recordings with offline.prepare --input {shown.name}"
            )
        if data.feature_digest not in ("", fits[data.shown].digest()):
            raise DatasetError(f"{path}: made with other feature settings than this version's; prepare it again")
        print_skipped(data.skipped, console)
        return data
    if name not in CLIP_DATASETS:
        raise UserError(f"{name}: not a data set for training")
    loaded = load_clips(name, path)
    print_notice(name, console)
    data = prepare(loaded, cache, shown, frames=frames, console=console)
    print_skipped(data.skipped, console)
    return data
