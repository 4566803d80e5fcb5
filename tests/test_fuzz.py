"""Readers of what comes from outside, fed with anything: a value or their own typed error, and no large memory."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import _fuzz_targets  # noqa: E402

QUICK = {"xlsx": 60, "xls": 100, "npz": 120, "config": 150, "recording": 150}
"""Examples of those that take a millisecond or more; the others get 250."""
NAMES = [
    *(f"codec {name}" for name in ("report", "work", "broadcast", "pose", "control", "reply")),
    "config", "assignment", "bundle card", "key", "frame table", "recording",
    "xlsx", "xls", "npz", "results", "predictions",
]  # fmt: skip


@functools.cache
def made() -> dict[str, _fuzz_targets.Target]:
    return _fuzz_targets.targets()


@pytest.fixture(scope="module", autouse=True)
def _removed() -> Iterator[None]:
    yield
    _fuzz_targets.remove(made())


def changed(seed: bytes, draw: random.Random) -> bytes:
    """Bytes of the seed overwritten, cut out, doubled, put in: a few times."""
    data = bytearray(seed)
    for _ in range(draw.randrange(1, 6)):
        at, size = draw.randrange(len(data) + 1), draw.choice((1, 1, 2, 4, 16))
        new = draw.choice((draw.randbytes(size), b"\xff" * size, bytes(size), b"9" * size, b"[" * size, b'"\\,\n'))
        end = draw.choice((at, at + len(new), at + size, at + 200))
        data[at:end] = new if draw.random() < 0.8 else data[at : at + 64] * 2
    return bytes(data)


def test_every_reader_has_its_test() -> None:
    assert sorted(NAMES) == sorted(made())


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_themselves_are_read(name: str) -> None:
    target, read = made()[name], 0
    for seed in target.seeds:
        try:
            target.run(seed)
            read += 1
        except target.typed:
            continue
    assert read or name in ("codec pose", "results")


@pytest.mark.parametrize("name", NAMES)
def test_anything_else_is_the_typed_error(name: str) -> None:
    target = made()[name]

    @settings(max_examples=QUICK.get(name, 250), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(which=st.integers(0, 99), draw=st.randoms(use_true_random=False), raw=st.one_of(st.none(), st.binary()))
    def check(which: int, draw: random.Random, raw: bytes | None) -> None:
        data = changed(target.seeds[which % len(target.seeds)], draw) if raw is None else raw
        try:
            target.run(data)
        except target.typed:
            return

    check()


def test_a_row_that_is_cut_is_the_typed_error() -> None:
    """Found by atheris: a missing cell is None."""
    target = made()["predictions"]
    for cut in range(1, len(target.seeds[0])):
        try:
            target.run(target.seeds[0][:cut])
        except target.typed:
            continue


def test_an_xls_with_sectors_of_no_size_is_the_typed_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Found by atheris: a division by zero in xlrd, which also says what it thinks on standard output."""
    target = made()["xls"]
    data = bytearray(target.seeds[0])
    for at in (30, 32):
        data[at : at + 2] = bytes(2)
        with pytest.raises(target.typed):
            target.run(bytes(data))
    assert capfd.readouterr().out == ""


SHEET = (
    b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    b"<sheetData>%s</sheetData></worksheet>"
)


def with_sheet(file: Path, sheet: bytes) -> None:
    """A workbook whose sheet is this."""
    from openpyxl import Workbook

    Workbook().save(file)
    with zipfile.ZipFile(file) as old:
        parts = {entry.filename: old.read(entry) for entry in old.infolist()}
    parts["xl/worksheets/sheet1.xml"] = sheet
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)


def bomb_of_rows(file: Path) -> None:
    with_sheet(file, SHEET % b'<row r="2000000000"><c r="A2000000000"><v>1</v></c></row>')


def bomb_of_columns(file: Path) -> None:
    with_sheet(file, SHEET % (b'<row><c r="XFD1"><v>1</v></c></row>' * 20_000))


def bomb_of_zeros(file: Path) -> None:
    with_sheet(file, SHEET % bytes(300 << 20))


def bomb_of_entities(file: Path) -> None:
    levels = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 20) for n in range(1, 12))
    sheet = SHEET % b'<row r="1"><c r="A1" t="str"><v>&a11;</v></c></row>'
    with_sheet(file, sheet.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a0 "boom">' + levels + b"]>", 1))


def bomb_of_maps(file: Path) -> None:
    """The archive's own list says 3.9 GB, and the head of the array within."""
    claim_of_maps(file)
    data = bytearray(file.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (0xE8000000).to_bytes(4, "little")
    file.write_bytes(data)


def claim_of_maps(file: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000, 28, 28, 3)}\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("maps.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(999))


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


_READ = """
import resource, sys
from pathlib import Path
import numpy, openpyxl, xlrd
from bench import _fuzz_targets
from offline.datasets import flowmaps, spreadsheets
from realtime import config
from realtime.errors import UserError
from realtime.recognition import bundle
from realtime.session import read
reader = {
    "xlsx": spreadsheets.pages, "xls": spreadsheets.pages, "npz": flowmaps.load, "toml": config.load,
    "csv": lambda file: read.table_beside(str(file)) or read.read_frame_table(str(file)),
    "json": lambda file: bundle.read_card(file.parent),
}
file = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    reader[file.suffix[1:]](file)
    print("read")
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    ("name", "make", "most_mib"),
    [
        ("rows.xlsx", bomb_of_rows, 400),
        ("columns.xlsx", bomb_of_columns, 400),
        ("zeros.xlsx", bomb_of_zeros, 50),
        ("entities.xlsx", bomb_of_entities, 50),
        ("maps.npz", bomb_of_maps, 50),
        ("claim.npz", claim_of_maps, 50),
        ("endless.xls", endless, 200),
        ("endless.toml", endless, 50),
        ("bundle.json", endless, 50),
        ("frames.csv", endless, 2200),
    ],
)
def test_a_small_file_takes_no_large_memory(name: str, make: object, most_mib: int, tmp_path: Path) -> None:
    """In a process of its own, whose peak is measured."""
    file = tmp_path / name
    make(file)  # type: ignore[operator]
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said, grown = done.stdout.splitlines()
    assert said.startswith(str(tmp_path)), said
    assert int(grown) < most_mib
