"""Tables of README.md: drawn between markers, only there, and the same each time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import readme

TEXT = "before\n<!-- bench: one -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: two -->\n<!-- /bench -->\nafter\n"


def test_tables_are_redrawn_between_their_markers() -> None:
    tables = {"one": lambda: "| new |\n", "two": lambda: "| other |\n"}
    drawn = readme.redraw(TEXT, tables)
    assert "old" not in drawn
    for kept in ("before\n", "between\n", "after\n", "| new |", "| other |", "<!-- bench: two -->"):
        assert kept in drawn
    assert readme.redraw(drawn, tables) == drawn


def test_an_unknown_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "README.md"
    file.write_text(TEXT)
    assert readme.main([str(file)]) == 1
    assert "one" in capsys.readouterr().err
    assert file.read_text() == TEXT


@pytest.mark.parametrize("path", sorted(readme.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_carry_their_machine(path: Path) -> None:
    machine = json.loads(path.read_text())["machine"]
    assert machine["commit"]
    assert machine["cpu"]


@pytest.mark.parametrize("name", readme.TABLES)
def test_tables_are_drawn_from_results(name: str) -> None:
    try:
        table = readme.TABLES[name]()
    except FileNotFoundError as error:
        pytest.skip(f"not measured yet: {error}")
    assert table.count("\n|") >= 2
    assert "commit `" in table
    assert "None" not in table
