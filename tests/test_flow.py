"""TV-L1 and strain: the CPU twin against the NumPy oracle, known fields, symmetries, bad input."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from realtime.errors import BackendError, InputError
from realtime.vision import flow, jit
from realtime.vision.flow import DenseFlow, TvL1Params, plan, reference, strain, tvl1

ROOT = Path(__file__).resolve().parent.parent
PRESETS = {"ipol": TvL1Params.ipol(), "opencv": TvL1Params.opencv(), "live": TvL1Params.live()}


def load_fields():
    spec = importlib.util.spec_from_file_location("_flow_fields", ROOT / "bench" / "_flow_fields.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fields = load_fields()


@pytest.fixture(scope="module")
def pairs():
    return {pair.name: pair for pair in fields.pairs()}


def textured(height, width, seed=0):
    """Smooth random texture, 0..255 uint8."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def largest(difference):
    return float(np.hypot(difference[..., 0], difference[..., 1]).max())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["AU12 2 px", "rotation 1.5°"])
def test_cpu_agrees_with_the_oracle(pairs, preset, name):
    pair, params = pairs[name], PRESETS[preset]
    expected = reference.tvl1(pair.first, pair.second, params)
    assert largest(tvl1(pair.first, pair.second, params) - expected) < 0.01


@pytest.mark.parametrize("shape", [(2, 2), (3, 61), (17, 16), (33, 128), (70, 47), (97, 144)])
@pytest.mark.parametrize("median", [0, 5])
def test_cpu_agrees_with_the_oracle_at_odd_sizes(shape, median):
    first = textured(shape[0] + 8, shape[1] + 8)[4:-4, 4:-4]
    second = np.roll(first, (1, -2), axis=(0, 1))
    params = TvL1Params(warps=2, iterations=12, epsilon=0.0, median=median, median_every=5, antialias=median == 0)
    expected = reference.tvl1(first, second, params)
    assert largest(tvl1(first, second, params) - expected) < 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_known_fields_are_found(pairs, preset):
    for pair in pairs.values():
        error = fields.end_point_error(tvl1(pair.first, pair.second, PRESETS[preset]), pair.field)
        assert error < 0.08, f"{pair.name}: {error:.3f} px"


def test_opencv_preset_is_as_good_as_opencv(pairs):
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    for name in ("AU12 1 px", "AU4 2 px", "translation 1.5, -1 px"):
        pair = pairs[name]
        theirs = solver.calc(pair.first, pair.second, None)
        ours = tvl1(pair.first, pair.second, TvL1Params.opencv())
        errors = [fields.end_point_error(found, pair.field) for found in (ours, theirs)]
        assert errors[0] < errors[1] + 0.02
        assert fields.end_point_error(ours, theirs) < 0.05


def test_live_stays_near_ipol(pairs):
    for pair in pairs.values():
        near = fields.end_point_error(
            tvl1(pair.first, pair.second, TvL1Params.live()), tvl1(pair.first, pair.second, TvL1Params.ipol())
        )
        assert near < 0.05, f"{pair.name}: {near:.3f} px"


@pytest.mark.parametrize("preset", PRESETS)
def test_no_motion_gives_no_flow(pairs, preset):
    image = pairs["AU12 1 px"].first
    assert not tvl1(image, image, PRESETS[preset]).any()
    flat = np.full((40, 50), 7, np.uint8)
    assert not tvl1(flat, flat, PRESETS[preset]).any()


@pytest.mark.parametrize("preset", PRESETS)
def test_mirrored_images_give_mirrored_flow(pairs, preset):
    pair = pairs["AU12 2 px"]
    found = tvl1(pair.first, pair.second, PRESETS[preset])
    for axis, sign in ((1, [-1, 1]), (0, [1, -1])):
        mirrored = tvl1(np.flip(pair.first, axis), np.flip(pair.second, axis), PRESETS[preset])
        # forward differences look right and down, so a finite number of iterations is not exactly symmetric
        assert fields.end_point_error(np.flip(mirrored, axis) * sign, found) < 0.02


def test_swapped_images_nearly_negate_the_flow(pairs):
    pair = pairs["AU12 1 px"]
    forth = tvl1(pair.first, pair.second, TvL1Params.ipol())
    back = tvl1(pair.second, pair.first, TvL1Params.ipol())
    assert fields.end_point_error(-back, forth) < 0.03


def test_gain_and_offset_of_both_images_do_not_matter_when_normalised(pairs):
    pair = pairs["AU12 1 px"]
    found = tvl1(pair.first, pair.second)
    dimmed = [(image.astype(np.float32) * 0.25 + 60) for image in (pair.first, pair.second)]
    assert largest(tvl1(*dimmed) - found) < 0.01


