"""The CUDA twin: kernels compiled by nvcc, run by a shim on the CPU with the real host code, and on a GPU if any."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import BackendError
from realtime.vision import flow
from realtime.vision.features import maps
from realtime.vision.flow import TvL1Params, cuda, reference, strain, tvl1

ROOT = Path(__file__).resolve().parent.parent
SHIM = ROOT / "tests" / "cuda_shim"
KERNEL = ROOT / "realtime" / "vision" / "flow" / "flow.cu"


class ShimDevice:
    """A ``Device`` whose memory is NumPy's and whose launches are the shim's."""

    def __init__(self, library, blocks_at_once=12):
        self.library = library
        self.blocks_at_once = blocks_at_once
        self.arrays = {}
        self.launches = []

    def put(self, name, array):
        assert array.flags.c_contiguous
        self.arrays[name] = array.copy()
        return self.arrays[name]

    def room(self, name, count, dtype, *, clear=False):
        raw = np.zeros(count, dtype) if clear else np.full(count * np.dtype(dtype).itemsize, 0xFF, np.uint8)
        self.arrays[name] = raw.view(dtype)  # 0xFF… is NaN: what is read before it is written shows
        return self.arrays[name]

    def get(self, name, shape, dtype):
        return self.arrays[name].reshape(shape).copy()

    def launch(self, kernel, grid, shared_bytes, arguments):
        assert grid <= 8 * self.blocks_at_once
        self.launches.append((kernel, grid))
        handles = [
            ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int(int(a)) for a in arguments
        ]
        getattr(self.library, f"launch_{kernel}")(grid, cuda.THREADS, shared_bytes, *handles)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    target = tmp_path_factory.mktemp("shim") / "flow_shim.so"
    options = ["-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-Wno-clobbered"]
    subprocess.run(
        [compiler, *options, f"-I{SHIM}", f"-I{KERNEL.parent}", str(SHIM / "flow_shim.cpp"), "-o", str(target)],
        check=True,
        timeout=120,
    )
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="session")
def pairs():
    spec = importlib.util.spec_from_file_location("_flow_fields", ROOT / "bench" / "_flow_fields.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.unit_pairs())


@pytest.fixture(scope="session")
def hardware():
    """The first GPU, as a live session takes it; skips with the reason where there is none."""
    try:
        cuda.probe()
    except BackendError as error:
        pytest.skip(str(error))
    device = cuda.solver().device
    device.launches, launch = [], device.launch

    def counted(kernel, grid, shared_bytes, arguments):
        device.launches.append((kernel, grid))
        launch(kernel, grid, shared_bytes, arguments)

    device.launch = counted
    return device


@pytest.fixture(params=["shim", "hardware"])
def device(request):
    """Each test runs on the shim, and on a GPU where there is one."""
    if request.param == "shim":
        return ShimDevice(request.getfixturevalue("library"))
    found = request.getfixturevalue("hardware")
    found.launches.clear()
    return found


@pytest.fixture
def gpu(device, monkeypatch):
    """The public functions with backend ``cuda`` run on ``device``."""
    solver = cuda.Solver(device)
    monkeypatch.setattr(cuda, "solver", lambda: solver)
    monkeypatch.setattr(cuda, "probe", lambda: "a GPU")
    return device


def cut(pair, height, width):
    window = np.s_[60 : 60 + height, 30 : 30 + width]
    return pair.first[window], pair.second[window]


def largest(difference):
    return float(np.hypot(difference[..., 0], difference[..., 1]).max())


SMALL = {
    "ipol": TvL1Params(warps=2, iterations=25),
    "opencv": TvL1Params(
        scale_step=0.8, median=5, median_every=6, presmooth_px=0.0, normalise=False, antialias=False, warps=2,
        iterations=20, scales=3,
    ),
    "fixed": TvL1Params(warps=1, iterations=7, epsilon=0.0),
}  # fmt: skip


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("shape", [(70, 45), (33, 65), (20, 17)])
def test_kernels_agree_with_the_oracle(gpu, pairs, preset, shape):
    first, second = cut(pairs[3], *shape)
    expected = reference.tvl1(first, second, SMALL[preset])
    assert largest(tvl1(first, second, SMALL[preset], "cuda") - expected) < 0.01
    assert gpu.launches[0][0] == "solve_pairs"


def test_tiles_leave_no_seam(gpu):
    """Noise has no smooth flow: a halo that is one cell short changes the cells beside a tile's edge."""
    rng = np.random.default_rng(4)
    first, second = rng.integers(0, 256, (2, 70, 69), np.uint8)
    params = TvL1Params(warps=1, iterations=12, epsilon=0.0, scales=1, presmooth_px=0.0, lambda_=0.02)
    expected = reference.tvl1(first, second, params)
    assert np.abs(expected).max() > 0.5
    assert largest(tvl1(first, second, params, "cuda") - expected) < 1e-4


