"""Feature map of one event: (onset crop, apex crop, landmarks) -> 28×28×3 [u, v, strain]. THE shared call.

LAENet §2.1.2-2.2.2 and STSTNet: TV-L1 flow from onset to apex, optical strain, eyes zeroed, area reduction,
then every channel of every image stretched to 0..255 as in the public maps (magnitude is lost: gate first). The flow
is of the crops' fine detail alone: what changes in the light is taken out first (``detail``), as no paper does.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from realtime.errors import InputError
from realtime.vision.features.pose_rule import Registration
from realtime.vision.flow import Backend, TvL1Params, check_pair, resolve_backend, strain, tvl1

EYES_68 = (tuple(range(36, 42)), tuple(range(42, 48)))
"""Eye polygons of the 68-point scheme, 0-based."""


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a feature map; a bundle carries its digest."""

    crop_height: Annotated[int, Meta(ge=32, le=2048)] = 170
    crop_width: Annotated[int, Meta(ge=32, le=2048)] = 140
    frame: Literal["eyes", "landmarks"] = "eyes"
    """``eyes``: the public maps' own; ``landmarks``: the paper's bounding box."""
    eyes_width: Annotated[float, Meta(gt=1, le=8)] = 1.8
    """Width of the crop in distances of the eyes' centres (frame ``eyes``), the midpoint in the middle."""
    eyes_height: Annotated[float, Meta(gt=1, le=8)] = 2.2
    eyes_down: Annotated[float, Meta(gt=0, le=4)] = 0.6
    """From the crop's upper edge to the eyes' midpoint."""
    margin_top_px: float = 25.0
    """Growth of the landmarks' bounding box (frame ``landmarks``), px at the resolution of the crop."""
    margin_bottom_px: float = 0.0
    margin_left_px: float = 5.0
    margin_right_px: float = 5.0
    average_s: Annotated[float, Meta(ge=0, le=0.1)] = 0.03
    """Onset and apex crop are each the mean of the frames so near, aligned: the noise of 13 frames at 200 fps."""
    registration: Registration = "between"
    """What of the head's motion between onset and apex is taken out: see ``pose_rule``."""
    least_turn_deg: Annotated[float, Meta(ge=0, le=10)] = 0.25
    """Smaller turns stay in (registration ``translation``): they may be the expression's."""
    least_growth: Annotated[float, Meta(ge=0, le=1)] = 0.006
    turn: bool = True
    """Take out what the head's turn does by the depth of the face, too."""
    detail_px: Annotated[float, Meta(ge=0, le=64)] = 4.0
    """Standard deviation, crop px, of the Gaussian that is taken out of both crops first; 0: none. A fold that darkens
    and light that shifts as the head turns are no motion, but TV-L1 takes them for it (Wedel et al. 2009)."""
    flow: TvL1Params = msgspec.field(default_factory=TvL1Params.detail)
    strain_px: Annotated[float, Meta(ge=0, le=64)] = 2.0
    """Standard deviation, crop px, of the Gaussian put on the flow before its strain is taken; 0: none. TV-L1's flow is
    piecewise flat, so its derivatives are of its steps."""
    eye_mask: bool = False
    """Zero the eyes, as the paper does; the public maps have them."""
    eye_margin_px: Annotated[int, Meta(ge=0, le=32)] = 2
    """Growth of the eye polygons, px."""
    map_size: Annotated[int, Meta(ge=4, le=256)] = 28
    channels: tuple[Literal["u"], Literal["v"], Literal["strain"]] = ("u", "v", "strain")
    scaling: Literal["minmax255"] = "minmax255"

    def neighbours(self, fps: float) -> int:
        """How many frames before and after onset and apex are averaged with them."""
        return round(self.average_s * fps)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of this spec."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def feature_map(
    onset: NDArray[Any],
    apex: NDArray[Any],
    landmarks: NDArray[Any],
    spec: FeatureSpec | None = None,
    backend: Backend = "cpu",
) -> NDArray[np.float32]:
    """Feature map of the movement from ``onset`` to ``apex``.

    onset, apex: (crop_height, crop_width) uint8 aligned crops; landmarks: (68, 2) float, px in the crop.
    Returns (map_size, map_size, 3) float32, 0..255, [u, v, strain].
    """
    spec = spec or FeatureSpec()
    if resolve_backend(backend)[0] == "cuda":
        only: NDArray[np.float32] = feature_maps(onset[None], apex[None], np.asarray(landmarks)[None], spec, "cuda")[0]
        return only
    return map_from_flow(flow_crops(onset, apex, spec), landmarks, spec)


