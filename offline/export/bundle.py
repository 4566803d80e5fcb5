"""From a run to the bundle that the camera serves: what was trained on everybody, calibration, threshold, card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.evaluation import calibration
from offline.evaluation.results import Results
from offline.export import litert
from offline.training import fit, nested
from offline.training.protocol import STILL_IN_VIEW
from realtime.recognition.bundle import ThresholdCard
from realtime.vision.features import FeatureSpec

RIGHT = 0.8
"""Share of the accepted clips that are to be right."""
MOST_REJECTED = 1 / 3
AGREEMENT = {
    False: {"still": (0.79, 0.84, 0.53), "living": (0.71, 0.81, 0.50)},
    True: {"still": (0.84, 0.90, 0.59), "living": (0.77, 0.86, 0.55)},
}
"""Whether SAMM's maps were cut anew → head → correlation (u, v, strain) of the camera's maps with published ones that
were put back on portraits, subjects left out of the choice of settings: ``bench/results/labels_real_motion.json``.
"""
LICENCE = (
    "Weights: Apache-2.0 like the code. They were learnt from data under research licences, "
    "which may limit their use; not for judging people."
)


def choose_threshold(scores: NDArray[np.float64], label: NDArray[np.int64]) -> ThresholdCard:
    """Score below which a label is "uncertain": the smallest that leaves RIGHT of the accepted clips right.

    scores: (n, 3) of training subjects, each by a network that had not seen the subject. At most
    MOST_REJECTED is rejected: where the aim is out of reach, the threshold is that quantile.
    """
    best, right = scores.max(1), scores.argmax(1) == label
    limit = float(np.quantile(best, MOST_REJECTED))
    value = limit
    for candidate in np.concatenate([[0.0], np.sort(best)]):
        if candidate > limit:
            break
        if right[best >= candidate].mean() >= RIGHT:
            value = float(candidate)
            break
    accepted = best >= value
    text = (
        f"held-out scores of the training subjects (leave-one-subject-out): {accepted.mean():.1%} of the clips "
        f"reach it, {right[accepted].mean():.1%} of these are right; of all, {right.mean():.1%}"
    )
    return ThresholdCard(round(value, 4), text)


def write(
    folder: Path,
    job: fit.Job,
    state: Path,
    name: str,
    data: MapSet,
    loso: list[fit.Fitted],
    summary: Results,
) -> Path:
    """Write the bundle of a run. loso: the fitted seeds; the first one's network is served."""
    scores = loso[0].scores.astype(np.float64)
    # probabilities are made to mean what they say, on held-out scores of the very subjects the network is
    # trained on
    by = calibration.meaning(scores, data.label)
    factor, noise = (round(float(one), 4) for one in by)
    metrics: dict[str, Any] = {"seeds": summary.seeds}
    metrics |= {"full": summary.loso} if summary.leak else summary.metrics
    counts = {str(d): int(np.sum(np.array(data.dataset) == d)) for d in sorted(set(data.dataset))}
    return litert.write_bundle(
        folder,
        job.entry.trainer.serve(job, state, summary.seeds[0], factor),
        noise=noise,
        name=name,
        parameters=fit.parameters(job, loso[0]),
        trained_on=f"{len(data)} feature maps of {len(set(data.person))} subjects: "
        + ", ".join(f"{name} {count}" for name, count in counts.items())
        + "".join(f"; {first}" for first in (summary.pretraining, summary.started) if first),
        protocol=_protocol(job, loso[0], summary),
        metrics=metrics,
        threshold=choose_threshold(calibration.meant(scores, by), data.label),
        licence=LICENCE,
        recipe=summary.config["recipe"] | {"calibration": factor},
        notes=_notes(job, data, summary.leak),
        shown=job.shown,
        labels=data.labels,
    )


def _protocol(job: fit.Job, fitted: fit.Fitted, summary: Results) -> str:
    honest, seed = summary.beside if summary.leak else summary.protocol, summary.seeds[0]
    how = "leave-one-subject-out" if honest in ("", "loso", "nested") else f"{honest}, not leave-one-subject-out"
    metrics, served = [f"metrics: {how}"], ["network: trained on all subjects"]
    if fitted.losses is not None:
        metrics.append("last epoch")
    if job.entry.trainer.seeded:
        served.append(f"seed {seed}")
    if fitted.chosen is None:
        metrics.append("the run chose nothing")
    elif job.selection == "none":
        metrics.append(f"variant {job.variant}")
    else:
        what, own = "variant", str(fitted.chosen[-1])
        if job.nested:
            what, own = "settings", nested.said(nested.decoded(own))
        metrics.append(f"{job.selection} choose each fold's {what}")
        served.append(f"{what} {own} by inner folds over all")
    return f"{', '.join(metrics)}; {', '.join(served)}"


def _notes(job: fit.Job, data: MapSet, leak: str) -> tuple[str, ...]:
    settled = STILL_IN_VIEW if job.nested else job.entry.settled
    notes = [settled] if settled else []
    if leak:
        notes.append(f"Trained beside a run of a protocol that leaks ({leak}); the metrics here are not that run's.")
    notes += job.entry.trainer.notes(job)
    if job.shown.name != "flow-map":
        return tuple(notes)
    notes += [
        "Each channel of a map is stretched to 0..255, so that a still face gives a map like any other: "
        "the spotter must gate, and the threshold tells uncertain labels apart.",
    ]
    if not data.feature_digest:
        notes.append(_frame(data.recut))
    return tuple(notes)


def _frame(recut: tuple[str, ...]) -> str:
    """How far the frame of maps that others published is the camera's."""
    spec, samm = FeatureSpec(), "were framed otherwise and have been cut anew" if recut else "are framed otherwise"
    figures = "; ".join(
        f"{head} head u {u:.2f}, v {v:.2f}, strain {strain:.2f}"
        for head, (u, v, strain) in AGREEMENT[bool(recut)].items()
    )
    return (
        "Trained on maps published by others. The camera's are framed as those of CASME II and SMIC are: cut by the "
        f"eyes, {spec.eyes_width:g} of their distances wide and {spec.eyes_height:g} high, no eye mask; SAMM's {samm}. "
        "Correlation of the camera's maps with published ones put back on portraits, held-out "
        f"subjects: {figures} (python bench/labels.py --real-motion)."
    )
