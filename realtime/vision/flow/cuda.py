"""TV-L1, strain and feature maps on the GPU: what the host does for ``flow.cu``.

One launch solves any number of pairs from upload to result (see ``flow.cu``). ``Solver`` lays out the tables and sizes
the launch; ``Gpu`` is the only part that talks to pycuda, and is made in the process that computes, at first use. The
tests put a device of their own in its place that runs the same kernels on the CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.errors import BackendError
from realtime.vision.flow.params import TvL1Params
from realtime.vision.flow.plan import Plan, make_plan

SOURCE = Path(__file__).with_name("flow.cu")
TILE, PHASE, THREADS, PLANES = 32, 4, 256, 22
SHARED_BYTES = 6 * (TILE + 2 * PHASE) ** 2 * 4
LEVEL_META, BARRIER_STRIDE = 16, 32
LEAST_BLOCKS = 6
"""Fewer pairs at once keep their planes nearer to the caches: on an H200 64 pairs of six blocks each came at 12 100
pairs a second, 512 of one block each at 8 500."""
WANT_FLOW, WANT_MAP = 1, 2


class Device(Protocol):
    """What ``Solver`` needs of a device. Arrays are (re)used by name; all work is done in order."""

    blocks_at_once: int
    """Blocks of THREADS threads and SHARED_BYTES that the device holds at the same time."""

    def put(self, name: str, array: NDArray[Any]) -> Any:
        """Handle of a device array with this content."""

    def room(self, name: str, count: int, dtype: Any, *, clear: bool = False) -> Any:
        """Handle of a device array with undefined (or zero) content."""

    def get(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Content of a device array; waits for all work before."""

    def launch(self, kernel: str, grid: int, shared_bytes: int, arguments: Sequence[Any]) -> None:
        """Start ``kernel`` with THREADS threads a block; arguments are handles and NumPy scalars."""


