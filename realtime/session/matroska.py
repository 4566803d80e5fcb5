"""A Matroska file of our own making, for one reason: each write is checked, and a file that ends anywhere is readable.

OpenCV's writer says nothing when a disk is full or fails. Here a frame is one cluster of known size with one block,
written at once at a known place; what a failed write left behind it is cut off or written over, so a file always ends
at a frame. An index and the duration come when the file is closed; players do without them.
"""

from __future__ import annotations

import array
import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Buffer = bytes | memoryview

_EBML = bytes.fromhex("1A45DFA3A34286810142F7810142F2810442F381084282886D6174726F736B614287810442858102")
_SEGMENT = bytes.fromhex("18538067")
_UNKNOWN = bytes.fromhex("01FFFFFFFFFFFFFF")
_CLUSTER = bytes.fromhex("1F43B675")
_CUES, _TRACKS, _INFO, _SEEK_HEAD = (bytes.fromhex(text) for text in ("1C53BB6B", "1654AE6B", "1549A966", "114D9B74"))
_SCALE_NS = 1000  # unit of all times in the file
_BLOCK = struct.Struct(">4sQ2sQcQ4s")  # cluster, its size, time, block, its size, track 1 and flags
_LONG = 1 << 56  # marks a size of eight bytes
_CUE_EVERY_S = 1.0
_SEEK_BYTES, _DURATION_BYTES = 29, 11


def element(name: bytes, content: bytes) -> bytes:
    """An EBML element: its id, the size in eight bytes, its content."""
    return name + struct.pack(">Q", _LONG | len(content)) + content


def _void(size: int) -> bytes:
    """``size`` bytes that a reader passes over, 2 to 128."""
    return bytes((0xEC, 0x80 | size - 2)) + bytes(size - 2)


def number(name: str, value: int) -> bytes:
    """An unsigned whole number; ``name`` in hexadecimal."""
    return bytes.fromhex(name) + b"\x88" + struct.pack(">Q", value)


def track(codec: str, fps: float, width: int, height: int, *video: bytes) -> bytes:
    """``Tracks`` with one video track. codec: Matroska's name; video: further elements of its picture."""
    picture = number("B0", width) + number("BA", height) + b"".join(video)
    return element(
        _TRACKS,
        element(
            b"\xae",
            number("D7", 1)
            + number("73C5", 1)
            + number("83", 1)
            + number("9C", 0)
            + number("23E383", round(1e9 / fps))
            + element(b"\x86", codec.encode())
            + element(b"\xe0", picture),
        ),
    )


class MatroskaFile:
    """One video file: new, or one that a recorder which died has left, gone on with behind its last whole frame."""

    def __init__(self, path: str, tracks: bytes, fps: float) -> None:
        """``tracks``: the whole element, as of ``track``; not looked at where the file goes on. Raises OSError."""
        self._fps = fps
        self._ends = array.array("q")  # where each frame ends, behind where the first begins
        self._cues: list[tuple[int, int]] = []
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            begin = _clusters_at(self._fd)
            self._ends.append(begin or self._begin(tracks))
            for at, size in _walk(self._fd, self._ends[0]):
                self._note_cue(at)
                self._ends.append(at + size)
            os.ftruncate(self._fd, self._ends[-1])
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def count(self) -> int:
        """Frames in the file."""
        return len(self._ends) - 1

    def _begin(self, tracks: bytes) -> int:
        info = number("2AD7B1", _SCALE_NS) + element(b"\x4d\x80", b"merealtime") + element(b"\x57\x41", b"merealtime")
        head = _EBML + _SEGMENT + _UNKNOWN + _void(_SEEK_BYTES) + element(_INFO, _void(_DURATION_BYTES) + info) + tracks
        os.ftruncate(self._fd, 0)
        return _put(self._fd, (head,), 0)

    def _time(self, count: int) -> int:
        return round(count / self._fps * 1e9 / _SCALE_NS)

    def _note_cue(self, at: int) -> None:
        time = self._time(self.count)
        if not self._cues or time - self._cues[-1][0] >= _CUE_EVERY_S * 1e9 / _SCALE_NS:
            self._cues.append((time, at))

    def write(self, frame: Buffer, *, key: bool = True) -> None:
        """Append one frame. OSError where the disk does not take it: the file then ends at the frame before."""
        size = len(frame)
        head = _BLOCK.pack(
            _CLUSTER, _LONG | size + 23, b"\xe7\x88", self._time(self.count), b"\xa3", _LONG | size + 4,
            b"\x81\x00\x00\x80" if key else b"\x81\x00\x00\x00",
        )  # fmt: skip
        at = self._ends[-1]
        try:
            end = _put(self._fd, (head, frame), at)
        except OSError:
            self.cut(self.count)
            raise
        if key:
            self._note_cue(at)
        self._ends.append(end)

    def cut(self, count: int) -> None:
        """Leave the first ``count`` frames, at most as many as there are; what can't be cut is written over later."""
        del self._ends[count + 1 :]
        self._cues = [cue for cue in self._cues if cue[1] < self._ends[-1]]
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._ends[-1])

    def close(self) -> None:
        """Index, duration, size, where there is room for them; then onto the disk. OSError where the disk does not
        take what was written; the file is closed all the same.
        """
        try:
            try:
                self._finish()
            except OSError:
                self.cut(self.count)
            os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def _finish(self) -> None:
        inside = len(_EBML) + 12  # where the segment's content begins: positions count from there
        points = b"".join(
            element(
                b"\xbb",
                number("B3", time) + element(b"\xb7", number("F7", 1) + number("F1", at - inside)),
            )
            for time, at in self._cues
        )
        if not points:
            return
        end = _put(self._fd, (element(_CUES, points),), self._ends[-1])
        seek = number("53AC", self._ends[-1] - inside)
        seek = b"\x4d\xbb" + bytes((0x80 | len(seek) + 7,)) + b"\x53\xab\x84" + _CUES + seek
        seek = _SEEK_HEAD + bytes((0x80 | len(seek),)) + seek
        duration = b"\x44\x89\x88" + struct.pack(">d", self.count / self._fps * 1e9 / _SCALE_NS)
        _put(self._fd, (seek,), inside)
        _put(self._fd, (duration,), inside + _SEEK_BYTES + 12)
        _put(self._fd, (struct.pack(">Q", _LONG | end - inside),), len(_EBML) + 4)


