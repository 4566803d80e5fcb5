"""Dense optical flow (TV-L1) and optical strain: checks, and dispatch to the backends.

TV-L1 as in Zach, Pock, Bischof 2007 ("A duality based approach for realtime TV-L1 optical flow") in the
discretisation of Sánchez Pérez, Meinhardt-Llopis, Facciolo 2013 (IPOL, doi 10.5201/ipol.2013.26).
Twins: ``cpu.py`` (numba), ``cuda.py`` + ``flow.cu`` (pycuda); oracle: ``reference.py`` (NumPy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from realtime.errors import BackendError, InputError
from realtime.vision.flow.params import TvL1Params

if TYPE_CHECKING:
    from realtime.vision.flow import cpu

Backend = Literal["auto", "cpu", "cuda"]


def tvl1(
    first: NDArray[Any],
    second: NDArray[Any],
    params: TvL1Params | None = None,
    backend: Backend = "cpu",
    init: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Flow that takes ``first`` to ``second``: first(x, y) ≈ second(x + u, y + v).

    first, second: (H, W) uint8, or float32/float64 with grey levels 0..255, both sides ≥ 2 px.
    init: (H, W, 2) float32, px, a flow to start from (then only the finest level is solved), or None.
    Returns (H, W, 2) float32, px, [u, v]: x to the right, y down.
    InputError for other shapes, dtypes or non-finite values; BackendError where the backend is missing.
    """
    params = params or TvL1Params.live()
    check_pair(first, second)
    if init is not None:
        check_flow(init, first.shape)
    if resolve_backend(backend)[0] == "cuda":
        from realtime.vision.flow import cuda

        return cuda.tvl1(first, second, params, init)
    from realtime.vision.flow import cpu

    return cpu.tvl1(first, second, params, init)


def strain(flow: NDArray[Any], backend: Backend = "cpu") -> NDArray[np.float32]:
    """Magnitude of optical strain, √(u_x² + v_y² + ½(u_y + v_x)²), central differences (one-sided at the rim).

    flow: (H, W, 2) float, px. Returns (H, W) float32, px per px. Liong et al. 2014; LAENet eq. 4-6.
    """
    check_flow(flow, None)
    if resolve_backend(backend)[0] == "cuda":
        from realtime.vision.flow import cuda

        return cuda.strain(flow)
    from realtime.vision.flow import cpu

    return cpu.strain(flow)


class DenseFlow:
    """Flow of every frame against one reference, each solve going on from the one before at the finest level.

    A few iterations a frame suffice, because flow and dual variables are kept (on the GPU: the flow). On the CPU grey
    levels are stretched by the reference's range alone. Not for use by two threads.
    """

    def __init__(self, reference: NDArray[Any], params: TvL1Params | None = None, backend: Backend = "cpu") -> None:
        """reference: (H, W) as in ``tvl1``; ``params`` default to ``TvL1Params.dense()``."""
        check_pair(reference, reference)
        self._params = params or TvL1Params.dense()
        self._reference = reference
        self._last: NDArray[np.float32] | None = None
        self._cpu: cpu.Dense | None = None
        if resolve_backend(backend)[0] == "cpu":
            from realtime.vision.flow.cpu import Dense

            self._cpu = Dense(reference, self._params)

    def push(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Flow from the reference to ``frame``: (H, W, 2) float32, px; valid until the next push."""
        check_pair(self._reference, frame)
        if self._cpu:
            return self._cpu.push(frame)
        self._last = tvl1(self._reference, frame, self._params, "cuda", self._last)
        return self._last

    def reset(self, reference: NDArray[Any]) -> None:
        """Take another reference of the same shape; the next flow starts from zero."""
        check_pair(self._reference, reference)
        self._reference, self._last = reference, None
        if self._cpu:
            self._cpu.reset(reference)


def resolve_backend(name: str) -> tuple[Literal["cpu", "cuda"], str]:
    """``(backend, reason)`` for ``auto``, ``cpu`` or ``cuda``; BackendError when ``cuda`` is asked and missing."""
    if name == "cpu":
        return "cpu", "asked for"
    if name not in ("auto", "cuda"):
        raise BackendError(f"unknown flow backend {name!r}: use auto, cpu or cuda")
    from realtime.vision.flow import cuda

    try:
        reason = cuda.probe()
    except BackendError as error:
        if name == "cuda":
            raise BackendError(f"flow backend cuda: {error}") from None
        return "cpu", f"no GPU: {error}"
    return "cuda", reason


def warm_up(params: TvL1Params | None = None, shape: tuple[int, int] = (170, 140)) -> None:
    """Compile (or load from the cache) every CPU kernel, so that the first event does not wait for it.

    Call it in the thread that will solve; ``shape`` is (height, width) of its images, px.
    """
    from realtime.vision.flow import cpu

    cpu.warm_up(*shape, params or TvL1Params.live())


def check_pair(first: NDArray[Any], second: NDArray[Any]) -> None:
    """InputError unless both images can be compared; the message names both shapes and dtypes."""
    named = f"first is {_describe(first)}, second is {_describe(second)}"
    for image in (first, second):
        if not isinstance(image, np.ndarray) or image.ndim != 2:
            raise InputError(f"flow needs two gray images (H, W): {named}")
    if first.shape != second.shape:
        raise InputError(f"flow needs two images of one shape: {named}")
    if min(first.shape) < 2:
        raise InputError(f"flow needs images of at least 2×2 px: {named}")
    for image in (first, second):
        if image.dtype not in (np.uint8, np.float32, np.float64):
            raise InputError(f"flow needs uint8, or float32/float64 with grey levels 0..255: {named}")
        if image.dtype != np.uint8 and not np.isfinite(image).all():
            raise InputError(f"flow needs finite grey levels (NaN or infinity found): {named}")


def check_flow(flow: NDArray[Any], shape: tuple[int, ...] | None) -> None:
    """InputError unless ``flow`` is (H, W, 2) finite float (of that (H, W), when given)."""
    named = f"flow is {_describe(flow)}"
    if not isinstance(flow, np.ndarray) or flow.ndim != 3 or flow.shape[2] != 2 or min(flow.shape[:2]) < 2:
        raise InputError(f"a flow must be (H, W, 2) with H, W ≥ 2: {named}")
    if shape is not None and flow.shape[:2] != shape:
        raise InputError(f"the initial flow must have the images' shape {shape}: {named}")
    if flow.dtype not in (np.float32, np.float64):
        raise InputError(f"a flow must be float32 or float64, px: {named}")
    if not np.isfinite(flow).all():
        raise InputError(f"a flow must be finite (NaN or infinity found): {named}")


def _describe(array: object) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.shape} {array.dtype}"
    return f"a {type(array).__name__}"