class Solver:
    """Solves batches of pairs on one device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def solve(
        self,
        first: NDArray[Any],
        second: NDArray[Any],
        params: TvL1Params,
        init: NDArray[Any] | None = None,
        masks: NDArray[np.bool_] | None = None,
        areas: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
        want_flow: bool = True,
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Flows and, with ``areas``, feature maps of n pairs.

        first, second: (n, H, W) uint8 or float, grey levels 0..255; init: (n, H, W, 2) px; masks: (n, H, W) True where
        nothing counts; areas: weights (map, H) and (map, W). Returns (n, H, W, 2) px and (n, map, map, 3) 0..255.
        """
        pairs, height, width = first.shape
        plan = make_plan(height, width, params)
        members, groups = self._shape(plan, pairs)
        pixels = np.uint8 if first.dtype == second.dtype == np.uint8 else np.float32
        size = areas[0].shape[0] if areas else 0
        want = (WANT_FLOW if want_flow else 0) | (WANT_MAP if areas else 0)
        meta = make_meta(plan, params, pixels == np.uint8, init is not None, size, want, masks is not None)
        device, cells = self.device, int(meta[8])
        flows = (pairs, height, width, 2)
        handles = [
            device.put("first", np.ascontiguousarray(first, pixels)),
            device.put("second", np.ascontiguousarray(second, pixels)),
            device.put("flow", np.ascontiguousarray(init, np.float32).reshape(flows))
            if init is not None
            else device.room("flow", int(np.prod(flows)), np.float32),
            device.put("mask", np.zeros((height, width), np.uint8) if masks is None else masks.astype(np.uint8)),
            device.room("maps", max(pairs * size * size * 3, 1), np.float32),
            device.room("memory", groups * PLANES * cells, np.float32),
            device.room("errors", groups * 2 * members * PHASE, np.float32),
            device.room("counters", groups * BARRIER_STRIDE, np.uint32, clear=True),
            device.put("meta", meta),
            *(device.put(name, table) for name, table in zip(("starts", "weights"), make_tables(plan), strict=True)),
            device.put("area", np.concatenate([part.ravel() for part in areas]) if areas else np.zeros(1, np.float32)),
            device.put("settings", make_settings(params)),
        ]
        handles += [np.int32(pairs), np.int32(members)]
        device.launch("solve_pairs", groups * members, SHARED_BYTES, handles)
        found = device.get("flow", flows, np.float32) if want_flow else None
        maps = device.get("maps", (pairs, size, size, 3), np.float32) if areas else None
        return found, maps

    def strain(self, flow: NDArray[Any]) -> NDArray[np.float32]:
        """See ``flow.strain``."""
        height, width = flow.shape[:2]
        handles = [
            self.device.put("flow", np.ascontiguousarray(flow, np.float32)),
            self.device.room("strain", height * width, np.float32),
            np.int32(height),
            np.int32(width),
        ]
        grid = min(-(-height * width // THREADS), 8 * self.device.blocks_at_once)
        self.device.launch("strain_map", grid, 0, handles)
        return self.device.get("strain", (height, width), np.float32)

    def _shape(self, plan: Plan, pairs: int) -> tuple[int, int]:
        """(blocks a pair, pairs at once): one pair gets a block a tile, one of a large batch LEAST_BLOCKS."""
        finest, blocks = plan.levels[0], self.device.blocks_at_once
        tiles = -(-finest.height // TILE) * -(-finest.width // TILE)
        members = max(1, min(tiles, max(blocks // pairs, LEAST_BLOCKS), blocks))
        return members, max(1, min(pairs, blocks // members))


def make_meta(
    plan: Plan, params: TvL1Params, byte_pixels: bool, warm: bool, map_size: int, want: int, masked: bool
) -> NDArray[np.int32]:
    """The integers that ``flow.cu`` reads: settings, then (height, width, offset) a level, then the tables' rows."""
    levels, offset = [], 0
    for level in plan.levels:
        levels.append((level.height, level.width, offset))
        offset += level.height * level.width
    median = params.median_every if params.median else 0
    head = [len(levels), params.presmooth_px > 0, params.warps, params.iterations, median, params.normalise]
    head += [byte_pixels, warm, offset, map_size, want, masked]
    head += [0] * (LEVEL_META - len(head))
    rows, start, weight = [], 0, 0
    for table in plan.tables():
        size, taps = table.weights.shape
        rows.append((size, taps, start, weight))
        start += size
        weight += size * taps
    return np.concatenate([head, np.ravel(levels), np.ravel(rows)]).astype(np.int32)


def make_tables(plan: Plan) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Starts and weights (output by output) of all tables."""
    tables = plan.tables()
    starts = np.concatenate([table.starts for table in tables])
    return starts, np.concatenate([table.weights.ravel() for table in tables])


def make_settings(params: TvL1Params) -> NDArray[np.float32]:
    """(λθ, θ, τ/θ, ε²)."""
    return np.array(
        [params.lambda_ * params.theta, params.theta, params.tau / params.theta, params.epsilon**2], np.float32
    )


class Gpu:
    """The first CUDA device, with a context, a stream and page-locked staging of this process."""

    def __init__(self) -> None:
        import pycuda.compiler
        import pycuda.driver as cuda

        self._cuda = cuda
        cuda.init()
        device = cuda.Device(0)
        self._context = device.make_context()
        try:
            major, minor = device.compute_capability()
            cubin = pycuda.compiler.compile(
                SOURCE.read_text(encoding="utf-8"),
                options=["-std=c++14", "-O3"],
                arch=f"sm_{major}{minor}",
                no_extern_c=True,
            )
            self._module = cuda.module_from_buffer(cubin)
            attribute = cuda.device_attribute
            shared = device.get_attribute(attribute.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)
            per_processor = max(1, min(3, shared // (SHARED_BYTES + 1024)))  # 3: __launch_bounds__
            self.blocks_at_once = per_processor * device.get_attribute(attribute.MULTIPROCESSOR_COUNT)
            self._stream = cuda.Stream()
        finally:
            self._context.pop()
        self._arrays: dict[str, tuple[int, Any]] = {}
        self._staging: dict[str, NDArray[np.uint8]] = {}

    def put(self, name: str, array: NDArray[Any]) -> Any:
        """See ``Device``."""
        staged = self._staged(name, array.nbytes)
        staged[:] = array.reshape(-1).view(np.uint8)
        with _Current(self._context):
            handle = self._array(name, array.nbytes)
            self._cuda.memcpy_htod_async(handle, staged, self._stream)
        return handle

    def room(self, name: str, count: int, dtype: Any, *, clear: bool = False) -> Any:
        """See ``Device``."""
        nbytes = count * np.dtype(dtype).itemsize
        with _Current(self._context):
            handle = self._array(name, nbytes)
            if clear:
                self._cuda.memset_d8_async(handle, 0, nbytes, self._stream)
        return handle

    def get(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """See ``Device``."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        staged = self._staged(f"{name} out", nbytes)
        with _Current(self._context):
            self._cuda.memcpy_dtoh_async(staged, self._arrays[name][1], self._stream)
            self._stream.synchronize()
        content: NDArray[Any] = staged.view(dtype).reshape(shape).copy()
        return content

    def launch(self, kernel: str, grid: int, shared_bytes: int, arguments: Sequence[Any]) -> None:
        """See ``Device``."""
        with _Current(self._context):
            function = self._module.get_function(kernel)
            shape = {"grid": (grid, 1, 1), "block": (THREADS, 1, 1)}
            function(*arguments, **shape, shared=shared_bytes, stream=self._stream)

    def _array(self, name: str, nbytes: int) -> Any:
        if self._arrays.get(name, (0, None))[0] < nbytes:
            self._stream.synchronize()
            self._arrays.pop(name, None)
            self._arrays[name] = (nbytes, self._cuda.mem_alloc(nbytes))
        return self._arrays[name][1]

    def _staged(self, name: str, nbytes: int) -> NDArray[np.uint8]:
        if name not in self._staging or self._staging[name].size < nbytes:
            with _Current(self._context):
                self._staging[name] = self._cuda.pagelocked_empty(nbytes, np.uint8)
        return self._staging[name][:nbytes]


class _Current:
    """The context pushed for a few calls, so that any thread may use the device (one at a time)."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._context.push()

    def __exit__(self, *_: object) -> None:
        self._context.pop()


@functools.cache
def probe() -> str:
    """Name of the first GPU, without making a context; BackendError with the reason in one line where there is none."""
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError:
        raise BackendError("pycuda is not installed (the extra merealtime[gpu] brings it)") from None
    except ImportError as error:
        raise BackendError(f"no NVIDIA driver for pycuda ({_line(error)})") from None
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        raise BackendError(f"CUDA does not start ({_line(error)})") from None
    if not count:
        raise BackendError("CUDA found no device")
    return str(cuda.Device(0).name())


@functools.cache
def solver() -> Solver:
    """This process's solver on the first GPU."""
    probe()
    try:
        return Solver(Gpu())
    except Exception as error:  # pycuda's own classes are known only where it is installed
        raise BackendError(f"the GPU can't be used: {type(error).__name__}: {_line(error)}") from error


def tvl1(
    first: NDArray[Any], second: NDArray[Any], params: TvL1Params, init: NDArray[Any] | None
) -> NDArray[np.float32]:
    """See ``flow.tvl1``; the input is checked there."""
    found, _ = solver().solve(first[None], second[None], params, None if init is None else init[None])
    assert found is not None
    flow: NDArray[np.float32] = found[0]
    return flow


def strain(flow: NDArray[Any]) -> NDArray[np.float32]:
    """See ``flow.strain``."""
    return solver().strain(flow)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
