"""One recording of an archive: the job. Writes ``events.jsonl``, then ``record.json``, each whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import secrets
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offline.archive import records
from offline.archive.records import LOG, Digests, Record, Row
from offline.archive.tree import Kind, Recording, look, plain
from realtime import __version__
from realtime.config import Settings
from realtime.errors import MerealtimeError, SourceError

if TYPE_CHECKING:
    from realtime.serial import Done
    from realtime.sinks.lines import AnyLine, State

RUN = "offline.archive.job:run"
_NOTES = ("recording truncated", "image unreadable", "frame table", "event without crops", "event not classified")


def run(data: str, path: str, kind: Kind, out: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Analyse ``data/path`` and write its results below `out`; `settings` as a table, as a settings file has it.

    Returns frames, events and seconds of footage. Raises MerealtimeError where the recording fails, which its record
    then tells as well.
    """
    from realtime import serial

    serial.prepare_process()
    gc.collect()  # pictures of the recording before, which few small objects hold in circles
    made = msgspec.convert(settings, Settings)
    job = _Job(Path(data), path, kind, Path(out), made)
    return job.run()


class _Job:
    def __init__(self, root: Path, path: str, kind: Kind, out: Path, settings: Settings) -> None:
        self._root, self._path, self._kind, self._out = root, path, kind, out
        source = msgspec.structs.replace(settings.source, camera=str(root / path))
        self._settings = msgspec.structs.replace(settings, source=source)
        self._folder = records.folder_of(out, path)
        self._begun, self._cpu = time.monotonic(), time.process_time()

    def run(self) -> dict[str, Any]:
        from realtime import serial

        self._folder.mkdir(parents=True, exist_ok=True)
        _sweep(self._folder)
        part = self._folder / f"{LOG}.{os.getpid()}-{secrets.token_hex(4)}.part"
        tally, done, failure = Tally(), serial.Done(), None
        found = self._look()
        try:
            self._analyse(part, tally, done)
            if self._look() != found:
                raise MerealtimeError(f"{self._root / self._path}: was changed while it was read; run it again")
        except MerealtimeError as error:
            failure = error
        row = self._row(found.bytes, tally, done, failure)
        self._keep(part, found, row)
        if row.error is not None:
            raise MerealtimeError(row.error) from failure
        return {"frames": row.frames, "events": row.events, "seconds": row.seconds}

    def _look(self) -> Recording:
        try:
            return look(self._root, self._path, self._kind)
        except OSError as error:
            raise SourceError(f"{self._root / self._path}: can't be read: {error.strerror or error}") from error

    def _analyse(self, part: Path, tally: Tally, done: Done) -> None:
        from realtime import serial
        from realtime.sinks.events import EventLog

        serial.analyse(self._settings, [EventLog(str(part)), tally], done)

    def _keep(self, part: Path, found: Recording, row: Row) -> None:
        """The log in its place, and then the record. Raises OSError."""
        log, size = self._folder / LOG, None
        if part.exists():
            size = part.stat().st_size
            part.replace(log)
            row.log = str(log.relative_to(self._out))
        else:
            log.unlink(missing_ok=True)  # of an older run
        digests = Digests(
            file=found.digest, settings=records.settings_digest(self._settings), code=records.code_digest()
        )
        row.digest = records.content_digest(digests)
        records.write(self._out, Record(digests=digests, log_bytes=size, row=row))

    def _row(self, size: int, tally: Tally, done: Done, failure: MerealtimeError | None) -> Row:
        info, spent = done.info, done.seconds
        row = Row(
            path=self._path,
            state="done" if failure is None else "failed",
            error=None if failure is None else plain(str(failure)),
            notes=plain("; ".join(tally.notes)) or None,
            kind=self._kind,
            bytes=size,
            version=__version__,
            wall_s=round(time.monotonic() - self._begun, 3),
            cpu_s=round(time.process_time() - self._cpu, 3),
            rss_peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            host=socket.gethostname(),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if info is None:
            return row
        row.width, row.height, row.pixel_format, row.fps = info.width, info.height, info.pixel_format, info.fps
        row.frames, row.seconds, row.dropped = done.frames, round(done.frames / info.fps, 3), done.dropped
        row.face_share = round(done.with_face / done.frames, 4) if done.frames else None
        row.flow_backend = done.flow_backend or None
        row.events, row.micro, row.macro = tally.events, tally.kinds["micro"], tally.kinds["macro"]
        for label, count in tally.labels.items():
            setattr(row, label, count)
        row.start_s, row.decode_s = spent.get("start"), spent.get("decode")
        row.landmarks_s, row.track_s = spent.get("landmarks"), spent.get("track")
        if row.landmarks_s is not None:  # and what it waited for them
            row.landmarks_s = round(row.landmarks_s + spent.get("network", 0.0), 3)
        row.spot_s = round(spent.get("decide", 0.0) + spent.get("keep", 0.0), 3)
        row.flow_s, row.classify_s = spent.get("motion"), spent.get("classify")
        return row


class Tally:
    """A sink that counts."""

    def __init__(self) -> None:
        self.events = 0
        self.kinds = {"micro": 0, "macro": 0}
        self.labels = dict.fromkeys(("negative", "positive", "surprise", "uncertain"), 0)
        self.notes: list[str] = []

    def line(self, line: AnyLine) -> None:
        from realtime.sinks.lines import EventLine, NoticeLine

        if isinstance(line, EventLine):
            self.events += 1
            self.kinds[line.kind] += 1
            if line.label in self.labels:
                self.labels[line.label] += 1
        elif isinstance(line, NoticeLine) and line.what in _NOTES and len(self.notes) < 3:
            self.notes.append(f"{line.what}: {line.detail}")

    def show(self, state: State) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is held."""


def _sweep(folder: Path) -> None:
    """Remove what killed jobs have left: parts that nobody holds."""
    for part in folder.glob("*.part"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
