"""The tables of live sessions: latency, cost, rate, start-up."""

from __future__ import annotations

from bench._table_parts import Row, load, markdown, number, stamp


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


def patches() -> str:
    """Face image and patches, OpenCV beside them."""
    result = load("patches")
    rows = []
    for step, found in result["steps"].items():
        ours, opencv = (found["ms"][name]["median"] for name in ("ours", "opencv"))
        errors = (number(found["error"][name], 4) for name in ("ours", "opencv"))
        rows.append((step, number(ours, 3), number(opencv, 3), number(opencv / ours), *errors))
    header = ("step", "ours, ms", "OpenCV, ms", "times", "error, ours", "error, OpenCV")
    return markdown(header, rows) + stamp(result)


def faces() -> str:
    """What a frame costs the spotter, by how many faces are followed."""
    result = load("faces")
    rows = []
    for count, row in result["faces"].items():
        steps = (number(ms, 2) for ms in row["steps_ms"].values())
        rows.append((count, *(number(row[kind]["median"], 2) for kind in ("wall_ms", "cpu_ms")), *steps))
    header = ("faces", "ms a frame", "CPU ms", *next(iter(result["faces"].values()))["steps_ms"])
    return markdown(header, rows) + stamp(result)


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
        f"flow {result['ms_an_event']['motion']:.1f} ms, model {result['ms_an_event']['classify']:.1f} ms an event. "
        f"**A frame costs the spotter {result['spot_ms_a_frame']:.2f} ms**; the landmark network runs beside it, in a "
        f"thread of its own, and is waited for where a recording is read faster than it runs.\n\n"
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


def page() -> str:
    """What an open page costs a session."""
    result = load("page")
    rows = [
        (
            case,
            row["frames"],
            row["dropped"],
            row["not_recorded"],
            row["events"],
            number(row["latency_ms"]["total"].get("p50")),
            number(row["latency_ms"]["total"].get("p99")),
            f"{row['cpu_share']['web']:.0%}" if "web" in row["cpu_share"] else "",
        )
        for case, row in result["cases"].items()
    ]
    head = ("", "frames", "dropped", "not recorded", "events", "total p50, ms", "p99, ms", "page's share of a core")
    each = f"{result['rounds']} × {result['seconds']:g} s each, in turn"
    said = f"{each}, at {result['fps']:g} fps, {result['size']}, recorded.\n\n"
    return said + markdown(head, rows) + stamp(result)


def check() -> str:
    """The stated sensitivity against the size at which movements begin to be missed."""
    result = load("check")
    rows = [
        (
            row["unit"],
            f"{row['noise_grey']:g}",
            row["region"].replace("_", " "),
            number(row["stated_px"], 2),
            number(row["f1_falls_px"], 2),
            number(row["ratio"], 2),
        )
        for row in result["rows"]
    ]
    within = sum(row["ratio"] is not None and abs(row["ratio"] - 1) <= result["within"] for row in result["rows"])
    asked = result["settings"]
    head = ("movement", "noise, grey levels", "strongest region", "stated, px", "F1 < 0.9 at, px", "ratio")
    said = (
        f"{within} of {len(rows)} within {result['within']:.0%}; {asked['clips']} × {asked['clip_s']:g} s a step, "
        f"{asked['fps']:g} fps, {asked['split']} seeds.\n\n"
    )
    return said + markdown(head, rows) + stamp(result)


def own() -> str:
    """The lab's day: before and after training on one's own reviewed recordings."""
    result = load("own")
    rows = [
        (
            f"{metric.upper()}, {name}",
            number(row["before"], 3),
            number(row["after"], 3),
            f"{row['difference']:+.3f}",
            f"{row['low']:+.3f} … {row['high']:+.3f}",
            f"{row['p_value']:.4f}",
        )
        for name, found in (("fine-tuned", result["tuned"]), ("from scratch", result["scratch"]))
        for metric, row in found.items()
    ]
    reviewed = ", ".join(f"{count} {name}" for name, count in result["reviewed"].items())
    said = (
        f"{result['subjects']} generated people, {result['seconds_each']:g} s each at {result['fps']:g} fps; "
        f"{result['movements']} movements, reviewed: {reviewed}; {len(result['seeds'])} seeds; "
        f"{sum(result['seconds'].values()) / 60:.0f} minutes in all.\n\n"
    )
    head = ("each person left out in turn", "laenet-composite", "after training", "difference", "95 %", "p")
    return said + markdown(head, rows) + stamp(result)


def cameras() -> str:
    """Machine-vision cameras without hardware, beside V4L2."""
    result = load("cameras")
    rows = []
    for kind in ("genicam", "gentl", "v4l2"):
        row = result[kind]
        exact = row.get("kept_back") is not None
        lost = (
            f"{row['holes']} of {row['kept_back']} kept back, {row['wrong_numbers']} wrong" if exact else row["holes"]
        )
        waited = row["exposure_to_slot_ms"]
        rows.append(
            (
                f"{kind}:" if kind != "v4l2" else kind,
                number(row["fps"]),
                row["frames"],
                lost,
                f"{row['cpu_us_reader']:.0f}",
                f"{number(waited['p50'])}, {number(waited['p99'])}",
            )
        )
    head = ("", "fps", "frames", "frames missing", "reader's CPU, µs a frame", "exposure → ring p50, p99, ms")
    said = f"{result['fps_asked']:g} fps asked, {'x'.join(map(str, result['size']))}.\n\n"
    return said + markdown(head, rows) + stamp(result)


def lsl() -> str:
    """Markers of a session as another process receives them."""
    result = load("cameras")
    row = result["lsl"]
    took = row["decided_to_received_ms"]
    rows = [
        ("frames", row["frames"]),
        ("dropped", sum(row["dropped_by"].values())),
        ("events, markers received", f"{row['events']}, {row['received']}"),
        ("decided → received p50, p95, p99, ms", ", ".join(number(took[key]) for key in ("p50", "p95", "p99"))),
    ]
    said = f"{row['seconds'] / 60:.0f} minutes with `--lsl` at {result['fps_asked']:g} fps.\n\n"
    return said + markdown(("", ""), rows) + stamp(result)


def habits() -> str:
    """Each real-time habit with and without."""
    result = load("latency_habits")
    rows = [
        (
            name,
            row["dropped"],
            number(row["frame_ms"]["p99"], 2),
            number(row["frame_ms"]["max"], 2),
            number(row["latency_ms"]["classify"].get("p99"), 2),
            number(row["latency_ms"]["total"].get("p50")),
            number(row["latency_ms"]["total"].get("p99")),
            number(row["cores_used"], 2),
            "; ".join(text.partition(": ")[2] for text in row["refused"]) or "–",
        )
        for name, row in result["habits"].items()
    ]
    header = ("", "dropped", "frame p99", "frame max", "classify p99", "total p50", "total p99", "cores", "refused")
    return markdown(header, rows) + stamp(result)


def start_up() -> str:
    """Seconds from the command until each stage is warm."""
    result = load("latency")
    rows = [(name.replace("_", " "), number(value)) for name, value in result["start_up_s"].items()]
    return markdown(("ready after", "s"), rows) + stamp(result)
