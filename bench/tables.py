"""Draws the tables of README.md and docs from bench/results: ``python bench/tables.py [--check]``.

A table stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->``; NAME is a function below. ``--check`` changes
nothing and fails if a table is stale. A result that was measured on a tree with uncommitted changes is refused:
nobody could measure it again.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "zoo.md")
RESULTS = ROOT / "bench" / "results"
BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)
KNOWN_DIRTY = {
    "labels": "55ff9ba45121-dirty",
    "latency_sweep": "f58dcf637f94-dirty",
    "loso": "3e9f0c7a46f2-dirty",
    "recognition": "ea159764f377-dirty",
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
        raise FileNotFoundError(f"{path.relative_to(ROOT)} is missing: run bench/{name.split('_')[0]}.py")
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


def latency() -> str:
    """Percentiles of one live run, and what the algorithm itself waits for."""
    result = load("latency")
    names = {
        "decide": "decide: frame that completes the event → event sent",
        "flow": "flow: TV-L1, strain, 28×28×3",
        "classify": "classify: label and scores",
        "total": "total: that frame → line written",
    }
    columns = ("p50", "p95", "p99", "max")
    rows: list[Row] = [
        (text, *(number(result["latency_ms"][key].get(p)) for p in columns)) for key, text in names.items()
    ]
    rows.append(("every frame: exposure → analysed", *(number(result["frame_ms"][p]) for p in columns)))
    waits = result["algorithm_waits_ms"]
    rows.append(("the method's own wait: apex → decline seen", *(number(waits.get(p), 0) for p in columns)))
    head = (
        f"{result['fps_measured']:.1f} fps, {result['size']}, {result['frames']} frames, "
        f"{result['dropped']} dropped, {result['events']} events, {result['source']}.\n\n"
    )
    return head + markdown(("ms", *columns), rows) + stamp(result)


def cost() -> str:
    """CPU and memory of each process in that run."""
    result = load("latency")
    seconds = result["cpu_over_s"]
    rows: list[Row] = [
        (name, f"{used / seconds:.1%}", number(result["rss_mb"].get(name), 0))
        for name, used in result["cpu_seconds"].items()
    ]
    rows.append(("**all**", f"**{result['cores_used']:.2f} cores**", number(sum(result["rss_mb"].values()), 0)))
    return markdown(("process", "of one core", "MB"), rows) + stamp(result)


def sweep() -> str:
    """The rates that were tried."""
    result = load("latency_sweep")
    rows = [
        (
            f"{row['fps_target']:g}",
            number(row["fps_measured"]),
            row["frames"],
            row["dropped"],
            number(row["frame_ms"]["p99"]),
            number(row["latency_ms"]["total"].get("p99")),
            number(row["cores_used"], 2),
        )
        for row in result["sweep"]
    ]
    header = ("fps asked", "fps", "frames", "dropped", "frame p99, ms", "total p99, ms", "cores")
    held = result["highest_held"]
    return markdown(header, rows, 0) + f"\nHighest rate held: {held or 0:g} fps." + stamp(result)


def throughput() -> str:
    """Lossless frames a second, and the spotter's budget."""
    result = load("throughput")
    steps = result["spot_us_a_frame"]
    total = sum(steps.values())
    rows = [(name, number(value, 0), f"{value / total:.0%}") for name, value in steps.items()]
    alone = result["stage_fps"]
    head = (
        f"**{result['fps']:.0f} frames a second**, whole pipeline, {result['size']}, no frame left out "
        f"(rounds: {', '.join(f'{fps:.0f}' for fps in result['rounds_fps'])}). "
        f"Alone: capture {alone['capture'] or 0:.0f}, spotter {alone['spot']:.0f} frames a second; "
        f"flow {result['ms_an_event']['motion']:.1f} ms, model {result['ms_an_event']['classify']:.1f} ms an event.\n\n"
    )
    return head + markdown(("spotter, step", "µs a frame", "share"), rows) + stamp(result)


