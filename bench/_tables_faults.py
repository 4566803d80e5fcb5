"""The tables of ``bench/faults.py``: what each fault cost, and what a long session of them held."""

from __future__ import annotations

from typing import Any

from bench._table_parts import load, markdown, stamp


def faults() -> str:
    """Each fault, as often as it was done."""
    result = load("faults")
    rows = [
        (
            row["fault"],
            f"{row['recovered']} of {row['times']}",
            _span(row["recover_s"]),
            f"{row['noticed_s']['max']:.2f}" if row["noticed_s"] else "–",
            f"{row['lost']} of {row['expected']}" if "lost" in row else "–",
            row.get("doubled", "–"),
            row.get("invented", "–"),
            ", ".join(f"{count} {cause}" for cause, count in row["dropped"].items() if count) or "0",
            row["unaccounted"],
        )
        for row in result["faults"]
    ]
    header = (
        "fault", "recovered", "back after, s: p50 / max", "noticed within, s", "events lost", "doubled", "invented",
        "frames not analysed, told", "untold",
    )  # fmt: skip
    head = f"Live, {result['fps']:g} fps, {result['size']}, emulated camera.\n\n"
    return head + markdown(header, rows) + stamp(result)


def faults_soak() -> str:
    """A random fault every ten seconds."""
    result = load("faults_soak")
    done, back = (sum(row[key] for row in result["soak"]) for key in ("times", "recovered"))
    rows = [
        ("faults, recovered from", f"{done}, {back}"),
        ("frames, told as not analysed", f"{result['frames']}, {sum(result['dropped'].values())}"),
        ("frames untold", result["unaccounted"]),
        ("events, told twice", f"{result['events']}, {result['doubled']}"),
        *(
            (name.replace("_", " ").replace(" mb", ", MB"), f"{held['second_quarter']:g} → {held['last_quarter']:g}")
            for name, held in result["held"].items()
        ),
    ]
    head = f"{result['seconds'] / 60:.0f} minutes; what it held: second quarter → last.\n\n"
    return head + markdown(("", ""), rows) + stamp(result)


def _span(seconds: dict[str, Any]) -> str:
    return f"{seconds['p50']:.2f} / {seconds['max']:.2f}" if seconds else "–"