def test_warm_start_goes_on_from_the_given_flow(pairs):
    pair = pairs["AU12 2 px"]
    short = TvL1Params(warps=1, iterations=3)
    start = tvl1(pair.first, pair.second, TvL1Params.ipol())
    kept = start.copy()
    warm = tvl1(pair.first, pair.second, short, init=start)
    cold = tvl1(pair.first, pair.second, short)
    errors = [fields.end_point_error(found, pair.field) for found in (warm, cold)]
    assert errors[0] < 0.8 * errors[1]
    np.testing.assert_array_equal(start, kept)


def test_dense_flow_follows_a_movement(pairs):
    pair = pairs["AU12 2 px"]
    y, x = np.mgrid[:170, :140].astype(np.float32)
    dense = DenseFlow(pair.second)
    for share in np.linspace(0, 1, 11):
        # seen from the second image a pixel at x comes from the first at x + share·field
        across, down = (x + share * pair.field[..., 0]), (y + share * pair.field[..., 1])
        frame = cv2.remap(pair.second, across.astype(np.float32), down.astype(np.float32), cv2.INTER_CUBIC)
        found = dense.push(frame)
        cold = tvl1(pair.second, frame, TvL1Params.ipol())
        assert fields.end_point_error(found, cold) < 0.06
    dense.reset(frame)
    assert not dense.push(frame).any()


def test_results_do_not_depend_on_earlier_calls_or_threads(pairs):
    pair, other = pairs["AU12 1 px"], pairs["AU4 2 px"]
    expected = tvl1(pair.first, pair.second)
    for _ in range(2):
        tvl1(other.first, other.second)
        np.testing.assert_array_equal(tvl1(pair.first, pair.second), expected)
    found = {}

    def work(number):
        for _ in range(5):
            tvl1(other.first, other.second)
            found[number] = tvl1(pair.first, pair.second)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for result in found.values():
        np.testing.assert_array_equal(result, expected)


def test_images_need_not_be_contiguous(pairs):
    pair = pairs["AU12 1 px"]
    expected = tvl1(pair.first, pair.second)
    first, second = np.asfortranarray(pair.first), np.dstack([pair.second] * 2)[..., 1]
    np.testing.assert_array_equal(tvl1(first, second), expected)


def test_strain_is_the_analytic_strain_of_a_field():
    y, x = np.mgrid[:60, :80] / 10.0
    field = np.dstack([np.sin(x) * np.cos(0.5 * y), x * y * 0.1]).astype(np.float32)
    ux, uy = np.cos(x) * np.cos(0.5 * y) / 10, -0.5 * np.sin(x) * np.sin(0.5 * y) / 10
    vx, vy = 0.1 * y / 10, 0.1 * x / 10
    analytic = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(strain(field)[inner], analytic[inner], atol=3e-4)


def test_strain_agrees_with_the_oracle_and_tells_the_axes_apart():
    field = np.random.default_rng(1).normal(size=(31, 22, 2)).astype(np.float32)
    np.testing.assert_allclose(strain(field), reference.strain(field), atol=2e-6)
    stretch = np.zeros((10, 12, 2), np.float32)
    stretch[..., 0] = 0.5 * np.arange(12)  # u_x alone
    np.testing.assert_allclose(strain(stretch), 0.5, atol=1e-6)
    shear = np.zeros((10, 12, 2), np.float32)
    shear[..., 0] = 0.5 * np.arange(10)[:, None]  # u_y alone
    np.testing.assert_allclose(strain(shear), 0.5 / np.sqrt(2), atol=1e-6)
    turn = np.zeros((10, 12, 2), np.float32)
    turn[..., 0], turn[..., 1] = 0.1 * np.arange(10)[:, None], -0.1 * np.arange(12)  # a small rotation
    np.testing.assert_allclose(strain(turn), 0.0, atol=1e-6)


GOOD = np.zeros((20, 30), np.uint8)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (GOOD, np.zeros((20, 31), np.uint8)),
        (np.zeros((0, 30), np.uint8), np.zeros((0, 30), np.uint8)),
        (np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8)),
        (GOOD.astype(np.uint16), GOOD.astype(np.uint16)),
        (GOOD, GOOD.astype(np.uint16)),
        (GOOD.astype(np.float32), np.full((20, 30), np.nan, np.float32)),
        (np.full((20, 30), np.inf), GOOD.astype(np.float64)),
        (np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)),
    ],
)
def test_bad_images_are_refused_with_both_shapes_named(first, second):
    with pytest.raises(InputError) as caught:
        tvl1(first, second)
    assert str(first.shape) in str(caught.value)
    assert str(second.shape) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "start",
    [
        np.zeros((20, 31, 2), np.float32),
        np.zeros((20, 30), np.float32),
        np.full((20, 30, 2), np.nan, np.float32),
        np.zeros((20, 30, 2), np.int32),
    ],
)
def test_bad_initial_flow_is_refused(start):
    with pytest.raises(InputError):
        tvl1(GOOD, GOOD, init=start)