def test_whole_crop_with_the_live_preset_agrees_with_the_cpu_twin(gpu, pairs):
    pair = pairs[1]
    found = tvl1(pair.first, pair.second, TvL1Params.live(), "cuda")
    assert largest(found - tvl1(pair.first, pair.second, TvL1Params.live())) < 0.01


def test_any_division_into_blocks_gives_the_same_flow(library, pairs):
    first, second = cut(pairs[2], 70, 45)
    found = [
        cuda.Solver(ShimDevice(library, blocks)).solve(first[None], second[None], SMALL["ipol"])[0]
        for blocks in (1, 2, 5, 6)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 4])
def test_batches_larger_than_the_device_are_solved_in_turns(library, pairs, blocks):
    pictures = [cut(pair, 40, 36) for pair in pairs[:5]]
    first, second = (np.stack(side) for side in zip(*pictures, strict=True))
    found, _ = cuda.Solver(ShimDevice(library, blocks)).solve(first, second, SMALL["ipol"])
    for number, (one, two) in enumerate(pictures):
        assert largest(found[number] - tvl1(one, two, SMALL["ipol"])) < 0.01


def test_warm_start_float_pixels_and_strain(gpu, pairs):
    first, second = cut(pairs[3], 40, 36)
    params = SMALL["fixed"]
    start = tvl1(first, second, SMALL["ipol"])
    expected = tvl1(first, second, params, init=start)
    found = tvl1(first.astype(np.float32), second.astype(np.float64), params, "cuda", init=start)
    assert largest(found - expected) < 0.01
    np.testing.assert_allclose(strain(found, "cuda"), strain(found), atol=1e-5)
    dense = flow.DenseFlow(first, params, "cuda")
    assert largest(dense.push(second) - tvl1(first, second, params)) < 0.01
    assert largest(dense.push(second) - tvl1(first, second, params, init=tvl1(first, second, params))) < 0.01


@pytest.mark.parametrize(("eyes", "strain_px"), [(True, 0.0), (False, 0.0), (False, 2.0)])
def test_feature_maps_agree_with_the_cpu_twin(gpu, pairs, eyes, strain_px):
    spec = maps.FeatureSpec(crop_height=70, crop_width=60, eye_mask=eyes, strain_px=strain_px, map_size=14)
    pictures = [cut(pair, 70, 60) for pair in pairs[1:3]]
    still = pictures[0][0], pictures[0][0]
    onsets, apexes = (np.stack(side) for side in zip(*pictures, still, strict=True))
    landmarks = np.random.default_rng(0).uniform(10, 50, (3, 68, 2))
    expected = maps.feature_maps(onsets, apexes, landmarks, spec)
    found = maps.feature_maps(onsets, apexes, landmarks, spec, "cuda")
    np.testing.assert_allclose(found, expected, atol=1.0)
    np.testing.assert_array_equal(found[2], expected[2])
    np.testing.assert_allclose(
        maps.feature_map(onsets[0], apexes[0], landmarks[0], spec, "cuda"), expected[0], atol=1.0
    )
    assert [kernel for kernel, _ in gpu.launches] == ["solve_pairs"] * 2