def soak() -> str:
    """The long run."""
    result = load("soak")
    memory, drift = result["memory"]["all"], result["drift_ms"]["total"]
    rows = [
        ("frames", result["frames"]),
        ("dropped", result["dropped"]),
        ("events", result["events"]),
        ("decide p99, ms", number(result["latency_ms"]["decide"].get("p99"))),
        ("total p99, ms", number(result["latency_ms"]["total"].get("p99"))),
        ("total p50, first half → second half, ms",
         f"{number(drift['first_half'].get('p50'))} → {number(drift['second_half'].get('p50'))}"),
        ("memory, half-time → end, MB", f"{memory['half_mb']:.0f} → {memory['end_mb']:.0f} "
                                        f"({memory['growth_percent']:+.2f} %)"),
        ("cores used", number(result["cores_used"], 2)),
    ]  # fmt: skip
    head = f"{result['seconds'] / 60:.0f} minutes at {result['fps_measured']:.0f} fps, {result['size']}.\n\n"
    return head + markdown(("", ""), rows) + stamp(result)


def habits() -> str:
    """Each real-time habit with and without."""
    result = load("latency_habits")
    rows = [
        (
            name,
            row["dropped"],
            number(row["frame_ms"]["p99"], 2),
            number(row["frame_ms"]["max"], 2),
            number(row["latency_ms"]["total"].get("p50")),
            number(row["latency_ms"]["total"].get("p99")),
            number(row["cores_used"], 2),
            "; ".join(text.partition(": ")[2] for text in row["refused"]) or "–",
        )
        for name, row in result["habits"].items()
    ]
    header = ("", "dropped", "frame p99", "frame max", "total p50", "total p99", "cores", "refused")
    return markdown(header, rows) + stamp(result)


def start_up() -> str:
    """Seconds from the command until each stage is warm."""
    result = load("latency")
    rows = [(name.replace("_", " "), number(value)) for name, value in result["start_up_s"].items()]
    return markdown(("ready after", "s"), rows) + stamp(result)


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
    result = load("living-heldout")
    rows = [
        (
            factor,
            f"{row['hits_micro']} of {row['micros']}" if row["micros"] else "–",
            number(row["f1_micro"], 2),
            number(row["false_micro_per_minute"]),
            number(row["false_macro_per_minute"]),
            f"{row['macros_found']} of {row['macros']}" if row["macros"] else "–",
            "–" if row["offset_within_40ms"] is None else f"{row['offset_within_40ms']:.0%}",
            number(row["minutes"]),
        )
        for factor, row in result["systems"]["motion"].items()
    ]
    header = (
        "",
        "micros found",
        "F1",
        "false micro/min",
        "false macro/min",
        "macros found",
        "offset ≤ 40 ms",
        "minutes",
    )
    return markdown(header, rows) + stamp(result)


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


def flow() -> str:
    """TV-L1 twins against OpenCV's, median over the pairs of images."""
    result = load("flow")
    times = list(result["milliseconds"].values())
    errors = result["end_point_error_px"]
    rows = [
        (
            name,
            number(statistics.median(pair[name]["median"] for pair in times), 2),
            *(_median_error(part, name) for part in errors.values()),
        )
        for name in times[0]
    ]
    return markdown(("", "ms a pair", *(f"error, px: {label}" for label in errors)), rows) + stamp(result) + _on_a_gpu()


def _on_a_gpu() -> str:
    """The CUDA twin beside the CPU's on the machine that had a GPU."""
    result = load("flow_gpu")
    found, times = result["gpu"], result["gpu"]["milliseconds"]
    batches = ", ".join(f"{name} {entry['pairs_per_s']} pairs a second" for name, entry in list(times.items())[1:])
    return (
        f"\nOn an {found['device']}: one pair {number(times['one pair']['median'], 2)} ms from host to host "
        f"(the CPU twin there: {number(statistics.median(result['cpu_live_ms'].values()), 2)} ms), {batches}; "
        f"no flow further than {found['largest_mean_difference_px']:.0e} px from the CPU's on average. Commit `{result['machine']['commit']}`.\n"
    )


def _median_error(rows: dict[str, dict[str, float]], name: str) -> str:
    column = name.removesuffix(" DualTVL1")
    values = [row[column] for row in rows.values() if column in row]
    return number(statistics.median(values), 3) if values else "–"


def labels() -> str:
    """What the model calls each generated action unit."""
    result = load("labels")
    columns = ("negative", "positive", "surprise", "uncertain")
    rows = [
        (name, unit, *(counts.get(label, 0) for label in columns))
        for name, units in result["sets"].items()
        for unit, counts in sorted(units.items())
    ]
    return markdown(("clips", "action unit (its class)", *columns), rows, 2) + stamp(result)


