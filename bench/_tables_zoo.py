"""The table of docs/zoo.md: the papers' systems on the public maps."""

from __future__ import annotations

from typing import Any

from bench._table_parts import Row, UnclearResultError, load, markdown, number, stamp

HEADER = (
    "system", "published UF1 / UAR", "measured UF1 / UAR", "accuracy", "protocol", "seeds", "parameters", "ms a map",
    "UF1 − LAENet's", "p", "what was cut",
)  # fmt: skip


def zoo() -> str:
    """Published and measured side by side; what has not been run is said."""
    result = load("zoo")
    rows = [_row(row) for row in result["rows"]]
    missing = sum(row["measured"] is None for row in result["rows"])
    note = (
        f"\n{missing} of {len(rows)} rows have not been run here: `python bench/zoo.py` goes on.\n" if missing else ""
    )
    commits = sorted({row["measured"]["commit"] for row in result["rows"] if row["measured"]})
    for one in commits:
        if one == "unknown" or one.endswith("-dirty"):
            raise UnclearResultError(f"bench/results/zoo.json: a run was trained on {one}: commit, then train it again")
    note += f"\nTrained at commit{'s' * (len(commits) > 1)} {', '.join(f'`{one}`' for one in commits)}.\n"
    note += "\n† with the best epoch kept on each held-out subject.\n"
    return markdown(HEADER, rows) + note + stamp(result)


def zoo_clips() -> str:
    """What needs clips, on generated ones."""
    result = load("zoo_clips")
    rows = [
        (
            row["model"],
            row["reads"],
            row["clips"],
            f"{row['parameters']:,}",
            *(f"{row[k]:.4f}" for k in ("uf1", "uar", "acc")),
        )
        for row in result["rows"]
    ]
    header = ("system", "reads", "clips", "parameters", "UF1", "UAR", "accuracy")
    return markdown(header, rows, align_right=2) + stamp(result)


def _row(row: dict[str, Any]) -> Row:
    own, said = row["published"], "–"
    if own is not None and "uf1" in own:
        said = f"{own['uf1']:.4f} / {own['uar']:.4f}" + (" †" if own["leaky"] else "")
    elif own is not None:
        said = f"accuracy {own['acc']:.4f}"
    run = row["measured"]
    if run is None:
        return (row["model"], said, "not run", "–", row["protocol"], *["–"] * 5, row["cut"] or "–")
    full, test = run["metrics"]["full"], run["against_laenet"]
    return (
        run["title"],
        said,
        f"{full['uf1']['mean']:.4f} / {full['uar']['mean']:.4f}",
        f"{full['acc']['mean']:.4f}",
        row["protocol"],
        run["seeds"],
        f"{run['parameters']:,}",
        number(run["one_map_ms"]["median"], 2),
        "–" if test is None else f"{test['difference']:+.4f}",
        "–" if test is None else ("< 0.001" if test["p_value"] < 0.001 else f"{test['p_value']:.3f}"),
        row["cut"] or "–",
    )
