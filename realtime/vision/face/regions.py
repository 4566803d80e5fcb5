"""Landmarks -> where to look: the face image's frame, the patches that are followed, LBP blocks, eye mask.

The face image is canonical: upright, the face 152 px wide from cheek to cheek, so that every length below is in
the same px whatever the camera. Left and right are the subject's own.
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.errors import InputError
from realtime.vision.face.head import ellipsoid_heights
from realtime.vision.face.tracking import PATCH_RADIUS_PX

FACE_WIDTH_PX = 152.0
IMAGE_WIDTH = 184
IMAGE_HEIGHT = 224

ROI_NAMES = ("left_eye_brow", "right_eye_brow", "nose", "left_mouth", "right_mouth", "chin")
"""Liong et al. 2015 use the two eye-and-brow regions and the mouth; halves tell one-sided movements, and the
nose and chin see AU 9, 10, 17 and 26."""

RIGHT_CHEEK, LEFT_CHEEK = 234, 454  # mesh: the face's widest points
RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)  # outer and inner corner

# Skin over bone: bridge and tip of the nose, temples, cheekbones, forehead.
# fmt: off
RIGID = (
    168, 6, 197, 195, 5, 122, 351, 196, 419, 3, 248, 193, 417, 4, 1, 45, 275,
    139, 368, 35, 265, 111, 340, 117, 346, 143, 372, 116, 345,
    151, 108, 337, 69, 299, 104, 333, 10, 109, 338,
)
# Pairs are the upper and lower edge of a brow.
ROI_POINTS: dict[str, tuple[int | tuple[int, int], ...]] = {
    "left_eye_brow": ((300, 276), (293, 283), (334, 282), (296, 295), (336, 285)),
    "right_eye_brow": ((70, 46), (63, 53), (105, 52), (66, 65), (107, 55)),
    "nose": (49, 279, 129, 358, 64, 294, 98, 327, 203, 423, 2),
    "left_mouth": (291, 287, 270, 267, 321, 314, 410, 436, 273, 422, 426),
    "right_mouth": (61, 57, 40, 37, 91, 84, 186, 216, 43, 202, 206),
    "chin": (18, 83, 313, 200, 199, 201, 421),
}
# Outline of each LBP region.
ROI_OUTLINE: dict[str, tuple[int, ...]] = {
    "left_eye_brow": (336, 296, 334, 293, 300, 353, 265, 340, 450, 453, 417, 285),
    "right_eye_brow": (107, 66, 105, 63, 70, 124, 35, 111, 230, 233, 193, 55),
    "nose": (197, 358, 327, 2, 98, 129, 203, 423),
    "left_mouth": (0, 267, 391, 426, 436, 432, 422, 335, 314, 17, 13),
    "right_mouth": (0, 37, 165, 206, 216, 212, 202, 106, 84, 17, 13),
    "chin": (17, 182, 194, 32, 208, 199, 428, 262, 418, 406),
}
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
# fmt: on
LOWER_BROWS = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
BROW_FOOT_PX = 0.0
"""What lies further below a brow's lower edge is lid."""
BLOCK_PX = 18
"""Side of an LBP block."""
LID_MARGIN_PX = 5
"""A blink moves the skin around the eye: this much around it, and the lid up to the brow, is in no region."""


class Layout(msgspec.Struct, frozen=True):
    """Where everything is in the face image of one anchor."""

    from_frame: NDArray[np.float64]
    """(2, 3): frame px -> face image px."""
    mesh: NDArray[np.float32]
    """(478, 2) px in the face image."""
    centres: NDArray[np.int64]
    """(n, 2) px, patches: the rigid ones first, then ROI by ROI."""
    heights: NDArray[np.float64]
    """(n,) px towards the camera, of each patch."""
    mesh_heights: NDArray[np.float64]
    """(478,) px towards the camera, of the mesh's points."""
    rigid: int
    """How many of the patches are rigid."""
    roi_of: NDArray[np.int64]
    """(n − rigid,) index into ROI_NAMES of each other patch."""
    blocks: NDArray[np.int16]
    """(H, W) LBP block of each pixel, −1 where there is none."""
    block_roi: NDArray[np.int64]
    """(blocks,) index into ROI_NAMES."""
    spans: NDArray[np.int64]
    """(H, 2) columns of each row between which its blocks lie."""
    eyes: NDArray[np.int64]
    """(2, 4) x0, y0, x1, y1 of the eye openings, px: right, left."""