def feature_maps(
    onsets: NDArray[Any],
    apexes: NDArray[Any],
    landmarks: NDArray[Any],
    spec: FeatureSpec | None = None,
    backend: Backend = "cpu",
) -> NDArray[np.float32]:
    """Feature maps of n movements: (n, H, W) crops twice, (n, 68, 2) landmarks -> (n, map_size, map_size, 3).

    On the GPU one launch does all flows, and the maps too where no flow is smoothed for its strain.
    """
    spec = spec or FeatureSpec()
    onsets, apexes = np.asarray(onsets), np.asarray(apexes)
    if not len(onsets) == len(apexes) == len(landmarks) or not len(onsets):
        raise InputError(f"as many onsets, apexes, landmarks: {len(onsets)}, {len(apexes)}, {len(landmarks)}")
    if resolve_backend(backend)[0] == "cpu":
        return np.stack([feature_map(*each, spec) for each in zip(onsets, apexes, landmarks, strict=True)])
    from realtime.vision.flow import cuda

    for onset, apex in zip(onsets, apexes, strict=True):
        check_crops(onset, apex, spec)
    onsets, apexes = (np.stack([detail(one, spec) for one in crops]) for crops in (onsets, apexes))
    if spec.strain_px:
        flows, _ = cuda.solver().solve(onsets, apexes, spec.flow)
        assert flows is not None
        return np.stack([map_from_flow(*each, spec) for each in zip(flows, landmarks, strict=True)])
    masks = np.stack([eye_mask(points, spec) for points in landmarks]) if spec.eye_mask else None
    areas = area_weights(spec.crop_height, spec.map_size), area_weights(spec.crop_width, spec.map_size)
    _, maps = cuda.solver().solve(onsets, apexes, spec.flow, None, masks, areas, want_flow=False)
    assert maps is not None
    return maps


def flow_crops(
    onset: NDArray[Any], apex: NDArray[Any], spec: FeatureSpec | None = None, backend: Backend = "cpu"
) -> NDArray[np.float32]:
    """TV-L1 flow of two crops with the spec's parameters: (crop_height, crop_width, 2) float32, px."""
    spec = spec or FeatureSpec()
    check_crops(onset, apex, spec)
    return tvl1(detail(onset, spec), detail(apex, spec), spec.flow, backend)


def detail(crop: NDArray[Any], spec: FeatureSpec) -> NDArray[Any]:
    """The crop without what is coarser than ``detail_px``, (H, W) uint8 around 128, twice as strong."""
    if not spec.detail_px:
        return crop
    grey = np.asarray(crop, np.float32)
    coarse = cv2.GaussianBlur(grey, (0, 0), spec.detail_px)
    fine: NDArray[np.uint8] = np.clip(np.rint(2.0 * (grey - coarse) + 128.0), 0, 255).astype(np.uint8)
    return fine


def check_crops(onset: NDArray[Any], apex: NDArray[Any], spec: FeatureSpec) -> None:
    """InputError unless both crops have the spec's size and can be compared."""
    expected = (spec.crop_height, spec.crop_width)
    for name, crop in (("onset", onset), ("apex", apex)):
        if np.shape(crop) != expected:
            raise InputError(f"the {name} crop must be {expected} by the feature spec: it is {np.shape(crop)}")
    check_pair(onset, apex)


