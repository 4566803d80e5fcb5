"""TV-L1 twins against OpenCV in one run: milliseconds (interleaved medians, one thread each) and end-point error.

    python bench/flow.py [--rounds N] [--json FILE] [--backend auto|cpu|cuda]

Fields are exactly known (``_flow_fields.py``): translations, rotations, action units of the generated face, without and
with sensor noise. The GPU part runs where a GPU is at hand, and says so where none is.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import _flow_fields as fields  # noqa: E402
import _harness as harness  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from realtime.errors import BackendError  # noqa: E402
from realtime.vision import flow  # noqa: E402
from realtime.vision.features import maps  # noqa: E402
from realtime.vision.flow import DenseFlow, TvL1Params, cpu, kernels, reference, strain, tvl1  # noqa: E402  # noqa: E402

PRESETS = {"ipol": TvL1Params.ipol(), "opencv": TvL1Params.opencv(), "live": TvL1Params.live()}
NOISE = 1.4
"""Standard deviation of the sensor noise, grey levels."""
TIMED = ("AU12 1 px", "AU4 2 px", "rotation 1.5°")


def main() -> int:
    """Run all, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "flow.json")
    parser.add_argument("--backend", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    clean, noisy = list(fields.pairs()), list(fields.pairs(NOISE))
    result: dict[str, Any] = {"machine": harness.machine(), "size": [fields.HEIGHT, fields.WIDTH], "threads": 1}
    result["warm_up_s"] = timed_s(lambda: [flow.warm_up(params) for params in PRESETS.values()])
    result["milliseconds"] = compare_speed(clean, noisy, arguments.rounds)
    result["end_point_error_px"] = {"clean": errors(clean), f"noise {NOISE:g}": errors(noisy)}
    result["strain_error"] = strain_errors(clean)
    result["stages_us"] = stages(noisy, arguments.rounds)
    result["dense"] = dense(arguments.rounds)
    result["gpu"] = gpu(clean, arguments.backend, arguments.rounds)
    result["machine"]["load_1min_after"] = harness.machine()["load_1min"]
    show(result)
    print(f"written: {harness.write_json(arguments.json, result)}")
    return 0


def timed_s(run: Any) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return round(time.perf_counter() - start, 3)


def compare_speed(clean: list[fields.Pair], noisy: list[fields.Pair], rounds: int) -> dict[str, Any]:
    """Median ms of a pair per method and test pair, and OpenCV's time over ours."""
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    out = {}
    for label, pairs in (("", clean), (" + noise", noisy)):
        for pair in (pair for pair in pairs if pair.name in TIMED):
            cases = {"OpenCV DualTVL1": lambda p=pair: solver.calc(p.first, p.second, None)}
            for name, params in PRESETS.items():
                cases[name] = lambda p=pair, q=params: tvl1(p.first, p.second, q)
            times = harness.interleaved_ms(cases, rounds)
            theirs = times["OpenCV DualTVL1"]["median"]
            for name in PRESETS:
                times[name]["times_opencv"] = round(theirs / times[name]["median"], 1)
            out[pair.name + label] = times
    return out


def errors(pairs: list[fields.Pair]) -> dict[str, dict[str, float]]:
    """Mean end-point error per field: against the truth for each method, and between methods."""
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    out = {}
    for pair in pairs:
        theirs = solver.calc(pair.first, pair.second, None)
        found = {name: tvl1(pair.first, pair.second, params) for name, params in PRESETS.items()}
        naive = {name: reference.tvl1(pair.first, pair.second, PRESETS[name]) for name in ("ipol", "opencv")}
        row = {"OpenCV": fields.end_point_error(theirs, pair.field)}
        row |= {name: fields.end_point_error(each, pair.field) for name, each in found.items()}
        row |= {f"naive {name}": fields.end_point_error(each, pair.field) for name, each in naive.items()}
        row |= {f"{name} from naive": fields.end_point_error(found[name], each) for name, each in naive.items()}
        row["opencv from OpenCV"] = fields.end_point_error(found["opencv"], theirs)
        row["live from ipol"] = fields.end_point_error(found["live"], found["ipol"])
        out[pair.name] = {name: round(value, 4) for name, value in row.items()}
    return out


def strain_errors(pairs: list[fields.Pair]) -> dict[str, dict[str, float]]:
    """Strain of the known field by differences against that of the found flow: mean absolute difference, peak."""
    inner = np.s_[fields.RIM_PX : -fields.RIM_PX, fields.RIM_PX : -fields.RIM_PX]
    out = {}
    for pair in pairs:
        true, found = strain(pair.field)[inner], strain(tvl1(pair.first, pair.second))[inner]
        values = {"true_peak": true.max(), "found_peak": found.max(), "mean_error": np.abs(found - true).mean()}
        out[pair.name] = {name: round(float(value), 4) for name, value in values.items()}
    return out


def stages(pairs: list[fields.Pair], rounds: int) -> dict[str, float]:
    """Median µs of the parts of one ``live`` solve and of one feature map."""
    pair = next(pair for pair in pairs if pair.name == TIMED[0])
    params = TvL1Params.live()
    work = cpu.workspace(fields.HEIGHT, fields.WIDTH, params)
    landmarks = np.random.default_rng(0).uniform(20, 120, (68, 2))
    low, gain = cpu.grey_range(pair.first, pair.second)
    found = tvl1(pair.first, pair.second, params)
    cases = {
        "grey range": lambda: cpu.grey_range(pair.first, pair.second),
        "load, smooth, pyramid (one image)": lambda: work.load(pair.second, kernels.SOURCE, low, gain),
        "solve, all levels": lambda: work.solve(kernels.COLD),
        "tvl1 whole": lambda: tvl1(pair.first, pair.second, params),
        "strain": lambda: strain(found),
        "map from flow": lambda: maps.map_from_flow(found, landmarks),
        "feature map whole": lambda: maps.feature_map(pair.first, pair.second, landmarks),
    }
    times = harness.interleaved_ms(cases, 4 * rounds)
    out = {name: round(1000 * each["median"], 1) for name, each in times.items()}
    work.load(pair.first, kernels.TARGET, low, gain)
    return out | {"iterations, all levels": work.solve(kernels.COLD)}


def dense(rounds: int) -> dict[str, Any]:
    """Warm-started flow of 40 frames (AU12 rising to 2 px in 150 ms at 200 fps, noise) against the first."""
    frames, truth = movement()
    running = DenseFlow(frames[0])

    def play() -> None:
        running.reset(frames[0])
        for frame in frames:
            running.push(frame)

    times = harness.interleaved_ms({"play": play}, rounds)["play"]
    running.reset(frames[0])
    pushed = [fields.end_point_error(running.push(frame), field) for frame, field in zip(frames, truth, strict=True)]
    cold = [fields.end_point_error(tvl1(frames[0], frame), field) for frame, field in zip(frames, truth, strict=True)]
    return {
        "frames_per_s": round(1000 * len(frames) / times["median"]),
        "ms_per_frame": round(times["median"] / len(frames), 4),
        "mean_end_point_error_px": round(float(np.mean(pushed)), 4),
        "cold_live_mean_end_point_error_px": round(float(np.mean(cold)), 4),
    }


def movement() -> tuple[list[Any], list[Any]]:
    """Frames and their true fields, seen from the first frame."""
    pair = next(pair for pair in fields.unit_pairs() if pair.name == "AU12 2 px")
    y, x = np.mgrid[: fields.HEIGHT, : fields.WIDTH].astype(np.float32)
    rng = np.random.default_rng(5)
    frames, truth = [], []
    for progress in np.minimum(np.arange(40) / 30, 1.0):
        field = pair.field * np.float32(progress**3 * (10 - 15 * progress + 6 * progress**2))
        back = field.copy()
        for _ in range(4):  # the moved frame at x shows the first one at x − back, back(x) = field(x − back)
            at = (x - back[..., 0], y - back[..., 1])
            back = np.dstack([cv2.remap(field[..., k], *at, cv2.INTER_LINEAR) for k in range(2)])
        image = cv2.remap(
            pair.first.astype(np.float32), x - back[..., 0], y - back[..., 1], cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        frames.append(np.rint(image + rng.normal(0, NOISE, image.shape)).clip(0, 255).astype(np.uint8))
        truth.append(field)
    return frames, truth


def gpu(pairs: list[fields.Pair], backend: str, rounds: int) -> dict[str, Any]:
    """One pair host to host, batches of 64 and 512, agreement with the CPU twin; or the reason why not."""
    try:
        chosen, reason = flow.resolve_backend(backend)
    except BackendError as error:
        return {"measured": False, "reason": str(error)}
    if chosen != "cuda":
        return {"measured": False, "reason": reason}
    from realtime.vision.flow import cuda

    params = TvL1Params.live()
    one = pairs[7]
    cases = {"one pair": lambda: tvl1(one.first, one.second, params, "cuda")}
    for size in (64, 512):
        first = np.stack([pairs[k % len(pairs)].first for k in range(size)])
        second = np.stack([pairs[k % len(pairs)].second for k in range(size)])
        cases[f"batch of {size}"] = lambda a=first, b=second: cuda.solver().solve(a, b, params)
    times = harness.interleaved_ms(cases, rounds)
    for size in (64, 512):
        entry = times[f"batch of {size}"]
        entry["pairs_per_s"] = round(1000 * size / entry["median"])
    apart = [
        fields.end_point_error(tvl1(p.first, p.second, params, "cuda"), tvl1(p.first, p.second, params)) for p in pairs
    ]
    return {"measured": True, "device": reason, "milliseconds": times, "largest_mean_difference_px": max(apart)}


def show(result: dict[str, Any]) -> None:
    """The tables on the terminal."""
    console = Console(width=140)
    speed = Table(title="ms a pair (median; OpenCV's time over ours)")
    speed.add_column("pair")
    for name in ("OpenCV DualTVL1", *PRESETS):
        speed.add_column(name, justify="right")
    for pair, times in result["milliseconds"].items():
        ours = [f"{times[name]['median']:.2f} ({times[name]['times_opencv']:.0f}×)" for name in PRESETS]
        speed.add_row(pair, f"{times['OpenCV DualTVL1']['median']:.1f}", *ours)
    console.print(speed)
    for label, rows in result["end_point_error_px"].items():
        columns = list(next(iter(rows.values())))
        table = Table(title=f"mean end-point error, px ({label})")
        for column in ("field", *columns):
            table.add_column(column, justify="right" if column != "field" else "left")
        for name, row in rows.items():
            table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
        console.print(table)
    for part in ("strain_error", "stages_us", "dense", "gpu"):
        console.print(part, result[part])


if __name__ == "__main__":
    sys.exit(main())
