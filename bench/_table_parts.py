"""What the tables are made of: results that can be trusted, rows, stamps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
KNOWN_DIRTY = {
    "loso": "3e9f0c7a46f2-dirty",
}
"""Results from before the rule; the page flags them. A new measurement takes its line out (a test says so)."""
FLAG = "**Measured with uncommitted changes in the tree; to be measured again.**\n"

Row = Sequence[object]


class UnclearResultError(Exception):
    """A result of a tree that nobody else has."""


def markdown(header: Row, rows: Iterable[Row], align_right: int = 1) -> str:
    """A table; columns from ``align_right`` on are aligned right."""
    lines = ["| " + " | ".join(map(str, header)) + " |"]
    lines.append("|" + "|".join("---" if at < align_right else "---:" for at in range(len(header))) + "|")
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def load(name: str) -> dict[str, Any]:
    """One result. UnclearResultError unless it was measured on a commit as it stands."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        script = name if (ROOT / "bench" / f"{name}.py").exists() else name.split("_")[0]
        raise FileNotFoundError(f"{path.relative_to(ROOT)} is missing: run bench/{script}.py")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    commit = content["machine"]["commit"]
    if (commit == "unknown" or commit.endswith("-dirty")) and KNOWN_DIRTY.get(name) != commit:
        raise UnclearResultError(f"bench/results/{path.name} was measured on {commit}: commit, then measure again")
    return content


def stamp(result: dict[str, Any]) -> str:
    """Where and when it was measured."""
    at = result["machine"]
    text = f"\n{at['cpu']}, {at['cores']} cores, no GPU used; commit `{at['commit']}`, {at['time_utc'][:10]}.\n"
    return text + (FLAG if at["commit"].endswith("-dirty") else "")


def number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