def width_px(mesh: NDArray[np.float32]) -> float:
    """Cheek to cheek, px of whatever the (478, 2) mesh is in."""
    return float(np.hypot(*(mesh[LEFT_CHEEK] - mesh[RIGHT_CHEEK])))


def upright(mesh: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) similarity: frame px -> face image px, eyes level, FACE_WIDTH_PX across, centred.

    Raises InputError for a mesh without extent: kernels without bounds checks rely on what is placed by it.
    """
    points = mesh.astype(np.float64)
    right, left = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    between = float(np.linalg.norm(left - right))
    if not (np.isfinite(points).all() and between > 0):
        raise InputError("a face mesh must be finite px with its eyes apart: pass FaceMesh.detect()'s result")
    along = (left - right) / between
    width = abs(float((points[LEFT_CHEEK] - points[RIGHT_CHEEK]) @ along))
    scale = FACE_WIDTH_PX / max(width, 1.0)
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]])
    turned = points @ turn.T
    centre = (turned.min(0) + turned.max(0)) / 2
    shift = np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) / 2 - centre
    return np.column_stack([turn, shift])


def lay_out(mesh: NDArray[np.float32], depth: NDArray[np.float32] | None = None) -> Layout:
    """Place patches, blocks and eyes for a face whose (478, 2) mesh, px, was found in a frame.

    depth: (478,) px of the frame, larger is further away; without it the head is an ellipsoid with a nose.
    """
    from_frame = upright(mesh)
    points = mesh @ from_frame[:, :2].T + from_frame[:, 2]
    centres = [points[i] for i in RIGID]
    corners: list[tuple[int, ...]] = [(i,) for i in RIGID]
    roi_of: list[int] = []
    for k, name in enumerate(ROI_NAMES):
        for item in ROI_POINTS[name]:
            centres.append(points[item] if isinstance(item, int) else _off_the_lid(points[item[0]], points[item[1]]))
            corners.append((item,) if isinstance(item, int) else item)
            roi_of.append(k)
    if depth is None:
        heights, mesh_heights = (
            ellipsoid_heights(np.array(places, np.float64) - [IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2])
            for places in (centres, points)
        )
    else:
        scale = float(np.hypot(*from_frame[0, :2]))
        heights = np.array([-scale * float(depth[list(own)].mean()) for own in corners])
        mesh_heights = -scale * depth.astype(np.float64)
    middle = heights[: len(RIGID)].mean()
    heights -= middle
    margin = PATCH_RADIUS_PX + 2
    limit = np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) - 1 - margin
    blocks, block_roi = _blocks(points)
    return Layout(
        from_frame=from_frame,
        mesh=points.astype(np.float32),
        centres=np.clip(np.rint(centres), margin, limit).astype(np.int64),
        heights=heights,
        mesh_heights=mesh_heights - middle,
        rigid=len(RIGID),
        roi_of=np.array(roi_of, np.int64),
        blocks=blocks,
        block_roi=block_roi,
        spans=spans_of(blocks),
        eyes=np.array([_box(points[list(eye)]) for eye in EYES], np.int64),
    )


def _off_the_lid(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of a brow patch, from the brow's two edges: its foot is on the brow, off the lid that blinks."""
    middle = (upper + lower) / 2
    return np.array([middle[0], min(middle[1], lower[1] + BROW_FOOT_PX - PATCH_RADIUS_PX)])