def map_from_flow(
    flow: NDArray[Any],
    landmarks: NDArray[Any],
    spec: FeatureSpec | None = None,
    backend: Backend = "cpu",
) -> NDArray[np.float32]:
    """Strain, eye mask, area reduction, stretch of a crop's flow (H, W, 2) px -> (map_size, map_size, 3)."""
    spec, points = spec or FeatureSpec(), _checked(landmarks)
    stack = np.empty((*flow.shape[:2], 3), np.float32)
    eyes = eye_mask(points, spec) if spec.eye_mask else None
    stack[..., 2] = strain_of(flow, spec, backend, eyes)
    stack[..., :2] = flow
    if eyes is not None:
        stack[eyes] = 0.0
    return stretch(reduce_map(stack, spec))


def strain_of(
    flow: NDArray[Any], spec: FeatureSpec, backend: Backend = "cpu", eyes: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Optical strain (H, W) of a crop's flow (H, W, 2) px, smoothed as the spec says, without what the eyes do."""
    if not spec.strain_px:
        return strain(flow, backend)
    if eyes is None:
        return strain(cv2.GaussianBlur(flow, (0, 0), spec.strain_px), backend)
    kept = (~eyes).astype(np.float32)
    share = np.maximum(cv2.GaussianBlur(kept, (0, 0), spec.strain_px), 1e-3)
    smooth = cv2.GaussianBlur(flow * kept[..., None], (0, 0), spec.strain_px) / share[..., None]
    return strain(smooth.astype(np.float32), backend)


def eye_mask(landmarks: NDArray[Any], spec: FeatureSpec | None = None) -> NDArray[np.bool_]:
    """(crop_height, crop_width) bool, True on the eyes: the two polygons grown by ``eye_margin_px``."""
    spec = spec or FeatureSpec()
    points = _checked(landmarks)
    mask = np.zeros((spec.crop_height, spec.crop_width), np.uint8)
    for eye in EYES_68:
        corners = np.rint(points[list(eye)]).clip(-4096, 4096).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1)
    if spec.eye_margin_px:
        side = 2 * spec.eye_margin_px + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))).astype(bool)
    return mask.astype(bool)


def _checked(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError(f"landmarks must be (68, 2) finite px in the crop: they are {points.shape}")
    return points


def reduce_map(stack: NDArray[Any], spec: FeatureSpec | None = None) -> NDArray[np.float32]:
    """Mean over the areas of a map_size × map_size grid: (H, W, C) -> (map_size, map_size, C) float32."""
    from realtime.vision.flow.kernels import reduce_area

    spec = spec or FeatureSpec()
    rows = area_weights(stack.shape[0], spec.map_size)
    columns = area_weights(stack.shape[1], spec.map_size)
    cells = np.empty((spec.map_size, spec.map_size, stack.shape[2]), np.float32)
    reduce_area(np.ascontiguousarray(stack, np.float32), rows, columns, cells)
    return cells


@functools.lru_cache(maxsize=8)
def area_weights(size_in: int, size_out: int) -> NDArray[np.float32]:
    """(size_out, size_in) float32: share of each input pixel in each output cell; rows sum to 1."""
    edges = np.arange(size_out + 1) * (size_in / size_out)
    low = np.maximum(edges[:-1, None], np.arange(size_in)[None])
    high = np.minimum(edges[1:, None], np.arange(1, size_in + 1)[None])
    weights: NDArray[np.float32] = (np.maximum(high - low, 0.0) * (size_out / size_in)).astype(np.float32)
    weights.flags.writeable = False
    return weights


def stretch(cells: NDArray[Any]) -> NDArray[np.float32]:
    """Each channel of (n, n, 3) to 0..255 by its own range; without range 127.5 for u and v, 0 for strain."""
    low = cells.min(axis=(0, 1))
    span = cells.max(axis=(0, 1)) - low
    still = np.array([127.5, 127.5, 0.0], np.float32)
    scale = np.where(span > 0, 255.0 / np.where(span > 0, span, 1.0), 0.0)
    return np.where(span > 0, np.minimum((cells - low) * scale, 255.0), still).astype(np.float32)