def test_wild_initial_flow_harms_nothing():
    image = textured(40, 50)
    for value in (1e4, -1e4, 3e7):
        start = np.full((40, 50, 2), value, np.float32)
        assert np.isfinite(tvl1(image, image, init=start)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"tau": 0.0},
        {"lambda_": -1.0},
        {"scale_step": 1.0},
        {"warps": 0},
        {"epsilon": -0.1},
        {"median": 3},
        {"tau": float("nan")},
        {"scales": 33},
        {"presmooth_px": 8.5},
    ],
)
def test_bad_parameters_are_refused(wrong):
    """Made in Python or decoded: by the same bounds, and by name."""
    ((key, value),) = wrong.items()
    with pytest.raises(InputError, match=f"TV-L1 parameter {key.rstrip('_')}: "):
        TvL1Params(**wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({key.rstrip("_"): value}, TvL1Params)


def test_parameters_survive_json_and_refuse_unknown_keys():
    params = TvL1Params.opencv()
    assert msgspec.json.decode(msgspec.json.encode(params), type=TvL1Params) == params
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"tao": 0.25}', type=TvL1Params)


def test_backend_names():
    assert flow.resolve_backend("cpu")[0] == "cpu"
    with pytest.raises(BackendError):
        flow.resolve_backend("opencl")


def test_median_network_is_exact():
    """All binary inputs up to the symmetries of columns and rows, through the public path of the kernel."""
    from realtime.vision.flow import kernels

    rng = np.random.default_rng(3)
    height, width = 37, 53
    image = rng.normal(size=(height, width)).astype(np.float32)
    image[:18] = rng.integers(0, 2, (18, width))
    level = plan.make_level(height, width)
    memory = np.zeros(2 * level.cells + 5 * level.stride + 16, np.float32)
    rows = memory[: level.cells][2 * level.stride : (height + 2) * level.stride].reshape(height, level.stride)
    rows[:, :width] = image
    sizes = [np.uint64(value) for value in (0, level.cells, height, width, level.stride, 2 * level.cells)]
    kernels.median(memory, *sizes)
    np.testing.assert_array_equal(rows[:, :width], cv2.medianBlur(image, 5))


@pytest.mark.parametrize("name", ["primal", "dual"])
def test_inner_loops_are_vectorised(name):
    """Compiled afresh: wide registers and fused multiply-adds, where the processor has them."""
    import numba
    from llvmlite import binding

    from realtime.vision.flow import kernels

    if not binding.get_host_cpu_features().get("fma"):
        pytest.skip("no AVX2 with FMA")
    array, whole, real = numba.float32[::1], numba.uint64, numba.float32
    arguments = {
        "primal": (array, whole, whole, whole, whole, whole, real, real),
        "dual": (array, whole, whole, whole, whole, whole, array, real),
    }
    options = getattr(kernels, name).targetoptions
    fresh = numba.njit(**{key: value for key, value in options.items() if key != "nopython"})(
        getattr(kernels, name).py_func
    )
    fresh.compile(arguments[name])
    code = "".join(fresh.inspect_asm().values())
    packed = [line for line in code.splitlines() if "vfmadd" in line and "ps" in line]
    assert any("zmm" in line or "ymm" in line for line in packed)


def test_resampling_tables_keep_a_constant_and_mirror():
    params = TvL1Params.ipol()
    for table in (
        plan.smooth_table(31, 0.8),
        plan.down_table(31, 16, params),
        plan.bilinear_table(16, 31),
    ):
        np.testing.assert_allclose(table.weights.sum(axis=1), 1.0, atol=1e-6)
        assert table.starts.min() >= 0
        dense = np.zeros((table.starts.size, 64))
        for row, (start, weights) in enumerate(zip(table.starts, table.weights, strict=True)):
            dense[row, start : start + weights.size] = weights
        size = 16 if table.starts.size == 31 and table.weights.shape[1] == 2 else 31
        np.testing.assert_allclose(dense[::-1, :size][:, ::-1], dense[:, :size], atol=1e-6)


@pytest.mark.parametrize("writable", [True, False])
def test_read_only_installation_still_compiles(tmp_path, writable):
    """Numba left with the one place that the environment names: none at first, then our own temporary folder."""
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = [c.UserProvidedCacheLocator]\n"
        "from realtime.vision import jit; from realtime.vision.flow import kernels as k\n"
        "import numpy as np\n"
        "f = np.float32\n"
        "assert k.sort5(f(3), f(1), f(2), f(5), f(4)) == (1, 2, 3, 4, 5)\n"
    )
    folder = tmp_path if writable else tmp_path / "missing"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    if not writable:
        code = code.replace("import numpy", f"jit.tempfile.gettempdir = lambda: {str(folder)!r}\nimport numpy", 1)
        code = code.replace("; from realtime.vision.flow import kernels as k", "")
        code = code.replace("f = np", "from realtime.vision.flow import kernels as k\nf = np")
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert bool(list(tmp_path.rglob("*.nbi"))) is writable


def test_cache_folder_of_another_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = jit.private_folder()
    assert folder is not None
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)
    assert jit.private_folder() is None
