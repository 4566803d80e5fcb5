"""Coding sheets: .xlsx by openpyxl, the old .xls by xlrd; rows as they are, or as records below a header."""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import msgspec

from realtime.errors import DatasetError
from realtime.files import read_at_most

_TORN_NEW = (
    OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError, EOFError, RuntimeError, OverflowError,
    BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What openpyxl raises from the midst of a torn file, or one compressed by a way, or locked, as no spreadsheet is."""
_MOST_BYTES = 64 << 20
_MOST_ROWS, _MOST_CELLS = 1 << 20, 5_000_000
SUFFIXES = (".xlsx", ".xls")
Row = tuple[Any, ...]
_TORN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, ArithmeticError,
    EOFError, struct.error,
)  # fmt: skip
"""What xlrd also raises from the midst of a torn file."""


class Page(msgspec.Struct, frozen=True):
    """One sheet of a workbook."""

    title: str
    rows: list[Row]


def pages(file: Path) -> list[Page]:
    """Every sheet of a workbook. Raises DatasetError when it can't be read."""
    return _old_pages(file) if file.suffix.lower() == ".xls" else _new_pages(file)


def _new_pages(file: Path) -> list[Page]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MOST_BYTES:
            raise ValueError(f"{unpacked >> 20} MiB unpacked, more than any coding sheet")
        book = load_workbook(file, read_only=True, data_only=True)
        found = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # type: ignore[union-attr]  # what the file says about its size may be wrong
            found.append(Page(sheet.title, _bounded(sheet.iter_rows(values_only=True))))
        book.close()
    except _TORN_NEW as error:
        raise DatasetError(f"{file}: not a readable .xlsx spreadsheet: {error}") from error
    return found


def _bounded(rows: Iterator[Row]) -> list[Row]:
    """The rows, as many as a sheet can have: a cell that says to stand in row 10⁹ would make as many before it."""
    found: list[Row] = []
    cells = 0
    for row in rows:
        cells += 1 + len(row)
        if len(found) >= _MOST_ROWS or cells > _MOST_CELLS:
            raise ValueError("more rows or cells than any coding sheet")
        found.append(row)
    return found


def _old_pages(file: Path) -> list[Page]:
    try:
        import xlrd
    except ImportError as error:
        raise DatasetError(f"{file}: an old .xls needs the package xlrd; install merealtime[offline]") from error
    try:
        read_at_most(file, _MOST_BYTES)
        with xlrd.open_workbook(file, logfile=io.StringIO()) as book:
            return [Page(sheet.name, [_old_row(sheet, i) for i in range(sheet.nrows)]) for sheet in book.sheets()]
    except (xlrd.XLRDError, xlrd.compdoc.CompDocError, *_TORN) as error:
        raise DatasetError(f"{file}: not a readable .xls spreadsheet: {error}") from error


def _old_row(sheet: Any, number: int) -> Row:
    """An .xls has no None: an empty cell is empty text there."""
    return tuple(None if cell == "" else cell for cell in sheet.row_values(number))


def table(file: Path, wanted: dict[str, str], layout: str) -> Iterator[dict[str, Any]]:
    """Rows below the header of a sheet, as dictionaries.

    wanted: our name → start of the header's cell, compared without case, spaces and underscores. The header
    is the first row that holds them all, in the first sheet that has one, so that a cover sheet, a preamble
    and blank columns don't matter.
    """
    for page in pages(file):
        for start, row in enumerate(page.rows, 1):
            header = [_plain(cell) for cell in row]
            columns = {ours: _column(header, _plain(theirs)) for ours, theirs in wanted.items()}
            if None not in columns.values():
                return _records(page.rows[start:], columns)
    raise DatasetError(f"{file}: no row with the columns {', '.join(wanted.values())}; expected {layout}")


def _records(rows: list[Row], columns: dict[str, int | None]) -> Iterator[dict[str, Any]]:
    for row in rows:
        record = {ours: row[c] if c is not None and c < len(row) else None for ours, c in columns.items()}
        if any(value is not None for value in record.values()):
            yield record


def _plain(cell: Any) -> str:
    return re.sub(r"[\s_]+", "", str(cell)).lower() if cell is not None else ""


def _column(header: list[str], start: str) -> int | None:
    return next((i for i, cell in enumerate(header) if cell.startswith(start)), None)


def whole(cell: Any) -> int | None:
    """A frame number from a cell; None for blank, '/', 'inf', and other non-numbers."""
    try:
        return int(float(str(cell)))
    except (ValueError, OverflowError):
        return None


def text(cell: Any) -> str:
    """A name from a cell; 6.0 → '6', None → ''."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell).strip()
