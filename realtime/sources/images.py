"""A folder of images in natural order (``img2`` before ``img10``), 8 or 16 bit, gray or colour."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import natsort
import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError
from realtime.sources import ffmpeg
from realtime.types import SourceInfo, SourceRequest, Stamp

Gray = npt.NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
_AHEAD = 4
_THREADS = 2
_DEPTHS = (8, 10, 12, 14, 16)


class ImageFolderSource:
    """The images of one folder as frames; an unreadable one is a hole and a notice.

    16-bit images are scaled by the bits that a sample of them uses (10, 12, 14 or 16), the same for all.
    """

    def __init__(self, folder: str, request: SourceRequest) -> None:
        self.notices: list[tuple[str, str]] = []
        self._folder = folder
        self._names = image_names(folder)
        if not self._names:
            raise SourceError(f"{folder}: no images in it (looked for {' '.join(SUFFIXES)})")
        if request.fps is None:
            raise SourceError(f"{folder}: images state no frame rate; give --fps")
        sample = [self._load(name) for name in self._names[:: max(1, len(self._names) // 8)]]
        readable = [picture for picture in sample if picture is not None]
        if not readable:
            raise SourceError(f"{folder}: {self._names[0]} and the others tried cannot be read as images")
        height, width = readable[0].shape
        self._shift = _bits_used(readable) - 8
        self._next, self._asked = -1, 0
        self._ahead: deque[tuple[int, Future[npt.NDArray[Any] | None]]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="images")
        self._period_ns = 1e9 / request.fps
        depth = "" if self._shift == 0 else f", {self._shift + 8} of 16 bits used"
        kind = os.path.splitext(self._names[0])[1][1:].lower()
        self.info = SourceInfo(
            source=folder,
            kind="recording",
            width=width,
            height=height,
            fps=request.fps,
            fps_requested=request.fps,
            pixel_format=kind.upper(),
            live=False,
            frame_count=len(self._names),
            detail=f"{len(self._names)} {kind} images {width}x{height}{depth}, {request.fps:g} fps as given",
        )

    def advance(self) -> Stamp | None:
        """Go to the next image, without decoding it; None at the end."""
        self._next += 1
        if self._next >= len(self._names):
            return None
        return Stamp(self._next, round(self._next * self._period_ns))

    def picture(self, out: Gray) -> bool:
        """The image gone to, into ``out`` (height, width) uint8; False if it is unreadable.

        Raises SourceError naming the file if it is of another size than the first.
        """
        name, picture = self._names[self._next], self._decoded()
        if picture is None:
            self.notices.append(("image unreadable", f"{os.path.join(self._folder, name)}: left out"))
            return False
        if picture.shape != out.shape:
            raise self._wrong_size(name, picture.shape)
        if picture.dtype == np.uint8:
            np.copyto(out, picture)
        else:
            np.copyto(out, np.minimum(picture >> self._shift, 255), casting="unsafe")
        return True

    def read(self, out: Gray) -> Stamp | None:
        """Next readable image into ``out`` (height, width) uint8; None at the end."""
        while (stamp := self.advance()) is not None:
            if self.picture(out):
                return stamp
        return None

    def _decoded(self) -> npt.NDArray[Any] | None:
        """The current image; the next few are decoded meanwhile, those passed over are not."""
        while self._ahead and self._ahead[0][0] < self._next:
            self._ahead.popleft()[1].cancel()
        self._asked = max(self._asked, self._next)
        while len(self._ahead) < _AHEAD and self._asked < len(self._names):
            self._ahead.append((self._asked, self._pool.submit(self._load, self._names[self._asked])))
            self._asked += 1
        return self._ahead.popleft()[1].result()

    def _load(self, name: str) -> npt.NDArray[Any] | None:
        try:
            with ffmpeg.quiet():
                picture = cv2.imread(os.path.join(self._folder, name), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        except cv2.error:  # a size beyond OpenCV's limits, say
            return None
        return picture if picture is not None and picture.dtype in (np.uint8, np.uint16) else None

    def _wrong_size(self, name: str, shape: tuple[int, ...]) -> SourceError:
        size = f"{self.info.width}x{self.info.height}"
        path = os.path.join(self._folder, name)
        return SourceError(f"{path}: {shape[1]}x{shape[0]}, but the first image is {size}; make all alike")

    def close(self) -> None:
        """Stop reading ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def image_names(folder: str) -> list[str]:
    """The image files of a folder, in natural order."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from None
    chosen = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return natsort.natsorted(chosen)


def _bits_used(pictures: list[npt.NDArray[Any]]) -> int:
    if all(picture.dtype == np.uint8 for picture in pictures):
        return 8
    highest = max(int(picture.max()) for picture in pictures if picture.dtype == np.uint16)
    return next(depth for depth in _DEPTHS if highest < 1 << depth)
