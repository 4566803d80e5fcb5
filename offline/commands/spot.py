"""Spotting over long videos by the MEGC protocol, with the spotter that the camera uses.

``python -m offline.spot --dataset casme_sq|samm_lv|casme3 --data DIR [--model BUNDLE] [--out DIR]``. Finished
videos are kept in ``OUT/.state`` and not run again. With a bundle each spotted micro-expression is labelled,
and the STRS is given. ``--dataset folder``: an archive of any recordings, see `offline.commands.spot_folder`.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from offline import extra
from offline.commands import cli, spot_folder
from offline.commands.prepare import print_notes, print_notice, print_skipped, worker
from offline.datasets import Skipped, longvideos
from offline.datasets.longvideos import LongVideo
from offline.evaluation import megc
from offline.evaluation.megc import Interval, VideoResult
from offline.files import write_bytes
from realtime.config import SpotSettings
from realtime.errors import DatasetError
from realtime.quiet import native_log_dropped
from realtime.types import LABELS, SpotEvent

if TYPE_CHECKING:
    from realtime.vision.spotting.face_meter import FaceMeter

CODE_VERSION = 2
"""Raise it when this file makes other intervals of the same events. What spots them is hashed (`code_digest`)."""

FOLDER = "folder"

PUBLISHED = {
    "casme_sq": ("SOFTNet 2021", (0.1173, 0.2410, 0.2022)),
    "samm_lv": ("SOFTNet 2021", (0.1520, 0.2169, 0.1881)),
}
"""F1 of micro, macro, all."""


class Labeller:
    """Labels spotted micro-expressions with a bundle, as the motion and classify stages do."""

    def __init__(self, model: str) -> None:
        from realtime.recognition.bundle import load

        self.bundle = load(model)

    def __call__(self, meter: FaceMeter, event: SpotEvent) -> int:
        from realtime.vision.features import feature_map

        onset, apex, landmarks = meter.crops(event)
        one = feature_map(onset, apex, landmarks, self.bundle.feature_spec)
        return int(self.bundle.predict(one[None])[0].argmax())


def spot_video(video: LongVideo, settings: SpotSettings, model: str | None) -> list[Interval]:
    """Run the live spotter over one video; with a bundle, label the micro-expressions that it spots.

    Raises UnreadableFrame.
    """
    from offline.datasets.mapping import read_gray
    from realtime.vision.spotting.face_meter import FaceMeter

    labeller = Labeller(model) if model is not None else None
    meter = FaceMeter(settings, video.fps)
    found: list[Interval] = []

    def take(events: list[SpotEvent]) -> None:
        for event in events:
            label = labeller(meter, event) if labeller is not None and event.kind == "micro" else None
            found.append(Interval(event.onset, event.offset, event.kind, label))

    try:
        for number, file in zip(video.numbers, video.files, strict=True):
            take(meter.process(read_gray(file), number, round(number * 1e9 / video.fps))[1])
        take(meter.flush())
    finally:
        meter.close()
    return found


def spot_to_file(video: LongVideo, settings: SpotSettings, model: str | None, file: Path) -> None:
    """`spot_video`, kept in a file; a video that can't be read leaves the reason there."""
    from offline.datasets.mapping import UnreadableFrame

    try:
        found: list[Interval] | str = spot_video(video, settings, model)
    except UnreadableFrame as error:
        found = str(error)
    write_bytes(file, msgspec.json.encode(found))


def key_of(video: LongVideo, settings: SpotSettings, model: str | None) -> str:
    """SHA-256 of what decides a video's events: the code, its frames' numbers, sizes and times, settings, bundle."""
    stats = [(n, (s := os.stat(f)).st_size, s.st_mtime_ns) for n, f in zip(video.numbers, video.files, strict=True)]
    served = None
    if model is not None:
        from realtime.recognition.bundle import find, read_card

        card = read_card(find(model))
        served = [card.network.sha256, card.feature_digest]
    footage = [video.dataset, video.subject, video.name, video.fps, stats]
    record = [CODE_VERSION, code_digest(), *footage, settings, served]
    return hashlib.sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()


@functools.cache
def code_digest() -> str:
    """SHA-256 of the sources that find faces and spot movements: a result of other code is not used again."""
    from realtime import vision

    folder = Path(vision.__file__).parent
    hashed = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        hashed.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return hashed.hexdigest()


def spot_all(
    videos: tuple[LongVideo, ...],
    state: Path,
    settings: SpotSettings,
    model: str | None,
    console: Console,
    workers: int | None = None,
) -> list[VideoResult | Skipped]:
    """All videos, in parallel; those whose result is in `state` are read from there.

    A video with a frame that can't be read is skipped, with the reason.
    """
    keys = [_key_or_reason(video, settings, model) for video in videos]
    files = {i: state / f"{key}.json" for i, key in enumerate(keys) if isinstance(key, str)}
    missing = [i for i, file in files.items() if _read(file) is None]
    workers = min(workers or len(os.sched_getaffinity(0)), max(1, len(missing)))
    with native_log_dropped(python_passes=True), cli.progress(console) as bar:
        task = bar.add_task("spotting", total=len(videos), completed=len(videos) - len(missing))
        if workers == 1:
            for i in missing:
                spot_to_file(videos[i], settings, model, files[i])
                bar.advance(task)
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(workers, mp_context=context, initializer=worker) as pool:
                jobs = [pool.submit(spot_to_file, videos[i], settings, model, files[i]) for i in missing]
                for job in as_completed(jobs):
                    job.result()
                    bar.advance(task)
    return [
        _result(video, key if isinstance(key, Skipped) else _read(files[i]))
        for i, (video, key) in enumerate(zip(videos, keys, strict=True))
    ]


