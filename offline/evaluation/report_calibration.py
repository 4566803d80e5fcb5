"""The report's section on what the scores mean: reliability, and accuracy against coverage."""

from __future__ import annotations

from io import StringIO

from offline.evaluation.calibration import Calibration


def section(found: Calibration) -> str:
    """HTML: two figures and a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0.3, 1], [0.3, 1], color="#99a", linewidth=1)
    most = max(one.clips for one in found.bins)
    sizes = [4 + 90 * one.clips / most for one in found.bins]
    left.scatter([one.sure for one in found.bins], [one.right for one in found.bins], s=sizes, color="#3060c0")
    left.set(xlabel="score of the label", ylabel="share right", xlim=(0.3, 1), ylim=(0, 1))
    coverages = [float(share) for share in found.selective]
    right.plot(coverages, list(found.selective.values()), color="#c04030", marker="o", markersize=3, linewidth=1)
    right.set(xlabel="share of the clips that get a label", ylabel="share right", ylim=(0.5, 1))
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return (
        f"{svg[svg.index('<svg') :]}<p>Expected calibration error {found.ece:.3f} ({found.ece_raw:.3f} as the "
        f"scores are{_also(found)}). Of the surest 70 % are right: {found.selective['0.7']:.1%}.</p>"
        f"<p><small>Each subject's temperature and share of noise were fitted {_where(found)}. "
        "A dot is as large as its number of clips.</small></p>"
    )


def _where(found: Calibration) -> str:
    return "in inner folds of the training subjects" if found.nested else "on the other subjects' held-out scores"


def _also(found: Calibration) -> str:
    tempered = "" if found.ece_tempered is None else f", {found.ece_tempered:.3f} with temperature alone"
    return tempered + ("" if found.ece_biased is None else f", {found.ece_biased:.3f} with a bias for each class")
