"""Recordings → feature maps, in parallel, cached by the digest of clip and feature spec, resumable.

``python -m offline.prepare --dataset NAME --data DIR --out DIR`` writes ``DIR/maps.npz`` (readable as
``--dataset flowmaps``), ``DIR/report.json`` (what was skipped, and why; what to know of the others) and one small
file a clip in ``DIR/cache``, which a later run reuses. ``--input NAME`` makes what another model is shown.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from offline.commands import cli
from offline.datasets import CLIP_DATASETS, NOTICE, Clip, Loaded, MapSet, Note, Skipped, load_clips
from offline.datasets.common import on_disk
from offline.files import write_bytes, write_npz
from offline.inputs import INPUTS, Input, flow_map
from realtime.errors import ConfigError, DatasetError, MerealtimeError
from realtime.quiet import drop_native_log, native_log_dropped

ALL_FRAMES = 1 << 30
"""So many frames of a clip are all of it."""
CODE_VERSION = 3
"""Raise it when `offline.datasets.mapping` or an input makes other arrays of the same clip."""


def clip_key(clip: Clip, shown: Input, frames: int = 1) -> str:
    """SHA-256 of all that decides a clip's maps: record, its files' sizes and times, input, code version."""
    margin = [file for file in clip.margin_files if os.path.exists(on_disk(file))]
    files = (*clip.files, *margin)
    stats = [(os.path.basename(f), (s := os.stat(on_disk(f))).st_size, s.st_mtime_ns) for f in files]
    record = msgspec.json.encode(
        [
            CODE_VERSION,
            clip.dataset,
            clip.subject,
            clip.name,
            clip.onset,
            clip.apex,
            clip.offset,
            stats,
            shown.digest(),
            frames,
        ]
    )
    return hashlib.sha256(record).hexdigest()


def prepare(
    loaded: Loaded,
    cache: Path,
    shown: Input = flow_map.INPUT,
    *,
    frames: int = 1,
    workers: int | None = None,
    console: Console | None = None,
) -> MapSet:
    """Feature maps of all clips; what is in `cache` is not made again.

    frames > 1: so many maps a clip, spread over it (frame-split protocol). Clips without a face, or with a frame
    that can't be read, are skipped and listed. Raises DatasetError when nothing is left.
    """
    console = console or Console(stderr=True)
    files: dict[Clip, Path] = {}
    skipped = list(loaded.skipped)
    for clip in loaded.clips:
        try:
            files[clip] = cache / f"{clip_key(clip, shown, frames)}.npz"
        except OSError as error:
            why = f"unreadable frame {error.filename}: {error.strerror}"
            skipped.append(Skipped(f"{clip.subject}/{clip.name}", why))
    missing = [clip for clip, file in files.items() if _read(file) is None]
    workers = min(workers or len(os.sched_getaffinity(0)), max(1, len(missing)))
    with native_log_dropped(python_passes=True), cli.progress(console) as bar:
        task = bar.add_task(
            "feature maps" if shown.name == "flow-map" else shown.name,
            total=len(files),
            completed=len(files) - len(missing),
        )
        for _ in _make(missing, files, shown, frames, workers):
            bar.advance(task)
    data = _collect(files, skipped, loaded, shown)
    print_notes(data.notes, console)
    return data


def _make(clips: list[Clip], files: dict[Clip, Path], shown: Input, frames: int, workers: int) -> Iterator[None]:
    """Make the missing files; yields once for each."""
    if workers == 1:
        for clip in clips:
            make_file(clip, files[clip], shown, frames)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=worker) as pool:
        pending: set[Future[None]] = {pool.submit(make_file, c, files[c], shown, frames) for c in clips}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    yield
        finally:
            for future in pending:
                future.cancel()


def worker() -> None:
    """Set up a worker process: one thread, because processes are the parallelism; MediaPipe's chatter is dropped.

    What goes wrong in a worker comes back as an exception, not by standard error.
    """
    import cv2
    import numba

    drop_native_log()

    cv2.setNumThreads(1)
    numba.set_num_threads(1)


def make_file(clip: Clip, file: Path, shown: Input, frames: int) -> None:
    """Make one clip's maps; a clip that can't be mapped leaves a file that says why."""
    from offline.datasets.mapping import UnusableClip
    from realtime.vision.face.landmarks import FaceMesh

    # a mesh finder of its own: in video mode it looks where the last face was, which would tie clips together
    mesh = FaceMesh()
    try:
        made = shown.make(clip, mesh.detect, frames)
        write_npz(file, maps=made.maps, frames=np.array(made.frames, np.int64), apex=made.apex, note=made.note)
    except UnusableClip as error:
        write_npz(file, maps=np.zeros((0, *shown.shape), np.float32), frames=(), apex=-1, note=str(error))
    finally:
        mesh.close()


def is_made(file: Path) -> bool:
    """Whether a clip's arrays are there, whole."""
    return _read(file) is not None


