"""What following a face's patches costs a frame, step by step, and what OpenCV takes for the same.

    python bench/patches.py [--rounds 300]

The face image: OpenCV's ``GaussianBlur`` and ``warpAffine``. Its 89 patches of 17 px: OpenCV's pyramidal Lucas-Kanade
with one level and three iterations, which takes pictures of 8 bits, knows no change of light and takes its gradients
anew each time. The error is against the true shift of a picture that was moved by Fourier's theorem; the face image's
against SciPy in double precision. One thread each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.ndimage import fourier_shift, gaussian_filter, map_coordinates

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._harness import ROOT, interleaved_ms, machine, write_json
from realtime.synthesis import Portrait
from realtime.vision.face.face_image import FaceImage
from realtime.vision.face.regions import IMAGE_HEIGHT, IMAGE_WIDTH
from realtime.vision.face.registration import BLUR_PX, Anchor
from realtime.vision.face.tracking import PATCH_RADIUS_PX, TEMPLATE_SIZE, build_template, follow

SHIFT_PX = (0.37, -0.21)
"""A pixel or two is what skin moves in all; from one frame to the next it is less."""
FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def image_case(frame: np.ndarray, anchor: Anchor) -> tuple[dict[str, object], dict[str, float]]:
    """What to time of the face image, and each one's largest error, grey levels."""
    x0, y0, x1, y1 = anchor.region(frame.shape)
    matrix, sigma, drawing = (
        anchor.to_frame - [[0, 0, x0], [0, 0, y0]],
        BLUR_PX * max(1.0, anchor.grain),
        FaceImage(*anchor.image.shape),
    )
    face = frame[y0:y1, x0:x1]

    def opencv() -> np.ndarray:
        blurred = cv2.GaussianBlur(face.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        size = IMAGE_WIDTH, IMAGE_HEIGHT
        return np.asarray(cv2.warpAffine(blurred, matrix, size, flags=FLAGS, borderMode=cv2.BORDER_REPLICATE))

    radius = (round(sigma * 8 + 1) | 1) // 2
    blurred = gaussian_filter(face.astype(float), sigma, mode="nearest", radius=radius)
    v, u = np.mgrid[:IMAGE_HEIGHT, :IMAGE_WIDTH]
    x, y = (row[0] * u + row[1] * v + row[2] for row in matrix)
    true = map_coordinates(blurred, [y, x], order=1, mode="nearest")
    cases = {"ours": lambda: drawing.draw(face, matrix, sigma), "opencv": opencv}
    return cases, {name: float(np.abs(run() - true).max()) for name, run in cases.items()}


def patch_case(anchor: Anchor) -> tuple[dict[str, object], dict[str, float]]:
    """What to time of the patches, and each one's median error, px."""
    first = anchor.image.copy()
    later = np.fft.ifft2(fourier_shift(np.fft.fft2(first.astype(float)), SHIFT_PX[::-1])).real.astype(np.float32)
    centres = anchor.layout.centres
    n = len(centres)
    descent, norm = np.empty((n, 2, TEMPLATE_SIZE), np.float32), np.empty((n, TEMPLATE_SIZE), np.float32)
    inverse, likeness = np.empty((n, 3), np.float32), np.empty(n, np.float32)
    build_template(first, centres, descent, norm, inverse)
    before, after = (np.clip(image + 0.5, 0, 255).astype(np.uint8) for image in (first, later))
    points = centres.astype(np.float32)[:, None]
    side = 2 * PATCH_RADIUS_PX + 1
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 3, 0.005)

    def ours() -> np.ndarray:
        moved = np.zeros((n, 2), np.float32)
        follow(later, centres, descent, norm, inverse, 3, moved, likeness)
        return moved

    def opencv() -> np.ndarray:
        there, _, _ = cv2.calcOpticalFlowPyrLK(
            before, after, points, None, winSize=(side, side), maxLevel=0, criteria=stop
        )
        return np.asarray(there - points)[:, 0]

    cases = {"ours": ours, "opencv": opencv}
    errors = {name: float(np.median(np.hypot(*(run() - SHIFT_PX).T))) for name, run in cases.items()}
    return cases, errors


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "patches.json")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    stamp = machine()
    placed = Portrait.packaged().place((480, 640), 150.0)
    frame = np.clip(placed.image + 0.5, 0, 255).astype(np.uint8)
    anchor = Anchor(frame, placed.mesh)
    rows = {}
    table = Table("step", "ours ms", "OpenCV ms", "times", "error, ours", "error, OpenCV")
    steps = {"face image, grey levels": image_case(frame, anchor), "patches, px": patch_case(anchor)}
    for step, (cases, errors) in steps.items():
        times = interleaved_ms(cases, arguments.rounds)
        ours, opencv = times["ours"]["median"], times["opencv"]["median"]
        rows[step] = {"ms": times, "error": {name: round(value, 4) for name, value in errors.items()}}
        cells = (
            f"{ours:.3f}",
            f"{opencv:.3f}",
            f"{opencv / ours:.1f}",
            f"{errors['ours']:.4f}",
            f"{errors['opencv']:.4f}",
        )
        table.add_row(step, *cells)
    console = Console(width=120)
    console.print(f"640x480, a face of {anchor.grain * 152:.0f} px, {len(anchor.layout.centres)} patches")
    console.print(table)
    console.print(f"written: {write_json(arguments.json, {'steps': rows, 'machine': stamp})}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
