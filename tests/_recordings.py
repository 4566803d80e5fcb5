"""What recordings are tested with: files made on the spot, all frames of a source, a clock that obeys."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from realtime.sources import open_source, take_notices
from realtime.types import SourceInfo, SourceRequest, Stamp


def write_video(path: Path, frames: np.ndarray, codec: str = "", fps: float = 200.0) -> Path:
    height, width = frames.shape[1:]
    four = cv2.VideoWriter.fourcc(*codec) if codec else 0
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, four, fps, (width, height), False)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def write_variable_video(path: Path, frames: np.ndarray, times_ms: list[int]) -> Path:
    """MJPEG whose frames have time stamps of their own (OpenCV as a muxer, time base 1 ms)."""
    height, width = frames.shape[1:]
    options = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1, cv2.VIDEOWRITER_PROP_KEY_INTERVAL, 1]
    options += [cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    four = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, four, 1000.0, (width, height), options)
    assert writer.isOpened()
    for frame, t_ms in zip(frames, times_ms, strict=True):
        jpeg = simplejpeg.encode_jpeg(frame[..., None], quality=95, colorspace="GRAY")
        assert writer.set(cv2.VIDEOWRITER_PROP_PTS, t_ms)
        writer.write(np.frombuffer(jpeg, np.uint8).reshape(1, -1))
    writer.release()
    return path


def read_all(spec: Path | str, **request: object) -> tuple[SourceInfo, list[Stamp], np.ndarray, list[tuple[str, str]]]:
    source = open_source(str(spec), SourceRequest(**request))  # type: ignore[arg-type]
    out = np.empty((source.info.height, source.info.width), np.uint8)
    stamps, pictures = [], []
    while (stamp := source.read(out)) is not None:
        stamps.append(stamp)
        pictures.append(out.copy())
    source.close()
    return source.info, stamps, np.array(pictures), take_notices(source)


class FakeTime:
    """A clock that only moves when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
