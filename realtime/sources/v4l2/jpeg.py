"""Motion JPEG → gray: the luma alone, and in several threads where one falls behind.

A picture costs what its compressed bytes cost: most of the time goes to the Huffman code, which has to be read from the
beginning. So half the size saves 7 % of it, and the face's part alone (by libjpeg's own cropping, which no Python
package offers) 35 %; a second thread halves it (``bench/_jpeg_costs.py``, 1280×720, quality 90). And so the ring has
whole pictures: for the recording, the page, and a face that moves or is not found yet.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import simplejpeg
from msgspec import Struct

Gray = npt.NDArray[np.uint8]

_MOST_THREADS = 4


def decode_jpeg(data: npt.NDArray[np.uint8], out: Gray) -> bool:
    """Decode the luma of one JPEG into ``out`` (height, width) uint8; False if broken or of another size."""
    try:
        if simplejpeg.decode_jpeg_header(data)[:2] != out.shape:
            return False
        try:
            simplejpeg.decode_jpeg(data, colorspace="GRAY", buffer=out)
        except ValueError as error:
            if "extraneous" not in str(error):  # padding that many cameras leave, and decoders pass over
                return False
            simplejpeg.decode_jpeg(data, colorspace="GRAY", buffer=out, strict=False)
    except ValueError:
        return False
    return True


class Ahead(Struct, frozen=True, eq=False):
    """A picture that is being decoded before it is asked for."""

    picture: Gray
    """(height, width) uint8"""
    done: Future[bool]


class Helpers:
    """Threads that decode pictures which wait behind the one that is read. ``close`` them."""

    def __init__(self, height: int, width: int) -> None:
        """As many as there are CPUs for this process, 4 at most; none where there is one."""
        cpus = len(os.sched_getaffinity(0))
        self._threads = min(cpus, _MOST_THREADS) if cpus > 1 else 0
        self._shape = height, width
        self._pool: ThreadPoolExecutor | None = None
        self._free: list[Gray] = []
        self._left = self._threads + 1
        """How many pictures may be decoded ahead, beside those that are: one waits while each thread has its own."""

    @property
    def have_room(self) -> bool:
        """Whether ``start`` may be called."""
        return self._threads > 0 and self._left > 0

    def start(self, data: npt.NDArray[np.uint8]) -> Ahead:
        """Begin to decode; ``data`` must stay as it is until ``finish``."""
        if self._pool is None:  # only who falls behind has them
            self._pool = ThreadPoolExecutor(self._threads, "jpeg")
        self._left -= 1
        picture = self._free.pop() if self._free else np.empty(self._shape, np.uint8)
        return Ahead(picture, self._pool.submit(decode_jpeg, data, picture))

    def finish(self, ahead: Ahead, out: Gray) -> bool:
        """Wait for the picture and copy it into ``out`` (height, width) uint8; False if it was broken."""
        good = ahead.done.result()
        if good:
            np.copyto(out, ahead.picture)
        self._free.append(ahead.picture)
        self._left += 1
        return good

    def close(self) -> None:
        """Stop the threads; what was begun is finished first."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
