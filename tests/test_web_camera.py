"""Pictures for the page: out of the ring, of the frame that was measured; nothing where nobody looks."""

from __future__ import annotations

import time

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.ipc import messages
from realtime.ipc.ring import RingReader, RingWriter
from realtime.web.camera import Camera


def put(ring: RingWriter, number: int) -> None:
    ring.reserve()[:] = number
    ring.commit(number, time.monotonic_ns(), time.monotonic_ns())


def outline(index: int, face: int = 0) -> messages.Outline:
    square = np.array([[10, 10], [20, 10], [20, 20], [10, 20]], np.float32)
    return messages.Outline(
        seq=0, frame=index, index=index, t_ns=time.monotonic_ns(), face=face,
        corners=np.concatenate([square, square]).tobytes(), counts=[4, 4],
        patches=np.array([[1, 2, 0.5, -0.5]], np.float32).tobytes(), rigid=1, threshold={"nose": 0.2, "chin": 0.0},
    )  # fmt: skip


def unpacked(picture: bytes) -> tuple[dict[str, object], NDArray[np.uint8]]:
    size = int.from_bytes(picture[:4], "big")
    pixels = cv2.imdecode(np.frombuffer(picture[4 + size :], np.uint8), cv2.IMREAD_GRAYSCALE)
    return msgspec.json.decode(picture[4 : 4 + size]), np.asarray(pixels, np.uint8)


def test_the_picture_is_of_the_frame_that_the_outline_is_of(ring: RingWriter) -> None:
    with RingReader.attach(ring.name) as reader:
        camera = Camera(reader)
        assert camera.picture(-1) is None, "no frame so far"
        for number in range(12):
            put(ring, number * 10)
        camera.note(outline(9))
        index, picture = camera.picture(-1) or (-1, b"")
        head, pixels = unpacked(picture)
        assert (index, head["frame"]) == (9, 90)
        assert pixels.shape == (48, 64)
        assert abs(int(pixels.mean()) - 90) <= 1
        (face,) = head["faces"]  # type: ignore[misc]
        assert face["regions"]["chin"] == [[10, 10], [20, 10], [20, 20], [10, 20]]
        assert (face["patches"], face["rigid"]) == ([[1, 2, 0.5, -0.5]], 1)
        assert camera.thresholds() == {0: {"nose": 0.2, "chin": 0.0}}


def test_one_picture_serves_all_and_none_is_shown_twice(ring: RingWriter) -> None:
    with RingReader.attach(ring.name) as reader:
        camera = Camera(reader)
        put(ring, 1)
        first = camera.picture(-1)
        assert first is not None
        put(ring, 2)
        assert camera.picture(-1) == first, "another page: the same picture, made once"
        assert camera.picture(first[0]) is None, "too soon for the next"
        assert camera.wait_s() > 0
        time.sleep(camera.wait_s())
        assert (camera.picture(first[0]) or (0,))[0] == 1


def test_a_frame_that_has_left_the_ring_is_not_shown(ring: RingWriter) -> None:
    with RingReader.attach(ring.name) as reader:
        camera = Camera(reader)
        put(ring, 0)
        old = outline(0)
        camera.note(msgspec.structs.replace(old, t_ns=old.t_ns - 10**9))
        for number in range(1, 100):
            put(ring, number)
        index, picture = camera.picture(-1) or (-1, b"")
        head, _ = unpacked(picture)
        assert (index, head["faces"]) == (99, []), "the face is lost: the newest frame, without an outline"


def test_a_large_picture_is_made_smaller() -> None:
    from realtime.supervisor import cleanup

    with RingWriter.create(f"{cleanup.session_prefix()}tests-large", 8, 1080, 1920) as ring:
        put(ring, 7)
        with RingReader.attach(ring.name) as reader:
            head, pixels = unpacked((Camera(reader).picture(-1) or (0, b""))[1])
            assert (head["width"], head["height"]) == (1920, 1080)
            assert pixels.shape == (405, 720)