def _key_or_reason(video: LongVideo, settings: SpotSettings, model: str | None) -> str | Skipped:
    try:
        return key_of(video, settings, model)
    except OSError as error:
        return Skipped(f"{video.subject}/{video.name}", f"unreadable frame {error.filename}: {error.strerror}")


def _read(file: Path) -> tuple[Interval, ...] | str | None:
    """A finished video's intervals, or why it has none; None where it is to be spotted."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[Interval, ...] | str)
    except (OSError, msgspec.MsgspecError):
        return None


def _result(video: LongVideo, found: tuple[Interval, ...] | str | Skipped | None) -> VideoResult | Skipped:
    if found is None or isinstance(found, Skipped):
        return found or Skipped(f"{video.subject}/{video.name}", "its result is gone")
    if isinstance(found, str):
        return Skipped(f"{video.subject}/{video.name}", found)
    return VideoResult(tuple(Interval(m.onset, m.offset, m.kind, m.label) for m in video.marked), found)


def summarise(results: list[VideoResult]) -> dict[str, Any]:
    """Scores of micro, macro and all, and the STRS where there are labels."""
    micro, macro = megc.spotting(results, "micro"), megc.spotting(results, "macro")
    scores = {"micro": micro, "macro": macro, "all": micro + macro}
    summary: dict[str, Any] = {
        name: {
            "tp": score.true_positives,
            "fp": score.false_positives,
            "fn": score.misses,
            "precision": score.precision,
            "recall": score.recall,
            "f1": score.f1,
        }
        for name, score in scores.items()
    }
    return summary | {"strs": megc.strs(results)}


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.spot", description="Spotting over long videos: MEGC protocol, or an archive.")
    parser.add_argument("--dataset", required=True, choices=(*longvideos.NAMES, FOLDER))
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder, or any folder tree")
    parser.add_argument("--model", help="bundle (name or folder) to label spotted micro-expressions with")
    parser.add_argument("--out", type=Path, help="default runs/spot-DATASET")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    spot_folder.add_options(parser)
    options = parser.parse_args(argv)
    if options.dataset == FOLDER:
        spot_folder.main(options)
        return
    spot_folder.refuse_options(parser, options)
    extra.check("spot")
    out = options.out or Path("runs") / f"spot-{options.dataset}"
    cli.check_workers(options.workers)
    cli.check_writable("--out", out)
    console = Console(stderr=True)
    loaded = longvideos.load(options.dataset, options.data)
    print_notice(options.dataset, console)
    print_notes(loaded.notes, console)
    settings = SpotSettings()
    spotted = spot_all(loaded.videos, out / ".state", settings, options.model, console, options.workers)
    skipped = (*loaded.skipped, *(one for one in spotted if isinstance(one, Skipped)))
    print_skipped(skipped, console)
    pairs = [(v, one) for v, one in zip(loaded.videos, spotted, strict=True) if not isinstance(one, Skipped)]
    if not pairs:
        raise DatasetError(f"{options.data}: no video could be read; first: {skipped[-1].clip}: {skipped[-1].why}")
    videos, results = tuple(v for v, _ in pairs), [one for _, one in pairs]
    write(out, options.dataset, options.model, settings, videos, results)
    _print(options.dataset, summarise(results))
    print(f"{out}/spotting.json, intervals.csv: {len(videos)} videos, {len(skipped)} skipped")


def write(
    out: Path,
    dataset: str,
    model: str | None,
    settings: SpotSettings,
    videos: tuple[LongVideo, ...],
    results: list[VideoResult],
) -> None:
    """``spotting.json`` (scores) and ``intervals.csv`` (everything marked and spotted)."""
    record = {
        "dataset": dataset,
        "model": model,
        "videos": len(videos),
        "settings": settings,
        "scores": summarise(results),
    }
    write_bytes(out / "spotting.json", msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    lines = ["video,who,onset,offset,kind,label"]
    for video, result in zip(videos, results, strict=True):
        for who, intervals in (("marked", result.marked), ("spotted", result.spotted)):
            for i in intervals:
                label = "" if i.label is None else LABELS[i.label]
                lines.append(f"{video.subject}/{video.name},{who},{i.onset},{i.offset},{i.kind},{label}")
    write_bytes(out / "intervals.csv", ("\n".join(lines) + "\n").encode())


def _print(dataset: str, summary: dict[str, Any]) -> None:
    table = Table("", "TP", "FP", "FN", "precision", "recall", "F1", "published F1")
    name, figures = PUBLISHED.get(dataset, ("", (None,) * 3))
    for kind, published in zip(("micro", "macro", "all"), figures, strict=True):
        row = summary[kind]
        counts = [str(row[key]) for key in ("tp", "fp", "fn")]
        values = [f"{row[key]:.4f}" for key in ("precision", "recall", "f1")]
        table.add_row(kind, *counts, *values, f"{name} {published:.4f}" if published is not None else "–")
    console = Console()
    console.print(table)
    if summary["strs"]:
        console.print("STRS {strs:.4f} = {spotting_f1:.4f} × {recognition_f1:.4f}".format(**summary["strs"]))
