"""The one decorator of all kernels: read-only installations, and kept machine code that is never stale."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def decorated() -> dict[str, set[str]]:
    """Module → the names of all its decorators; jit.py itself left out."""
    found: dict[str, set[str]] = {}
    for path in [*(ROOT / "realtime").rglob("*.py"), *(ROOT / "offline").rglob("*.py")]:
        nodes = ast.walk(ast.parse(path.read_text()))
        names = {ast.unparse(d).partition("(")[0] for node in nodes for d in getattr(node, "decorator_list", [])}
        found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = names
    del found["realtime.vision.jit"]
    return found


KERNELS = sorted(module for module, names in decorated().items() if names & {"jit", "inlined"})


def copy_of_the_code(folder: Path) -> Path:
    """The program's Python files, without what Python and numba keep beside them."""
    for package in ("realtime", "offline"):
        keep = shutil.ignore_patterns("__pycache__", "assets", "bundles")
        shutil.copytree(ROOT / package, folder / package, ignore=keep)
    return folder


def run(code: str, folder: Path, **environment: str) -> str:
    """What the code prints in a process that takes the program from ``folder``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    clean |= {"PYTHONPATH": str(folder), **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_kernel_uses_it() -> None:
    """No file but jit.py decorates with numba itself."""
    others = {"njit", "vectorize", "guvectorize", "stencil"}
    for module, names in decorated().items():
        assert not names & {"numba.jit", "nb.jit"}, module
        assert not {name.rpartition(".")[2] for name in names} & others, module
    known = {"realtime.vision.flow.kernels", "realtime.vision.face.tracking", "realtime.vision.spotting.lbp"}
    assert known | {"realtime.synthesis._kernels", "offline.training.shallow_cpu"} <= set(KERNELS)


def test_a_stage_loads_its_kernels_without_scipy() -> None:
    """A third of the time until a flow worker is ready went into importing it; what needs it later can have it."""
    code = (
        "import sys; from realtime.stages import motion; from realtime.vision import jit; jit.leave_blas_out();"
        "motion.warm_up(motion.maps.FeatureSpec(), 'cpu'); print('scipy.linalg' in sys.modules);"
        "import scipy.linalg.cython_blas; print('scipy.linalg' in sys.modules)"
    )
    assert run(code, ROOT).split() == ["False", "True"]


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation where nothing can be kept beside the code, not even by root: a file is in the folder's place."""
    folder = copy_of_the_code(tmp_path_factory.mktemp("installed"))
    for package in {path.parent for path in folder.rglob("*.py")}:
        (package / "__pycache__").touch()
    return folder


@pytest.mark.parametrize("module", KERNELS)
def test_a_read_only_installation_without_a_home_works(module: str, read_only: Path, tmp_path: Path) -> None:
    code = f"import {module} as m\nfrom numba.extending import is_jitted\n"
    code += "names = [n for n, v in vars(m).items() if is_jitted(v)]\nassert names\n"
    code += "print({getattr(m, n)._cache.cache_path for n in names})"
    where = run(code, read_only, HOME="/dev/null/home", TMPDIR=str(tmp_path))
    assert f"{tmp_path}/merealtime-numba-{os.getuid()}" in where
    assert (tmp_path / f"merealtime-numba-{os.getuid()}").stat().st_mode & 0o077 == 0


def test_kernels_of_a_read_only_installation_compile_and_are_kept(read_only: Path, tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom realtime.vision.face import tracking as t\n"
        "out = np.zeros(1); image = np.arange(400, dtype=np.float32).reshape(20, 20) ** 1.5\n"
        "t.change_in(image, image, np.array([[2, 2, 18, 18]]), out)\nassert abs(out[0]) < 1e-4, out\n"
        "print(sum(t.change_in.stats.cache_hits.values()))"
    )
    for hits in ("0", "1"):
        assert run(code, read_only, HOME="/dev/null/home", TMPDIR=str(tmp_path)).strip() == hits


_MADE_OF = """
from numba import types
from numba.extending import intrinsic
FACTOR = 2
@intrinsic
def scaled(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.mul(args[0], args[0].type(3))
    return types.int64(types.int64), codegen
"""
_KERNEL = """
from made_of import scaled, FACTOR
from realtime.vision.jit import jit
@jit(fastmath={"contract", "reassoc", "nsz"})
def outer(x):
    return inner(x)
@jit
def inner(x):
    return scaled(x) * FACTOR
"""


@pytest.mark.parametrize(("old", "new", "value"), [("type(3)", "type(5)", 10), ("FACTOR = 2", "FACTOR = 7", 21)])
def test_a_kernel_is_made_anew_when_what_it_is_made_of_changes(tmp_path: Path, old: str, new: str, value: int) -> None:
    """An intrinsic and a constant of another file, by way of a kernel of this one that is defined later."""
    (tmp_path / "made_of.py").write_text(_MADE_OF)
    (tmp_path / "kernel.py").write_text(_KERNEL)
    code = "import kernel\nprint(kernel.outer(1), sum(kernel.outer.stats.cache_hits.values()))"
    path = f"{tmp_path}:{ROOT}"
    assert run(code, tmp_path, PYTHONPATH=path).split() == ["6", "0"]
    assert run(code, tmp_path, PYTHONPATH=path).split() == ["6", "1"], "kept"
    (tmp_path / "made_of.py").write_text(_MADE_OF.replace(old, new))
    assert run(code, tmp_path, PYTHONPATH=path).split() == [str(value), "0"]


_STEP = """
import numpy as np
from offline.training.shallow_cpu import _forward
images = np.ones((1, 3, 30, 30), np.float32); counts = np.ones((1, 2), np.float32)
weights = np.ones((108, 16), np.float32); acts = np.zeros((1, 28, 28, 16), np.float32)
peaks = np.zeros((1, 100, 16), np.float32); places = np.zeros_like(peaks)
_forward(images, counts, 8, weights, acts, peaks, places)
print(acts[0, 5, 5, 0], sum(_forward.stats.cache_hits.values()))
"""


def test_the_trainer_follows_its_vector_code(tmp_path: Path) -> None:
    """`shallow_cpu` went on with machine code made of an older `shallow_ir`."""
    copy_of_the_code(tmp_path)
    assert run(_STEP, tmp_path).split() == ["28.0", "0"]
    assert run(_STEP, tmp_path).split() == ["28.0", "1"], "kept"
    changed = tmp_path / "offline" / "training" / "shallow_ir.py"
    text = changed.read_text()
    line = "acc = [_load(builder, weights, TAPS)] * _BLOCK"  # the bias
    assert line in text
    changed.write_text(text.replace(line, "acc = [_ZERO] * _BLOCK"))
    assert run(_STEP, tmp_path).split() == ["27.0", "0"]