def real_motion() -> str:
    """Published maps put back on portraits, stage by stage."""
    result = load("labels_real_motion")
    models = ("laenet", "fusion")
    rows = []
    for head, found in result["heads"].items():
        for row in found["rows"]:
            likeness = [number(row["correlation"][name], 2) for name in ("u", "v", "strain")]
            labels_ = [" / ".join(number(row["labels"][name][what], 2) for what in ("acc", "uar")) for name in models]
            if not row["stage"].startswith("true frames") or row["stage"].endswith("as shipped"):
                rows.append((f"{head}, {found['spotted']} of {found['maps']}", row["stage"], *likeness, *labels_))
    header = ("head, maps spotted", "stage", "u", "v", "strain", *(f"{name} accuracy / UAR" for name in models))
    return markdown(header, rows, 2) + stamp(result)


def recognition() -> str:
    """LOSO rows of the models, every one measured here."""
    result = load("recognition")
    rows = []
    for row in result["rows"]:
        cells = []
        for part in ("full", "smic", "casme2", "samm"):
            found = row["metrics"].get(part)
            many = row["seeds"] > 1 and part == "full"
            cells.append(" / ".join(_mean(found[name], many) for name in ("uf1", "uar")) if found else "–")
        accuracy = _mean(row["metrics"]["full"]["acc"], row["seeds"] > 1)
        rows.append((row["model"], row["parameters"], row["seeds"], cells[0], accuracy, *cells[1:]))
    header = ("model", "parameters", "seeds", "full UF1 / UAR", "accuracy", "SMIC", "CASME II", "SAMM")
    return markdown(header, rows) + stamp(result)


def loso() -> str:
    """A whole leave-one-subject-out run of LAENet, three ways."""
    result = load("loso")
    names = {"keras": "fold by fold, Keras `fit`", "compiled": "fold by fold, one compiled step"}
    rows = [
        (
            f"{name} (extrapolated from {result['folds_measured']} folds)",
            number(result[f"{key}_s_per_seed_extrapolated"], 0),
            number(result[f"times_faster_than_{key}"], 0),
        )
        for key, name in names.items()
    ]
    rows.append(("all folds at once", number(result["batched_s_per_seed"]["median"]), "1"))
    return markdown((f"LAENet, {result['folds']} folds", "s a seed", "times"), rows) + stamp(result)


def paired() -> str:
    """Each model against the first, paired over subjects."""
    tests: dict[str, dict[str, dict[str, float]]] = {}
    for test in load("recognition")["paired_over_subjects"]:
        tests.setdefault(f"{test['model']} − {test['against']}", {})[test["metric"]] = test
    rows = [
        (
            name,
            *(
                f"{t['difference']:+.3f} ({t['low']:+.3f} … {t['high']:+.3f}), p = {t['p_value']:.3f}"
                for t in (own[metric] for metric in ("uf1", "uar", "acc"))
            ),
        )
        for name, own in tests.items()
    ]
    return markdown(("", "UF1 (95 % interval)", "UAR", "accuracy"), rows) + stamp(load("recognition"))


MOVING = ("yaw-1", "yaw-2", "yaw-5", "nod-5", "posture-1", "lean", "jerk")


def summary() -> str:
    """The README's few lines: of each benchmark what a newcomer asks first."""
    faces = load("living-heldout")["systems"]["motion"]
    live, sweeps, real_video = load("latency"), load("latency_sweep"), load("real")["recordings"]
    models = {row["model"]: row["metrics"]["full"] for row in load("recognition")["rows"]}
    total = live["latency_ms"]["total"]
    seconds = sum(row["video_seconds"] for row in real_video)
    talk, idle = faces["speech-full-brows"], faces["idle-living"]
    rows = [
        ("micro-expressions found, generated faces that turn up to ±5°, nod, shift, jerk",
         f"{sum(faces[name]['hits_micro'] for name in MOVING)} of {sum(faces[name]['micros'] for name in MOVING)}"),
        ("the same in the brows of a face that talks", f"{talk['hits_micro']} of {talk['micros']}"),
        ("false alarms on such a face at rest, with blinks, gaze and swallowing",
         f"{number(idle['false_micro_per_minute'], 2)} a minute"),
        ("called micro in real video of talk and posed faces, none known",
         f"{number(60 * sum(row['micro'] for row in real_video) / seconds)} a minute"),
        *(
            (f"right label on a person left out of training, `{name}`",
             f"{found['acc']['mean']:.0%} (UF1 {found['uf1']['mean']:.2f}, UAR {found['uar']['mean']:.2f})")
            for name, found in ((name, models[name]) for name in ("laenet", "fusion"))
        ),
        (f"last frame of a movement → line written, {live['fps_measured']:.0f} fps",
         f"{number(total['p50'])} ms, 99 % within {number(total['p99'])} ms"),
        ("highest camera rate held, 640×480, two cores", f"{sweeps['highest_held']:g} fps"),
        ("a recording, lossless", f"{load('throughput')['fps']:.0f} frames a second"),
    ]  # fmt: skip
    return markdown(("", "measured"), rows)