def test_a_gpu_gives_the_same_flow_each_time_however_many_pairs_are_solved_at_once(hardware, pairs):
    """Blocks meet at a barrier of our own: a race shows as a difference between runs, or between batch sizes."""
    pictures = [pairs[k % len(pairs)] for k in range(600)]
    first, second = np.stack([p.first for p in pictures]), np.stack([p.second for p in pictures])
    params, solver = TvL1Params.live(), cuda.Solver(hardware)
    whole = [solver.solve(first, second, params)[0] for _ in range(3)]
    for again in whole[1:]:
        np.testing.assert_array_equal(again, whole[0])
    for count in (1, 2, 7, 64):
        found = solver.solve(first[:count], second[:count], params)[0]
        np.testing.assert_allclose(found, whole[0][:count], atol=2e-3)
    for number, pair in enumerate(pictures[: len(pairs)]):
        assert largest(whole[0][number] - tvl1(pair.first, pair.second, params)) < 0.02


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"])
def test_kernels_compile_for_every_architecture(architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc")
    command = [nvcc, "-std=c++14", "-O3", f"-arch={architecture}", "-cubin", "-Werror", "all-warnings"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "flow.cubin"), str(KERNEL)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flow.cubin").stat().st_size > 10_000


def test_host_and_kernel_agree_on_constants():
    text = KERNEL.read_text(encoding="utf-8")
    for line in (
        f"constexpr int TILE = {cuda.TILE};",
        f"constexpr int PHASE = {cuda.PHASE};",
        f"constexpr int THREADS = {cuda.THREADS};",
        f"constexpr int LEVEL_META = {cuda.LEVEL_META};",
        f"counters + {cuda.BARRIER_STRIDE} * g.number",
    ):
        assert line in text


def fake_pycuda(monkeypatch, **driver):
    package, module = types.ModuleType("pycuda"), types.ModuleType("pycuda.driver")
    module.Error = type("Error", (Exception,), {})
    for name, value in driver.items():
        setattr(module, name, value)
    package.driver = module
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", module)
    return module


@pytest.fixture
def fresh_probe():
    cuda.probe.cache_clear()
    yield
    cuda.probe.cache_clear()


def refuse(*_, **__):
    raise sys.modules["pycuda.driver"].Error("cuInit failed:\nno CUDA-capable device is detected")


def test_missing_pycuda_or_device_is_told_in_one_line(monkeypatch, fresh_probe):
    for prepare in (
        lambda: monkeypatch.setitem(sys.modules, "pycuda", None),
        lambda: fake_pycuda(monkeypatch, init=refuse),
        lambda: fake_pycuda(monkeypatch, init=lambda: None, Device=types.SimpleNamespace(count=lambda: 0)),
    ):
        prepare()
        with pytest.raises(BackendError) as caught:
            flow.resolve_backend("cuda")
        assert "\n" not in str(caught.value)
        backend, reason = flow.resolve_backend("auto")
        assert backend == "cpu"
        assert reason.startswith("no GPU: ")
        assert "\n" not in reason
        with pytest.raises(BackendError):
            tvl1(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), backend="cuda")
        assert not tvl1(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), backend="auto").any()


def test_a_device_that_fails_later_is_told_in_one_line(monkeypatch, fresh_probe):
    class Device:
        count = staticmethod(lambda: 1)

        def __init__(self, number):
            self.number = number

        def name(self):
            return "a GPU"

        make_context = refuse

    module = fake_pycuda(monkeypatch, init=lambda: None, Device=Device)
    compiler = types.ModuleType("pycuda.compiler")
    sys.modules["pycuda"].compiler = compiler
    monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    assert flow.resolve_backend("auto") == ("cuda", "a GPU")
    cuda.solver.cache_clear()
    with pytest.raises(BackendError, match="cuInit failed: no CUDA-capable") as caught:
        strain(np.zeros((20, 20, 2), np.float32), "cuda")
    assert "\n" not in str(caught.value)
    assert module.Error is not None
