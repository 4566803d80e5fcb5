"""The living face moves as it says: held against optical flow and MediaPipe's own head pose."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest
from _synthesis import recovered

from realtime.synthesis.fields import unit_field
from realtime.synthesis.living import LivingSettings, Swing, generate
from realtime.synthesis.living.settings import TRUTH_FACE_PX
from realtime.synthesis.portrait import ASSETS, FACE_OVAL
from realtime.vision.face.landmarks import keep_tensorflow_out

QUIET = LivingSettings(
    size=(400, 352),
    drift=0,
    blink_gap_s=None,
    noise_grey=0,
    flicker_depth=0,
    pulse_percent=0,
    fold_shading=0,
    first_s=0.2,
    seconds=3,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setVariationalRefinementIterations(20)
    return dis.calc(first, second, None)


def changed(settings: LivingSettings, **more: object) -> LivingSettings:
    return msgspec.structs.replace(settings, **more)


@pytest.mark.parametrize("au", ["AU12", "AU4", "AU9", "AU15", "U12", "AU1+2"])
def test_a_movement_is_as_large_as_stated(au: str) -> None:
    clip = generate(changed(QUIET, px=(2.0, 2.0), action_units=(au,)), 3)
    frames = [frame for frame, _ in clip]
    renderer = clip.renderer()
    move = clip.truth.moves[0]
    true = unit_field(renderer.placed, au, move.side).dense((400, 352)) * 2.0  # type: ignore[arg-type]
    true *= renderer.placed.face_width_px / TRUTH_FACE_PX
    share, still = recovered(frames[move.onset], flow_between(frames[move.onset], frames[move.apex]), true)
    assert 0.75 < share < 1.08
    assert still < 0.2
    assert np.abs(frames[move.onset].astype(int) - frames[move.offset]).max() <= 1  # times fall between frames


def test_what_is_left_at_the_offset_is_the_residual() -> None:
    settings = changed(QUIET, px=(2.5, 2.5), course="real", residual_max=0.5, action_units=("AU1+2",), seconds=6)
    clip = generate(settings, 5)
    frames = [frame for frame, _ in clip]
    move = clip.truth.moves[0]
    renderer = clip.renderer()
    true = unit_field(renderer.placed, "AU1+2", "both").dense((400, 352))
    large = np.hypot(true[..., 0], true[..., 1]) > 0.5

    def brow_px(number: int) -> float:
        return float((flow_between(frames[move.onset], frames[number]) * true).sum(-1)[large].mean())

    assert move.residual > 0.05
    assert brow_px(move.offset) / brow_px(move.apex) == pytest.approx(move.residual, abs=0.06)
    # it stops at the offset: the tenth of a second after it moves far less than the one before
    tenth = round(0.1 * settings.fps)
    before = brow_px(move.offset - tenth) - brow_px(move.offset)
    after = brow_px(move.offset) - brow_px(move.offset + tenth)
    assert before > 3 * abs(after)


def head_angles(frames: list[np.ndarray]) -> np.ndarray:
    """(n, 3) degrees: MediaPipe's own yaw, pitch, roll of each frame, in the generator's signs."""
    keep_tensorflow_out()
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(ASSETS / "face_landmarker.task")),
        output_facial_transformation_matrixes=True,
    )
    found = []
    with vision.FaceLandmarker.create_from_options(options) as task:
        for frame in frames:
            picture = Image(image_format=ImageFormat.SRGB, data=cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB))
            turn = np.array(task.detect(picture).facial_transformation_matrixes[0])[:3, :3]
            ahead, side = turn[:, 2], turn[:, 0]  # MediaPipe: right, up, towards the camera
            found.append((np.arctan2(ahead[0], ahead[2]), -np.arcsin(ahead[1]), -np.arctan2(side[1], side[0])))
    return np.degrees(np.array(found))


@pytest.mark.parametrize(("axis", "column", "amount"), [("yaw", 0, 10.0), ("pitch", 1, 8.0), ("roll", 2, 8.0)])
def test_the_head_turns_as_far_as_stated(axis: str, column: int, amount: float) -> None:
    settings = changed(QUIET, micros=False, seconds=2.0, fps=20.0, swings=(Swing(axis, amount, 2.0),))  # type: ignore[arg-type]
    clip = generate(settings, 2)
    renderer = clip.renderer()
    seen = head_angles([frame for frame, _ in clip])
    stated = np.degrees(renderer.pose[::4, column] + renderer.pose[3::4, column]) / 2  # four exposures a frame
    slope, _ = np.polyfit(stated, seen[:, column], 1)
    assert np.ptp(stated) > 1.8 * amount
    assert 0.7 < slope < 1.3
    assert np.corrcoef(stated, seen[:, column])[0, 1] > 0.98


def test_pixels_go_where_the_pose_says() -> None:
    """Dense flow between the outer poses agrees with the projection of the landmarks; the background rests."""
    settings = changed(QUIET, micros=False, relight=0.0, fps=100.0, seconds=2.0, swings=(Swing("yaw", 4.0, 2.0),))
    clip = generate(settings, 2)
    renderer = clip.renderer()
    frames = [frame for frame, _ in clip]
    low, high = int(renderer.pose[:, 0].argmin()), int(renderer.pose[:, 0].argmax())
    inner = [k for k in range(468) if k not in FACE_OVAL]
    points = renderer.placed.mesh[inner].astype(np.float64)
    start, end = renderer.forward(low, points), renderer.forward(high, points)
    flow = flow_between(frames[low], frames[high])
    seen = cv2.remap(flow, *start.astype(np.float32).T, cv2.INTER_LINEAR)[:, 0]
    error = np.hypot(*(seen - (end - start)).T)
    assert np.hypot(*(end - start).T).max() > 6
    assert np.median(error) < 0.4
    assert np.array_equal(frames[low][:, :40], frames[high][:, :40])


def test_a_turn_is_no_similarity() -> None:
    """A degree of yaw moves nose against temples by about a pixel: what no movement in the plane explains."""
    settings = changed(QUIET, micros=False, fps=100.0, seconds=2.0, swings=(Swing("yaw", 0.5, 2.0),))
    renderer = generate(settings, 2).renderer()
    low, high = int(renderer.pose[:, 0].argmin()), int(renderer.pose[:, 0].argmax())
    points = renderer.placed.mesh[[4, 33, 263, 127, 356, 10, 152]].astype(np.float64)
    moved = renderer.forward(high, points) - renderer.forward(low, points)
    assert 0.5 < abs(moved[0, 0] - moved[3:5, 0].mean()) < 2.0


def test_the_depth_is_not_the_mesh_itself() -> None:
    """Each seed has a head of its own, a fifth away from the mesh's depth."""
    heads = [
        generate(changed(QUIET, depth_error=share), seed).renderer() for share, seed in ((0, 1), (0.2, 1), (0.2, 2))
    ]
    inside = heads[0].still[1] == 1
    bare, first, second = (head.still[0][inside] for head in heads)
    for other in (first - bare, second - bare, first - second):
        assert 0.08 < other.std() / bare.std() < 0.45


def test_no_turn_hides_a_part_of_the_face() -> None:
    """Up to 20° the map from the frame to the picture at rest keeps its order everywhere."""
    settings = changed(QUIET, micros=False, fps=100.0, seconds=1.0, swings=(Swing("yaw", 20.0, 1.0),))
    renderer = generate(settings, 4).renderer()
    rows, columns = renderer.grid.shape
    for number, _ in enumerate(renderer.frames()):
        if number % 10:
            continue
        x, y = (plane.reshape(rows, columns) for plane in renderer._nodes[2:4])
        (xy, xx), (yy, yx) = np.gradient(x), np.gradient(y)
        assert (xx * yy - xy * yx).min() > 0