def _mean(metric: dict[str, float], spread: bool) -> str:
    return f"{metric['mean']:.3f}" + (f" ± {metric['std']:.3f}" if spread else "")


def zoo() -> str:
    """The three papers' systems on the public maps, published and measured."""
    result = load("zoo")
    rows = [_zoo_row(row) for row in result["rows"]]
    header = (
        "system", "published UF1 / UAR", "measured UF1 / UAR", "accuracy", "protocol", "seeds", "parameters",
        "ms a map", "UF1 − LAENet's", "p", "what was cut",
    )  # fmt: skip
    missing = sum(row["measured"] is None for row in result["rows"])
    note = (
        f"\n{missing} of {len(rows)} rows have not been run here; `python bench/zoo.py` goes on with them.\n"
        if missing
        else ""
    )
    note += "\n† with the best epoch kept on each held-out subject.\n"
    return markdown(header, rows) + note + stamp(result)


def _zoo_row(row: dict[str, Any]) -> Row:
    own, said = row["published"], "–"
    if own is not None and "uf1" in own:
        said = f"{own['uf1']:.4f} / {own['uar']:.4f}" + (" †" if own["leaky"] else "")
    elif own is not None:
        said = f"accuracy {own['acc']:.4f}"
    run = row["measured"]
    if run is None:
        return (row["model"], said, "not run", "–", row["protocol"], *["–"] * 5, row["cut"] or "–")
    full, test = run["metrics"]["full"], run["against_laenet"]
    difference = "–" if test is None else f"{test['difference']:+.4f}"
    return (
        run["title"], said, f"{full['uf1']['mean']:.4f} / {full['uar']['mean']:.4f}", f"{full['acc']['mean']:.4f}",
        row["protocol"], run["seeds"], f"{run['parameters']:,}", number(run["one_map_ms"]["median"], 2), difference,
        "–" if test is None else f"{test['p_value']:.3f}", row["cut"] or "–",
    )  # fmt: skip


TABLES: dict[str, Callable[[], str]] = {
    table.__name__.replace("_", "-"): table
    for table in (
        summary,
        latency,
        cost,
        sweep,
        throughput,
        soak,
        habits,
        start_up,
        spotting,
        living,
        living_rivals,
        real,
        flow,
        labels,
        real_motion,
        recognition,
        paired,
        loso,
        zoo,
    )
}


def redraw(text: str, tables: dict[str, Callable[[], str]] | None = None) -> str:
    """The text with every table drawn anew; KeyError for an unknown name."""
    known = TABLES if tables is None else tables
    return BLOCK.sub(lambda found: found[1] + "\n" + known[found[2]]() + "\n" + found[4], text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=PAGES, help="pages; default: those above")
    parser.add_argument("--check", action="store_true", help="only say whether the tables are up to date")
    arguments = parser.parse_args(argv)
    return max(_draw(file, arguments.check) for file in arguments.files)


def _draw(file: Path, check: bool) -> int:
    """Draw one page, or say whether it is as it would be drawn; exit code."""
    before = file.read_text(encoding="utf-8")
    try:
        after = redraw(before)
    except (KeyError, FileNotFoundError, UnclearResultError) as error:
        sys.stderr.write(f"{file}: {error.args[0]}\n")
        return 1
    if check:
        if after != before:
            sys.stderr.write(f"{file}: tables and bench/results disagree; python bench/tables.py draws them\n")
        return int(after != before)
    file.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