def region_masks(mesh: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    """(ROIs, height, width) bool: the pixels of each region where the face's (478, 2) mesh, px, lies.

    Eyes and lids are left out, and so is what a region before it in ROI_NAMES has. The image should show the face
    about as large as the face image does.
    """
    points = mesh.astype(np.float64)
    free = _lids(points, height, width) == 0
    masks = np.zeros((len(ROI_NAMES), height, width), bool)
    for mask, name in zip(masks, ROI_NAMES, strict=True):
        mask[:] = (_region(points, name, height, width)[0] == 1) & free
        free &= ~mask
    return masks


def _region(
    points: NDArray[np.float64], name: str, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(height, width), 1 within the region's outline; (n, 2) px its corners."""
    region = np.zeros((height, width), np.uint8)
    hull = cv2.convexHull(np.rint(points[list(ROI_OUTLINE[name])]).astype(np.int32))
    cv2.fillPoly(region, [hull], 1)
    return region, hull[:, 0].astype(np.float64)


def _lids(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width), 1 on eyes and lids."""
    hidden = np.zeros((height, width), np.uint8)
    side = 2 * LID_MARGIN_PX + 1
    for eye, brow in zip(EYES, LOWER_BROWS, strict=True):
        opening = np.zeros_like(hidden)
        cv2.fillPoly(opening, [np.rint(points[list(eye)]).astype(np.int32)], 1)
        grown = cv2.dilate(opening, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        hidden[grown > 0] = 1
        lid = np.concatenate([points[list(eye)], points[list(brow)] + [0.0, BROW_FOOT_PX]])
        cv2.fillPoly(hidden, [cv2.convexHull(np.rint(lid).astype(np.int32))], 1)
    return hidden


def _blocks(points: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Cut each region into blocks of about BLOCK_PX; eyes and lids are left out."""
    hidden = _lids(points, IMAGE_HEIGHT, IMAGE_WIDTH)
    hidden[:3], hidden[-3:], hidden[:, :3], hidden[:, -3:] = 1, 1, 1, 1  # LBP looks 2 px around
    blocks = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), -1, np.int16)
    block_roi: list[int] = []
    for k, name in enumerate(ROI_NAMES):
        region, corners = _region(points, name, IMAGE_HEIGHT, IMAGE_WIDTH)
        x0, y0, x1, y1 = _box(corners)
        columns, rows = max(1, round((x1 - x0) / BLOCK_PX)), max(1, round((y1 - y0) / BLOCK_PX))
        y, x = np.nonzero((region == 1) & (hidden == 0) & (blocks < 0))
        cell = (np.minimum((y - y0) * rows // max(y1 - y0, 1), rows - 1) * columns) + np.minimum(
            (x - x0) * columns // max(x1 - x0, 1), columns - 1
        )
        for c in range(rows * columns):
            own = cell == c
            if own.sum() >= BLOCK_PX * BLOCK_PX // 3:
                blocks[y[own], x[own]] = len(block_roi)
                block_roi.append(k)
    return blocks, np.array(block_roi, np.int64)


def _box(points: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around points, inside the face image."""
    low = np.floor(points.min(0)).astype(int)
    high = np.ceil(points.max(0)).astype(int) + 1
    return (
        int(np.clip(low[0], 0, IMAGE_WIDTH - 2)),
        int(np.clip(low[1], 0, IMAGE_HEIGHT - 2)),
        int(np.clip(high[0], 2, IMAGE_WIDTH)),
        int(np.clip(high[1], 2, IMAGE_HEIGHT)),
    )


def spans_of(blocks: NDArray[np.int16]) -> NDArray[np.int64]:
    """(H, 2) first and last + 1 column of each row that belong to a block; equal where none does."""
    inside = blocks >= 0
    width = blocks.shape[1]
    first = np.where(inside.any(1), inside.argmax(1), 2)
    last = np.where(inside.any(1), width - inside[:, ::-1].argmax(1), 2)
    return np.column_stack([first, last]).astype(np.int64)
