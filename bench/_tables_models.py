"""The tables of flow, labels and recognition."""

from __future__ import annotations

import statistics
from typing import Any

from bench._table_parts import load, markdown, number, stamp

_KEPT = " †"
"""After the name of a row that was not measured again."""


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


def real_flow() -> str:
    """How near TV-L1 comes to matched patches of real faces, with light taken out and left in."""
    result = load("real_flow")
    names = list(result["rows"][0]["error"])
    rows = [
        (f"`{row['video']}`", row["pairs"], *(number(row["error"][name], 2) for name in names))
        for row in result["rows"]
    ]
    return markdown(("", "pairs", *names), rows) + stamp(result)


def _on_a_gpu() -> str:
    """The CUDA twin beside the CPU's on the machine that had a GPU."""
    result = load("flow_gpu")
    found, times = result["gpu"], result["gpu"]["milliseconds"]
    batches = ", ".join(f"{name} {entry['pairs_per_s']} pairs a second" for name, entry in list(times.items())[1:])
    cpu_ms = statistics.median(result["cpu_live_ms"].values())
    return (
        f"\nOn an {found['device']}: one pair {number(times['one pair']['median'], 2)} ms from host to host "
        f"(the CPU twin there: {number(cpu_ms, 2)} ms), {batches}; no flow further than "
        f"{found['largest_mean_difference_px']:.0e} px from the CPU's on average. "
        f"Commit `{result['machine']['commit']}`.\n"
    )


def _median_error(rows: dict[str, dict[str, float]], name: str) -> str:
    column = name.removesuffix(" DualTVL1")
    values = [row[column] for row in rows.values() if column in row]
    return number(statistics.median(values), 3) if values else "–"


UNITS = {
    "AU12": "both corners of the mouth up",
    "AU1+2": "brows up",
    "AU4": "brows down and together",
    "AU15": "corners of the mouth down",
    "AU9": "nose wrinkled",
    "AU10": "upper lip up",
    "AU14": "both corners of the mouth drawn in, dimples",
    "U12": "one corner of the mouth up",
    "U14": "one corner drawn in",
    "AU1+4": "inner ends of the brows up and together",
}


def labels() -> str:
    """What each model calls each generated action unit."""
    result = load("labels")
    columns = ("negative", "positive", "surprise", "uncertain")
    rows = [
        (name, model.removesuffix("-composite"), unit, *(counts.get(label, 0) for label in columns))
        for name, models in result["sets"].items()
        for model, units in models.items()
        for unit, counts in sorted(units.items())
    ]
    return markdown(("clips", "model", "action unit (its class)", *columns), rows, 3) + stamp(result)


def by_unit() -> str:
    """Movements that the classes can't tell apart: action units on held-out faces, right of all, what most got."""
    result = load("labels")
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, models in result["sets"].items():
        for model, units in models.items() if name.startswith("heldout") else ():
            for unit, counts in units.items():
                found.setdefault(unit, {})[model] = counts
    models_ = sorted({model for calls in found.values() for model in calls}, reverse=True)
    rows = []
    for unit, description in UNITS.items():
        for known, calls in found.items():
            au, _, label = known.rstrip(")").partition(" (")
            if au == unit:
                rows.append((f"{au}: {description}", label, *(_call(calls.get(model, {}), label) for model in models_)))
    header = ("movement", "its class", *(f"right, `{model.removesuffix('-composite')}`" for model in models_))
    return markdown(header, rows, 2) + stamp(result)


def _call(counts: dict[str, int], label: str) -> str:
    """ "8 of 10", and the label that most got where that is another."""
    if not counts:
        return "–"
    often = max(counts, key=lambda name: counts[name])
    return f"{counts.get(label, 0)} of {sum(counts.values())}" + ("" if often == label else f", called {often}")


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


def faint() -> str:
    """What share of faint movements is named right, by how far they stand out of the noise."""
    result = load("faint")
    rows = [
        (
            f"{one['from']:g} to {one['to']:g}" if one["to"] else f"{one['from']:g} and more",
            one["maps"],
            *(number(value, 2) for value in one["alike"]),
            *(f"{one['right'][name] * one['maps']:.3g}" for name in ("laenet", "fusion")),
        )
        for one in result["bins"]
    ]
    header = ("`spot_score`", "spotted", "u", "v", "strain", "right: laenet", "right: fusion")
    return markdown(header, rows) + stamp(result)


def recognition() -> str:
    """LOSO rows of the models, every one measured here."""
    result = load("recognition")
    rows = []
    for row in result["rows"]:
        cells = []
        for part in ("full", "smic", "casme2", "samm"):
            found = row["metrics"].get(part)
            many = row["seeds"] > 1 and part == "full"
            cells.append(" / ".join(mean_and_spread(found[name], many) for name in ("uf1", "uar")) if found else "–")
        accuracy = mean_and_spread(row["metrics"]["full"]["acc"], row["seeds"] > 1)
        name = row["model"] + _KEPT * ("commit" in row)
        rows.append((name, row["parameters"], row["seeds"], cells[0], accuracy, *cells[1:]))
    header = ("model", "parameters", "seeds", "full UF1 / UAR", "accuracy", "SMIC", "CASME II", "SAMM")
    return markdown(header, rows) + stamp(result) + _kept(result["rows"])


def calibrated() -> str:
    """What the scores mean on people who were left out, three ways, against the aims."""
    result, rows = load("recognition"), []
    for row in result["rows"]:
        found = row.get("calibration")
        if found is None:
            continue
        old = "ece_tempered" not in found  # before the share of noise
        names = ("ece_raw", "ece" if old else "ece_tempered", "" if old else "ece", "ece_biased")
        errors = [number(found[name], 3) if name else "–" for name in names]
        surest = [number(found[name]["0.7"], 3) for name in ("selective_raw", "selective", "selective_biased")]
        fitted = "inner folds" if found["nested"] else "the other subjects"
        rows.append((row["model"] + _KEPT * ("commit" in row), fitted, " / ".join(errors), " / ".join(surest)))
    header = (
        "model", "fitted on", "calibration error: raw / temperature / and noise / biases",
        "right of the surest 70 %: raw / calibrated / biases",
    )  # fmt: skip
    return markdown(header, rows, 2) + stamp(result) + _kept([row for row in result["rows"] if row.get("calibration")])


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
        first = test["model"] + _KEPT * ("commit" in test)
        tests.setdefault(f"{first} − {test['against']}", {})[test["metric"]] = test
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
    result = load("recognition")
    return markdown(("", "UF1 (95 % interval)", "UAR", "accuracy"), rows) + stamp(result) + _kept(result["rows"])


def _kept(rows: list[dict[str, Any]]) -> str:
    """On rows that were not measured again."""
    commits = sorted({row["commit"] for row in rows if "commit" in row})
    if not commits:
        return ""
    return f"†: measured at {', '.join(f'`{one}`' for one in commits)}, not again since.\n"


def mean_and_spread(metric: dict[str, float], spread: bool) -> str:
    """A metric over seeds, with ``spread`` its standard deviation too."""
    return f"{metric['mean']:.3f}" + (f" ± {metric['std']:.3f}" if spread else "")
