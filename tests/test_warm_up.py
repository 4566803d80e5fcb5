"""No frame waits for a kernel: what a face needs is compiled before the first one comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import importlib, pkgutil
import numpy as np
import realtime.vision.face, realtime.vision.spotting
from realtime.config import SpotSettings
from realtime.synthesis import Portrait, SynthesisSettings, generate_clip
from realtime.vision.spotting.face_meter import FaceMeter

def kernels():
    found = {}
    for package in (realtime.vision.face, realtime.vision.spotting):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if hasattr(value, "signatures") and hasattr(value, "py_func"):
                    found[f"{module.name}.{name}"] = list(value.signatures)
    return found

width, height, border = WIDTH, HEIGHT, BORDER
meter = FaceMeter(SpotSettings(), 200.0)
meter.warm_up(height + 2 * border, width + 2 * border)
before = kernels()
frames, _ = generate_clip(Portrait.packaged(), 5, 3.5, 200.0, SynthesisSettings(), (width, height))
faces = 0
for k, frame in enumerate(frames):
    frame = np.pad(frame, border, mode="edge")
    frame.flags.writeable = False  # as the ring's
    seen, _ = meter.process(frame, k, k * 5_000_000, lambda: True)
    faces += seen.face
after = kernels()
meter.close()
print(faces, {name: after[name] for name in after if len(after[name]) > len(before.get(name, ()))})
"""


@pytest.mark.parametrize(("size", "border"), [((640, 480), 0), ((480, 360), 360)])
def test_no_kernel_is_compiled_once_a_face_is_followed(size: tuple[int, int], border: int) -> None:
    """In a process of its own, or other tests would have compiled it. A small face in a large picture, too."""
    code = CODE.replace("WIDTH", str(size[0])).replace("HEIGHT", str(size[1])).replace("BORDER", str(border))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["700", "{}"], done.stdout + done.stderr[-2000:]