def frames_in(fd: int) -> int:
    """How many whole frames of a file of ours can be read."""
    begin = _clusters_at(fd)
    return sum(1 for _ in _walk(fd, begin)) if begin else 0


class RawPlaces(NamedTuple):
    """Where the frames of an uncompressed file of ours are: all of one size, one behind the other."""

    fd: int
    begin: int
    step: int
    width: int
    height: int
    frames: int

    def read(self, row: int) -> npt.NDArray[np.uint8] | None:
        """(height, width) uint8; None where the file has no such frame, or another thing in its place."""
        at = self.begin + row * self.step
        data = os.pread(self.fd, self.step, at)
        if len(data) < self.step or data[:4] != _CLUSTER or _BLOCK.unpack(data[: _BLOCK.size])[4] != b"\xa3":
            return None
        return np.frombuffer(data, np.uint8, self.width * self.height, _BLOCK.size).reshape(self.height, self.width)


def raw_places(path: str) -> RawPlaces | None:
    """The frames of an uncompressed file of ours; None for any other. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    begin = _clusters_at(fd)
    head = os.pread(fd, begin, 0)
    width, height = (_number_in(head, name) for name in (b"\xb0\x88", b"\xba\x88"))
    step = _BLOCK.size + width * height
    first = next(_walk(fd, begin), (0, 0)) if begin else (0, 0)
    if b"V_UNCOMPRESSED" not in head or first[1] != step:
        os.close(fd)
        return None
    return RawPlaces(fd, begin, step, width, height, (os.fstat(fd).st_size - begin) // step)


def _number_in(head: bytes, name: bytes) -> int:
    at = head.find(name, max(0, head.find(b"V_UNCOMPRESSED")))  # behind the codec comes the picture
    return int.from_bytes(head[at + 2 : at + 10]) if at >= 0 else 0


def _walk(fd: int, at: int) -> Iterator[tuple[int, int]]:
    """Place and size of each whole frame."""
    total = os.fstat(fd).st_size
    while len(head := os.pread(fd, _BLOCK.size, at)) == _BLOCK.size:
        name, size, time, _, block, inner, flags = _BLOCK.unpack(head)
        whole = 12 + (size & _LONG - 1)
        known = (name, time, block, flags[:3]) == (_CLUSTER, b"\xe7\x88", b"\xa3", b"\x81\x00\x00")
        if not known or inner + 19 != size or at + whole > total:
            break
        yield at, whole
        at += whole


def _clusters_at(fd: int) -> int:
    """Where the first frame of a file of ours begins; 0 where there is no whole head."""
    head = os.pread(fd, 1 << 16, 0)
    if not head.startswith(_EBML + _SEGMENT):
        return 0
    at = len(_EBML) + 12 + _SEEK_BYTES
    for name in (_INFO, _TRACKS):
        if head[at : at + 4] != name:
            return 0
        size, length = _size(head, at + 4)
        at += 4 + length + size
    return at if at <= len(head) else 0


def _size(data: bytes, at: int) -> tuple[int, int]:
    """An element's size, and in how many bytes it is written."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8:
        return 0, 8
    return int.from_bytes(data[at : at + length]) & (1 << 7 * length) - 1, length


def split(data: bytes, at: int) -> tuple[bytes, int, int] | None:
    """Id, beginning and end of the content of the element at ``at``; None where it is not there yet."""
    if at >= len(data) or not data[at]:
        return None
    begin = at + 9 - data[at].bit_length()
    size, length = _size(data, begin)
    if begin + length > len(data):
        return None
    return data[at:begin], begin + length, begin + length + size


def _put(fd: int, parts: Sequence[Buffer], at: int) -> int:
    """Write all of it at that place, whatever the kernel takes at a time; where it ends. Raises OSError."""
    left = [memoryview(part) for part in parts]
    while left:
        written = os.pwritev(fd, left, at)
        at += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]
    return at
