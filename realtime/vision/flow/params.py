"""Parameters of TV-L1, and the presets in use."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from realtime.errors import InputError

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
    def detail(cls) -> TvL1Params:
        """For crops of which only fine detail is left (``FeatureSpec.detail_px``): flatter ones, so more smoothness."""
        return cls(warps=2, iterations=30, lambda_=0.08, presmooth_px=0.5)

    @classmethod
    def dense(cls) -> TvL1Params:
        """For ``DenseFlow``, which spreads the iterations over the frames."""
        return cls(warps=1, iterations=40, epsilon=0.005)

    def __post_init__(self) -> None:
        """InputError outside the bounds, for parameters made in Python too, not only for decoded ones."""
        for name, encoded, bounds in _bounds():
            try:
                msgspec.convert(getattr(self, name), bounds)
            except msgspec.ValidationError as error:
                raise InputError(f"TV-L1 parameter {encoded}: {str(error).lower()}") from error


@functools.cache
def _bounds() -> list[tuple[str, str, Any]]:
    """Name in Python, name in a file, and type with its bounds, of each parameter."""
    return [(field.name, field.encode_name, field.type) for field in msgspec.structs.fields(TvL1Params)]
