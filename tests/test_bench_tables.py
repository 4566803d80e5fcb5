"""Tables of README.md and docs/benchmarks.md: drawn between markers, only there, from results that can be trusted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import _table_parts, tables

TEXT = "before\n<!-- bench: one -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: two -->\n<!-- /bench -->\nafter\n"


def test_tables_are_redrawn_between_their_markers() -> None:
    drawing = {"one": lambda: "| new |\n", "two": lambda: "| other |\n"}
    drawn = tables.redraw(TEXT, drawing)
    assert "old" not in drawn
    for kept in ("before\n", "between\n", "after\n", "| new |", "| other |", "<!-- bench: two -->"):
        assert kept in drawn
    assert tables.redraw(drawn, drawing) == drawn


def test_an_unknown_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "README.md"
    file.write_text(TEXT)
    assert tables.main([str(file)]) == 1
    assert "one" in capsys.readouterr().err
    assert file.read_text() == TEXT


def test_pages_and_results_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.md"
    file.write_text(tables.PAGES[1].read_text().replace("| 0 |", "| 1 |", 1))
    assert tables.main(["--check", str(file)]) == 1
    assert "disagree" in capsys.readouterr().err


def test_each_table_stands_on_a_page() -> None:
    shown = {name for page in tables.PAGES for _, name, *_ in tables.BLOCK.findall(page.read_text())}
    assert shown == set(tables.TABLES)


@pytest.mark.parametrize("commit", ["0123456789ab-dirty", "unknown"])
def test_results_of_a_changed_tree_are_refused(
    commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((_table_parts.RESULTS / "soak.json").read_text())
    result["machine"]["commit"] = commit
    (tmp_path / "soak.json").write_text(json.dumps(result))
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: soak -->\n<!-- /bench -->\n")
    monkeypatch.setattr(_table_parts, "RESULTS", tmp_path)
    for options in ([], ["--check"]):
        assert tables.main([*options, str(page)]) == 1
        assert f"soak.json was measured on {commit}" in capsys.readouterr().err
    assert page.read_text() == "<!-- bench: soak -->\n<!-- /bench -->\n"


def test_known_exceptions_are_flagged_and_end_with_the_next_measurement() -> None:
    for name, commit in _table_parts.KNOWN_DIRTY.items():
        result = json.loads((_table_parts.RESULTS / f"{name}.json").read_text())
        assert result["machine"]["commit"] == commit, f"measured again: take {name} out of KNOWN_DIRTY"
        assert _table_parts.FLAG in _table_parts.stamp(_table_parts.load(name))


@pytest.mark.parametrize("path", sorted(_table_parts.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_carry_their_machine(path: Path) -> None:
    machine = json.loads(path.read_text())["machine"]
    assert machine["commit"]
    assert machine["cpu"]


@pytest.mark.parametrize("name", tables.TABLES)
def test_tables_are_drawn_from_results(name: str) -> None:
    table = tables.TABLES[name]()
    assert table.count("\n|") >= 2
    assert "None" not in table
    assert "commit `" in table or name == "summary"
