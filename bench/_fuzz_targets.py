"""What reads from outside: each takes any bytes and answers with a value or with its own typed error, nothing else.

Shared by ``tests/test_fuzz.py`` (hypothesis: bounded, quick) and ``bench/fuzz.py`` (atheris: led by code reached).
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from realtime import config
from realtime.errors import BundleError, ConfigError, DatasetError, MerealtimeError, SourceError, UserError
from realtime.ipc import keys, messages
from realtime.recognition import bundle
from realtime.session import matroska, read
from realtime.types import SourceInfo, SpotEvent

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Target:
    """One reader."""

    run: Callable[[bytes], object]
    typed: type[Exception]
    """The only error that may come out."""
    seeds: tuple[bytes, ...]
    """Whole examples, to be changed."""


def targets() -> dict[str, Target]:
    """All of them, by name; those of ``offline`` too."""
    folder = Path(tempfile.mkdtemp(prefix="merealtime-fuzz-"))
    return {**_codec(), **_settings(folder), **_bundle(folder), **_session(folder), **_sheets(folder), **_runs(folder)}


def remove(made: dict[str, Target]) -> None:
    """Remove the folder in which they work."""
    shutil.rmtree(made["config"].run.__defaults__[0].parent)  # type: ignore[attr-defined,index]


def _codec() -> dict[str, Target]:
    event = SpotEvent(
        kind="micro", onset=1, apex=3, offset=9, onset_t_ns=10, apex_t_ns=20, offset_t_ns=30,
        score=7.5, rois={"mouth": 1.5}, decided=11,
    )  # fmt: skip
    info = SourceInfo(source="demo", kind="demo", width=640, height=480, fps=200.0)
    times = {"capture_ns": 1, "ring_ns": 2, "taken_ns": 3, "spotted_ns": 4, "mapped_ns": 5, "sent_ns": 6}
    seeds = (
        messages.Opened(info=info),
        messages.Gap(first=3, last=5, count=3, cause="ring"),
        messages.Classified(id=0, event=event, label="surprise", scores={"surprise": 1.0}, **times),
        messages.Tick(seq=1, frame=2, t_ns=3, difference={"a": 1.0}, peak={}, face=True, found=True),
        messages.Control(order="ring", ring="x", info=info, fps=200.0, ids=[1, 2]),
        messages.Reply(ok=True),
        messages.Ended(stage="spot", detail={"events": 2.0}),
    )
    encoded = tuple(messages.encode(seed) for seed in seeds)
    names = ("report", "work", "broadcast", "pose", "control", "reply")
    decoders = {name: getattr(messages, f"decode_{name}") for name in names}
    return {f"codec {name}": Target(run, msgspec.DecodeError, encoded) for name, run in decoders.items()}


def _settings(folder: Path) -> dict[str, Target]:
    file = folder / "settings.toml"

    def load(data: bytes, file: Path = file) -> config.Settings:
        file.write_bytes(data)
        return config.load(file)

    def assign(data: bytes) -> config.Settings:
        return config.load(overrides=dict([config.parse_assignment(data.decode("utf-8", "surrogateescape"))]))

    shipped = tuple(path.read_bytes() for path in sorted((ROOT / "configs").glob("*.toml")))
    lines = (b"spot.detector=lbp", b"runtime.cpus={spot=[1]}", b"source.size=640x480", b"source.fps=1e3")
    return {"config": Target(load, ConfigError, shipped), "assignment": Target(assign, ConfigError, lines)}


def _bundle(folder: Path) -> dict[str, Target]:
    copy = folder / "bundle"
    shutil.copytree(bundle.find("laenet-composite"), copy)
    card = copy / bundle.CARD_FILE
    secret = folder / "keys"
    keys.make_keys(secret)
    key = secret / "clients" / "client.key"

    def load(data: bytes) -> object:
        card.write_bytes(data)
        return bundle.verified(copy)

    def allow(data: bytes) -> object:
        key.write_bytes(data)
        return keys.server_keys(secret)

    return {
        "bundle card": Target(load, BundleError, (card.read_bytes(),)),
        "key": Target(allow, UserError, (key.read_bytes(),)),
    }


def _session(folder: Path) -> dict[str, Target]:
    session = folder / "session"
    session.mkdir()
    table, video = session / "frames.csv", session / "frames.mkv"
    tracks = matroska.track("V_UNCOMPRESSED", 200.0, 4, 3)
    made = matroska.MatroskaFile(str(video), tracks, 200.0)
    for level in range(6):
        made.write(bytes([level] * 12))
    made.close()
    rows = "".join(f"{n},{n * 5_000_000},{n * 5_000_000 + 9}\n" for n in (0, 1, 2, 5, 6, 7))
    whole = (read.HEADER + "\n" + rows).encode()

    def read_table(data: bytes) -> None:
        table.write_bytes(data)
        read.table_beside(str(video))
        known = read.read_frame_table(str(table)).rows
        known = known[known[:, 0] >= 0]
        assert (np.diff(known, axis=0) > 0).all(), "numbers and times rise"
        read.readable(session)

    def go_on(data: bytes) -> None:
        video.write_bytes(data)
        table.write_bytes(whole)
        read.readable(session)
        again = matroska.MatroskaFile(str(video), tracks, 200.0)
        count = again.count
        again.write(bytes(12))
        again.close()
        assert read.readable(session) == min(6, count + 1), "a recorder that comes back goes on behind what is whole"

    return {
        "frame table": Target(read_table, SourceError, (whole, rows.encode())),
        "recording": Target(go_on, MerealtimeError, (video.read_bytes(),)),
    }


def _sheets(folder: Path) -> dict[str, Target]:
    from openpyxl import Workbook

    from offline.datasets import flowmaps, spreadsheets

    new, old, maps = folder / "sheet.xlsx", folder / "sheet.xls", folder / "maps.npz"
    rows = [["Subject", "Onset", "Apex"], ["sub01", 3, 9.5], ["sub02", "/", None]]
    book, stored = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(stored)
    arrays = io.BytesIO()
    many = {name: np.array(["a", "b"]) for name in ("subject", "dataset", "clip")}
    np.savez(arrays, maps=np.full((2, 28, 28, 3), 9, np.uint8), label=np.array([0, 1]), **many)

    def read_new(data: bytes) -> object:
        new.write_bytes(data)
        return spreadsheets.pages(new)

    def read_old(data: bytes) -> object:
        old.write_bytes(data)
        return spreadsheets.pages(old)

    def load(data: bytes) -> object:
        maps.write_bytes(data)
        return flowmaps.load(maps)

    return {
        "xlsx": Target(read_new, DatasetError, (stored.getvalue(),)),
        "xls": Target(read_old, DatasetError, (_old_sheet(rows),)),
        "npz": Target(load, DatasetError, (arrays.getvalue(),)),
    }


def _old_sheet(rows: list[list[object]]) -> bytes:
    """An .xls workbook; without the package that writes one only its first bytes."""
    try:
        import xlwt
    except ImportError:
        return bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
    book, stored = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("a")
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            sheet.write(y, x, cell)
    book.save(stored)
    return stored.getvalue()


def _runs(folder: Path) -> dict[str, Target]:
    from offline.evaluation import results

    run = folder / "run"
    run.mkdir()
    head = ",".join(results.COLUMNS)
    predictions = f"{head}\n0,casme2,sub01,a,negative,positive,0.1,0.8,0.1\n0,casme2,sub02,b,surprise,surprise,0,0,1\n"
    figures = {name: {"mean": 0.5, "std": 0.1} for name in results.NAMES}
    listing = msgspec.json.encode({"model": "laenet", "metrics": {"full": figures}, "seeds": [0], "seconds": 1.5})

    def read_results(data: bytes) -> object:
        (run / "results.json").write_bytes(data)
        return results.read_results(run)

    def read_predictions(data: bytes) -> object:
        (run / "predictions.csv").write_bytes(data)
        return results.read_predictions(run)

    return {
        "results": Target(read_results, UserError, (listing,)),
        "predictions": Target(read_predictions, UserError, (predictions.encode(),)),
    }
