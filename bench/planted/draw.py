"""Draws clips: ``python -m bench.planted.draw c01 hs2 [--seed N] [--out FOLDER]``, NAME.avi and NAME.json of each.

The same seed gives the same clip on the same machine: run with OMP_NUM_THREADS=1, as ``bench/real_planted.py`` does,
since sums over several threads may differ in the last bit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench._harness import write_json
from bench.planted import fast, sources, tracks, truth
from bench.planted.courses import Movement
from bench.planted.moves import planted
from bench.planted.recipes import FastRecipe, Recipe, chosen, placed, seeded
from bench.planted.scenes import Scene
from bench.planted.takes import Take
from bench.planted.tracks import Frame


def draw(recipe: Recipe | FastRecipe, seed: int, folder: Path) -> tuple[Path, Path]:
    """Draw one clip; its video and truth. Both appear when they are whole, the truth last."""
    rng = seeded(recipe, seed)
    if isinstance(recipe, FastRecipe):
        frames, fps, facts = fast.clip(recipe, rng)
    else:
        frames, fps, facts = _clip(recipe, rng)
    folder.mkdir(parents=True, exist_ok=True)
    video, told = folder / f"{recipe.name}.avi", folder / f"{recipe.name}.json"
    part = folder / f"{recipe.name}.{os.getpid()}.part.avi"
    try:
        count = write(part, frames, fps)
        part.rename(video)
    finally:
        part.unlink(missing_ok=True)
    return video, write_json(told, {**facts, "n_frames": count, "seed": seed})


def write(path: Path, frames: Iterable[Frame], fps: float) -> int:
    """Write (H, W, 3) BGR or (H, W) gray frames as FFV1, without loss but for an odd last row or column; how many."""
    writer, count = None, 0
    for frame in frames:
        frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]  # OpenCV writes no odd ones
        if writer is None:
            fourcc = cv2.VideoWriter.fourcc(*"FFV1")
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, frame.shape[1::-1], frame.ndim == 3)
            if not writer.isOpened():
                raise OSError(f"{path} cannot be written: this OpenCV has no FFV1")
        writer.write(np.ascontiguousarray(frame))
        count += 1
    if writer is not None:
        writer.release()
    return count


def _clip(recipe: Recipe, rng: np.random.Generator) -> tuple[Iterator[Frame], float, dict[str, Any]]:
    take = recipe.take()
    moves = (recipe.arrange or placed)(take, rng, recipe.plants, recipe.spacing) if recipe.plants else []
    scene = recipe.scene(take, rng)
    return shown(take, moves, scene, recipe), take.fps, _facts(take, moves, scene, recipe)


def shown(take: Take, moves: Sequence[Movement], scene: Scene, recipe: Recipe) -> Iterator[Frame]:
    """Frames with movements and scene; a held one repeats what was shown before it."""
    before: Frame | None = None
    for number, frame in enumerate(planted(take, moves, scene.extra)):
        made = scene.after(number, frame) if scene.after else frame
        if number in scene.held and before is not None:
            made = before
        before = made
        if recipe.mirrored:
            made = made[:, ::-1]
        if recipe.gray and made.ndim == 3:
            made = cv2.cvtColor(made, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
        yield made


def _facts(take: Take, moves: Sequence[Movement], scene: Scene, recipe: Recipe) -> dict[str, Any]:
    """The truth file, but for the count of frames."""
    return {
        "fps": take.fps,
        "source": take.source,
        "what": recipe.what,
        "face_width_px": round(float(take.face_px), 1),
        "events": [truth.event(move, take, recipe.mirrored) for move in moves],
        "not_placed": len(recipe.plants) - len(moves),
        "non_events": truth.non_events(take, scene.notes),
        "mirrored": recipe.mirrored,
        **recipe.facts,
        **scene.facts,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of clips' names (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=tracks.folder() / "clips")
    parser.add_argument("--track", action="store_true", help="only track the recordings")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    if arguments.track:
        for name in sources.RECORDINGS:
            tracks.track(name)
        return 0
    for recipe in chosen(arguments.names):
        video, _ = draw(recipe, arguments.seed, arguments.out)
        sys.stdout.write(f"{video}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
