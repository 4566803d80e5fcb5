"""Dense optical flow (TV-L1) and optical strain: parameters, checks, dispatch to the backends.

TV-L1 as in Zach, Pock, Bischof 2007 ("A duality based approach for realtime TV-L1 optical flow") in the
discretisation of Sánchez Pérez, Meinhardt-Llopis, Facciolo 2013 (IPOL, doi 10.5201/ipol.2013.26).
Twins: ``_flow_cpu.py`` (numba), ``_flow_cuda.py`` + ``flow.cu`` (pycuda); oracle: ``_flow_reference.py`` (NumPy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from realtime.errors import BackendError, InputError

if TYPE_CHECKING:
    from realtime.vision import _flow_cpu

Backend = Literal["auto", "cpu", "cuda"]

_Positive = Annotated[float, Meta(gt=0)]


class TvL1Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of TV-L1, the same for every backend. Grey levels are 0..255."""

    tau: _Positive = 0.25
    """Time step τ of the dual update."""
    lambda_: _Positive = msgspec.field(default=0.15, name="lambda")
    """Weight λ of the data term; smaller is smoother."""
    theta: _Positive = 0.3
    """Tightness θ of the coupling of u and v."""
    scales: Annotated[int, Meta(ge=1, le=32)] = 5
    """Most pyramid levels; fewer where a level would be shorter than 16 px."""
    scale_step: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Size of a level over that of the next finer one."""
    warps: Annotated[int, Meta(ge=1)] = 5
    """Linearisations of the data term per level."""
    iterations: Annotated[int, Meta(ge=1)] = 300
    """Most primal-dual iterations per warp."""
    epsilon: Annotated[float, Meta(ge=0)] = 0.01
    """Iterations of a warp stop when the root mean square change of the flow is at most this, px."""
    median: Literal[0, 5] = 0
    """Side of the median filter on the flow, px; 0 for none."""
    median_every: Annotated[int, Meta(ge=1)] = 30
    """The median filter runs before every so many iterations of a warp (OpenCV's inner iterations)."""
    presmooth_px: Annotated[float, Meta(ge=0, le=8)] = 0.8
    """Standard deviation of the Gaussian put on both images first, px; 0 for none."""
    normalise: bool = True
    """Stretch both images together to 0..255 first."""
    antialias: bool = True
    """Pyramid by a Gaussian of 0.6·√(step⁻² − 1) px and cubic sampling; else bilinear sampling alone."""

    @classmethod
    def ipol(cls) -> TvL1Params:
        """Values of the IPOL reference (Sánchez Pérez et al. 2013): zoom 0.5, no median."""
        return cls()

    @classmethod
    def opencv(cls) -> TvL1Params:
        """Values of OpenCV's DualTVL1OpticalFlow: step 0.8, 10×30 iterations, 5×5 median between."""
        return cls(scale_step=0.8, median=5, presmooth_px=0.0, normalise=False, antialias=False)

    @classmethod
    def live(cls) -> TvL1Params:
        """The fastest that stays within 0.05 px of ``ipol``'s error on the test fields (``bench/flow.py``)."""
        return cls(warps=2, iterations=30)

    @classmethod
    def dense(cls) -> TvL1Params:
        """For ``DenseFlow``, which spreads the iterations over the frames."""
        return cls(warps=1, iterations=40, epsilon=0.005)

    def __post_init__(self) -> None:
        """InputError outside the bounds, for parameters made in Python too, not only for decoded ones."""
        checks = {
            "tau, lambda, theta > 0": min(self.tau, self.lambda_, self.theta) > 0,
            "0 < scale_step < 1": 0 < self.scale_step < 1,
            "scales, warps, iterations, median_every ≥ 1": min(
                self.scales, self.warps, self.iterations, self.median_every
            )
            >= 1,
            "epsilon ≥ 0": self.epsilon >= 0,
            "median 0 or 5": self.median in (0, 5),
            "0 ≤ presmooth_px ≤ 8": 0 <= self.presmooth_px <= 8,
        }
        for rule, holds in checks.items():
            if not holds:
                raise InputError(f"TV-L1 parameters need {rule}")


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
        from realtime.vision import _flow_cuda

        return _flow_cuda.tvl1(first, second, params, init)
    from realtime.vision import _flow_cpu

    return _flow_cpu.tvl1(first, second, params, init)


def strain(flow: NDArray[Any], backend: Backend = "cpu") -> NDArray[np.float32]:
    """Magnitude of optical strain, √(u_x² + v_y² + ½(u_y + v_x)²), central differences (one-sided at the rim).

    flow: (H, W, 2) float, px. Returns (H, W) float32, px per px. Liong et al. 2014; LAENet eq. 4-6.
    """
    check_flow(flow, None)
    if resolve_backend(backend)[0] == "cuda":
        from realtime.vision import _flow_cuda

        return _flow_cuda.strain(flow)
    from realtime.vision import _flow_cpu

    return _flow_cpu.strain(flow)


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
        self._cpu: _flow_cpu.Dense | None = None
        if resolve_backend(backend)[0] == "cpu":
            from realtime.vision._flow_cpu import Dense

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
    from realtime.vision import _flow_cuda

    try:
        reason = _flow_cuda.probe()
    except BackendError as error:
        if name == "cuda":
            raise BackendError(f"flow backend cuda: {error}") from None
        return "cpu", f"no GPU: {error}"
    return "cuda", reason


def warm_up(params: TvL1Params | None = None, shape: tuple[int, int] = (170, 140)) -> None:
    """Compile (or load from the cache) every CPU kernel, so that the first event does not wait for it.

    Call it in the thread that will solve; ``shape`` is (height, width) of its images, px.
    """
    from realtime.vision import _flow_cpu

    _flow_cpu.warm_up(*shape, params or TvL1Params.live())


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