def _read(file: Path) -> tuple[NDArray[Any], list[int], str] | None:
    """Maps, their frames and note of a finished clip; None where it is to be made: not there, or not whole."""
    try:
        with np.load(file) as saved:
            return saved["maps"], np.asarray(saved["frames"], np.int64).tolist(), str(saved["note"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def _collect(files: dict[Clip, Path], skipped: list[Skipped], loaded: Loaded, shown: Input) -> MapSet:
    maps, owners, own_notes, numbers = [], [], [], []
    for clip, file in files.items():
        name, found = f"{clip.subject}/{clip.name}", _read(file)
        if found is None:
            raise MerealtimeError(f"{file}: can't be read again: is the disk full?")
        made, frames, note = found
        if len(made) == 0:
            skipped.append(Skipped(name, note))
        elif what := "; ".join(filter(None, [clip.note, note])):
            own_notes.append(Note(name, what))
        maps.append(made)
        owners += [clip] * len(made)
        numbers += frames[: len(made)]
    if not owners:
        raise DatasetError(f"no clip could be mapped, such as {skipped[-1].clip}: {skipped[-1].why}")
    return MapSet(
        maps=np.concatenate(maps),
        label=np.array([clip.label for clip in owners]),
        subject=tuple(clip.subject for clip in owners),
        dataset=tuple(clip.dataset for clip in owners),
        clip=tuple(clip.name for clip in owners),
        skipped=tuple(skipped),
        notes=(*loaded.notes, *own_notes),
        feature_digest=shown.digest(),
        shown=shown.name,
        labels=loaded.labels,
        frame=tuple(numbers) if len(numbers) == len(owners) else (),
    )


def save(data: MapSet, folder: Path, shown: Input) -> None:
    """Write maps.npz and report.json."""
    write_npz(
        folder / "maps.npz",
        maps=data.maps,
        label=data.label,
        subject=np.array(data.subject),
        dataset=np.array(data.dataset),
        clip=np.array(data.clip),
        feature_digest=np.array(shown.digest()),
        input=np.array(shown.name),
        labels=np.array(data.labels),
        frame=np.array(data.frame, np.int64),
    )
    report = {
        "clips": len(data),
        "input": shown.name,
        "skipped": msgspec.to_builtins(data.skipped),
        "notes": msgspec.to_builtins(data.notes),
        "feature_spec": msgspec.to_builtins(shown.spec),
        "feature_digest": shown.digest(),
    }
    write_bytes(folder / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def print_notice(dataset: str, console: Console) -> None:
    """Whose faces these are; nobody's where they are generated."""
    if dataset != "synthetic":
        console.print(NOTICE, style="dim")


def print_skipped(skipped: tuple[Skipped, ...], console: Console, most: int = 8) -> None:
    """What was left out, by reason, with examples."""
    for one in skipped[:most]:
        console.print(f"skipped {one.clip}: {one.why}", highlight=False, markup=False, soft_wrap=True)
    if len(skipped) > most:
        console.print(f"… and {len(skipped) - most} more", highlight=False)


def print_notes(notes: tuple[Note, ...], console: Console) -> None:
    """Those of whole data sets, and how many clips have one, with an example."""
    clips = [note for note in notes if "/" in note.clip]
    for note in notes:
        if note not in clips:
            console.print(f"{note.clip}: {note.what}", highlight=False, markup=False, soft_wrap=True)
    if clips:
        line = f"{len(clips)} clips with a note, such as {clips[0].clip}: {clips[0].what}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.prepare", description="Recordings to feature maps, or to another input.")
    parser.add_argument("--dataset", required=True, choices=sorted(CLIP_DATASETS))
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder (synthetic: made there)")
    parser.add_argument("--out", type=Path, required=True, help="where maps.npz, report.json and the cache go")
    parser.add_argument("--input", default="flow-map", choices=tuple(INPUTS), help="what is made (default flow-map)")
    parser.add_argument("--frames", type=int, default=1, help="frames of each clip, evenly; 0: all (default: its apex)")
    parser.add_argument("--workers", type=int, default=None, help="processes; default: one a core")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    cli.check_workers(options.workers)
    cli.check_writable("--out", options.out)
    if options.frames < 0:
        raise ConfigError(f"--frames {options.frames}: 1 or more, or 0 for all")
    shown, frames = INPUTS[options.input], options.frames or ALL_FRAMES
    console = Console(stderr=True)
    try:
        if options.dry_run:
            from offline.commands import dry_run

            loaded = dry_run.clips_of(options.dataset, options.data)
            print_skipped(loaded.skipped, console)
            print(dry_run.of_loaded(loaded))
            print(dry_run.to_make(loaded.clips, options.out / "cache", shown, frames))
            print(f"{options.out}/maps.npz and report.json would be written; nothing was")
            return
        loaded = load_clips(options.dataset, options.data)
        print_notice(options.dataset, console)
        data = prepare(
            loaded, options.out / "cache", shown, frames=frames, workers=options.workers, console=console
        )  # fmt: skip
    except OSError as error:
        raise MerealtimeError(f"{error.filename or options.data}: {error.strerror or error}") from error
    save(data, options.out, shown)
    print_skipped(data.skipped, console)
    print(
        f"{options.out}/maps.npz: {len(data)} maps of {len(set(data.person))} subjects, "
        f"{len(data.skipped)} clips skipped, {len(data.notes)} notes in report.json"
    )
