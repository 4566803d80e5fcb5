"""``report.html``: one file, no network: tables, confusion matrices, learning curves, subjects, right and
wrong maps.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from offline.datasets.flowmaps import MapSet
from offline.evaluation import report_calibration
from offline.evaluation.metrics import NAMES, confusion, metrics
from offline.evaluation.published import LEAKY_NOTE, ROWS, Published
from offline.evaluation.results import Results
from offline.files import write_bytes
from offline.training.fit import Fitted
from offline.training.protocol import STILL_IN_VIEW
from offline.zoo import ZOO

PARTS = ("full", "smic", "casme2", "samm")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2330}
table{border-collapse:collapse;margin:.6rem 0}
td,th{border:1px solid #cfd6e0;padding:.25rem .6rem;text-align:right}
th:first-child,td:first-child{text-align:left}
.row{display:flex;flex-wrap:wrap;gap:1.6rem}
.warn{background:#fff4d6;padding:.5rem .8rem;border-left:4px solid #d99b00}
.leaky{color:#8a5a00}
.ours td{font-weight:600}
figure{margin:0}
figcaption{font-size:.8rem}
.maps{display:grid;grid-template-columns:6rem 1fr;gap:.8rem}
.maps figure{width:10.5rem}
img.map{image-rendering:pixelated;width:84px;height:84px}
small{color:#556}
"""
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title><style>{{ style | safe }}</style></head><body>
<h1>{{ title }}</h1>
{% for p in intro %}<p>{{ p }}</p>
{% endfor %}{% for p in warnings %}<p class="warn">{{ p }}</p>
{% endfor %}{% for section in sections %}<h2>{{ section.title }}</h2>
{{ section.body | safe }}
{% endfor %}</body></html>
"""


def write(folder: Path, summary: Results, data: MapSet, fitted: list[Fitted]) -> None:
    """Write ``report.html`` of a run."""
    scores = fitted[0].scores
    sections = [
        ("Metrics", _metric_table(summary)),
        ("Confusion", _confusions(summary)),
        ("Beside published figures", published_table({summary.title: summary})),
        ("Learning curves", _curves(fitted, data.label)),
    ]
    if summary.beside_bundle is not None:
        sections.append(("Beside the bundle that is there", _beside(summary)))
    if summary.calibration is not None:
        sections.append(("What the scores mean", report_calibration.section(summary.calibration)))
    sections.append((f"Subjects (seed {summary.seeds[0]})", _subjects(scores, data)))
    if data.maps.ndim == 4 and data.maps.shape[-1] in (1, 3) and data.maps.max() <= 255 and data.maps.min() >= 0:
        sections.append((f"Maps called right and wrong (seed {summary.seeds[0]})", _examples(scores, data)))
    write_page(
        folder / "report.html",
        f"{summary.title} on {summary.dataset}",
        _intro(summary),
        _warnings(summary),
        sections,
    )


def write_page(
    file: Path, title: str, intro: list[str], warnings: list[str], sections: Iterable[tuple[str, str]]
) -> None:
    """Write one self-contained HTML page; section bodies are HTML, the rest is escaped."""
    from jinja2 import Environment

    parts = [{"title": name, "body": body} for name, body in sections]
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    page = template.render(title=title, style=_STYLE, intro=intro, warnings=warnings, sections=parts)
    write_bytes(file, page.encode())


def _intro(summary: Results) -> list[str]:
    return [
        f"{summary.parameters:,} parameters; protocol {summary.protocol}; {seeds(summary)}; "
        f"training took {summary.seconds:.1f} s. {_selection(summary)}",
        *(f"The networks were {first}." for first in (summary.pretraining, summary.started) if first),
        *([_groups(summary.protocol)] if summary.protocol.startswith("subject-folds") else []),
        *_of_the_zoo(summary),
    ]


def _groups(protocol: str) -> str:
    """What K folds of subjects are, and are not."""
    return (
        f"{protocol}: the subjects were held out in {protocol.partition(':')[2]} groups; each network saw fewer "
        "people than with leave-one-subject-out (--protocol loso)."
    )


def _of_the_zoo(summary: Results) -> list[str]:
    model = summary.model
    if model not in ZOO:
        return []
    published = ZOO[model].published or ZOO[model].accuracy
    settled = STILL_IN_VIEW if summary.protocol == "nested" else ZOO[model].settled
    return [settled, *([f"Its published row: {published}."] if published else [])]


def _selection(summary: Results) -> str:
    if not summary.chosen:
        return "The run chose nothing, on test subjects or others: the last epoch counts."
    counts = ", ".join(f"{name} {count}×" for name, count in sorted(summary.chosen.items(), key=lambda c: -c[1]))
    return (
        f"Each fold chose its {'settings' if summary.choices else 'variant'}, {summary.selection}: {counts}."
        if summary.selection != "none"
        else (f"Variant fixed beforehand: {counts}.")
    )


def _warnings(summary: Results) -> list[str]:
    found = []
    if summary.leak:
        found.append(f"This protocol leaks: {summary.leak}.")
    if summary.loso:
        honest = "Leave-one-subject-out" if summary.beside in ("", "loso") else summary.beside
        found.append(f"{honest} on the same samples: {_line(summary.loso)}.")
    if summary.warning_best_epoch_on_test:
        leaky = summary.warning_best_epoch_on_test
        found.append(
            f"Had each subject's best epoch been kept, as some papers do: UF1 {leaky['uf1']:.3f}, "
            f"UAR {leaky['uar']:.3f}. That looks at the test subject and is not a result."
        )
    return found


def _beside(summary: Results) -> str:
    old = summary.beside_bundle
    assert old is not None
    rows = comparison_rows([(summary.title, old.bundle, test) for test in old.tests])
    values = " / ".join(short(old.metrics[name]) for name in NAMES)
    said = f"{old.verdict}. {old.bundle} alone, {' / '.join(name.upper() for name in NAMES)}: {values}."
    return f"{rows}<p>This run is {html.escape(said)}</p>"


def _line(measured: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{name.upper()} {measured[name]['mean']:.4f}" for name in NAMES)


def runs_table(runs: dict[str, Results]) -> str:
    """What each run is, and its figures over everything; runs by name."""
    rows = []
    for name, run in runs.items():
        cells = [name, f"{run.parameters:,}", str(len(run.seeds)), run.dataset, run.protocol, run.selection]
        rows.append(([*cells, *measured_cells(run, "full")], ""))
    head = ["run", "parameters", "seeds", "data", "protocol", "selection", *(name.upper() for name in NAMES)]
    return _table(head, rows) + "<small>mean ± standard deviation over seeds, all data sets together</small>"


def _table(head: list[str], rows: Iterable[tuple[list[str], str]]) -> str:
    """HTML table; each row is (cells, class)."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>" for cells, kind in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _metric_table(summary: Results) -> str:
    rows = [([part, *measured_cells(summary, part)], "") for part in summary.metrics]
    return _table(["", *(name.upper() for name in NAMES)], rows) + "<small>mean ± standard deviation over seeds</small>"


def _confusions(summary: Results) -> str:
    figures = []
    for part, counts in summary.confusion.items():
        total = np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        shares = np.array(counts) / total
        rows = "".join(
            f"<tr><th>{name}</th>" + "".join(map(_shaded, shares[i], counts[i])) + "</tr>"
            for i, name in enumerate(summary.labels)
        )
        head = "".join(f"<th>{name}</th>" for name in summary.labels)
        caption = f"{part}: truth by row, all seeds together"
        figures.append(
            f"<figure><table><tr><th></th>{head}</tr>{rows}</table><figcaption>{caption}</figcaption></figure>"
        )
    return f'<div class="row">{"".join(figures)}</div>'


def _shaded(share: float, count: int) -> str:
    colour = f"rgba(48,96,192,{0.75 * share:.2f})"
    return f'<td style="background:{colour}">{share:.1%}<br><small>{count}</small></td>'


PUBLISHED_NOTES = f"† {LEAKY_NOTE}. " + "; ".join(f"‡ {row.method}: {row.note}" for row in ROWS if row.note) + "."


def published_table(runs: dict[str, Results]) -> str:
    """Runs by name and published rows: UF1/UAR in full and per data set; leaky rows are marked."""
    rows = [(ours_cells(name, run), "ours") for name, run in runs.items()]
    rows += [(published_cells(row), "leaky" if row.leaky else "") for row in ROWS]
    return _table(["UF1 / UAR", *PARTS], rows) + f"<small>{html.escape(PUBLISHED_NOTES)}</small>"


def published_cells(row: Published) -> list[str]:
    """Name, marked, then UF1 / UAR of each part."""
    mark = " †" if row.leaky else (" ‡" if row.note else "")
    return [f"{row.method} ({row.year}){mark}", *(pair(value) for value in (row.full, row.smic, row.casme2, row.samm))]


def seeds(run: Results) -> str:
    return f"{len(run.seeds)} seed{'s' * (len(run.seeds) > 1)}"


def ours_cells(name: str, run: Results) -> list[str]:
    """Name of a run, then UF1 / UAR of each part."""
    # "full" is the three sets together, as in the published rows, and nothing else
    parts = run.metrics if set(PARTS) <= set(run.metrics) else {p: m for p, m in run.metrics.items() if p != "full"}
    measured = [parts.get(part) for part in PARTS]
    name = f"{name}, here ({seeds(run)}{', ' + run.protocol if run.protocol != 'loso' else ''})"
    return [name, *(pair((m["uf1"]["mean"], m["uar"]["mean"])) if m else "–" for m in measured)]


def measured_cells(run: Results, part: str) -> list[str]:
    """Each metric: mean over seeds, and standard deviation where there are several."""
    several, measured = len(run.seeds) > 1, [run.metrics[part][name] for name in NAMES]
    return [short(m["mean"]) + (f" ± {short(m['std'])}" if several else "") for m in measured]


def short(value: float) -> str:
    """Four places, without the leading zero: .7269."""
    return f"{value:.4f}".removeprefix("0") if value >= 0 else "-" + short(-value)


def pair(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"{short(value[0])}/{short(value[1])}"


def _curves(fitted: list[Fitted], label: NDArray[np.int64]) -> str:
    """Training loss, and held-out UF1 where it was recorded, over the epochs: a line a seed."""
    losses = [one.losses for one in fitted if one.losses is not None]
    curves = [one.curves for one in fitted if one.curves is not None]
    if not losses and fitted[0].chosen is not None and str(fitted[0].chosen[0]).startswith("{"):
        return "<p>Each fold chose how long to train: there is no curve of all of them.</p>"
    if not losses:
        return "<p>Nothing here is trained in epochs: the machines are solved for, so there is no curve.</p>"
    from io import StringIO

    from matplotlib.figure import Figure

    figure = Figure(figsize=(8 if curves else 4, 3), layout="constrained")
    (left, *more) = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    for loss in losses:
        left.plot(np.arange(1, len(loss) + 1), loss, color="#3060c0", alpha=0.6, linewidth=1)
    left.set(xlabel="epoch", ylabel="training loss, mean over folds", ylim=(0, None))
    for right in more:
        _held_out(right, curves, label)
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    note = " Held-out curves are shown; nothing reads them." if curves else " No held-out curve was recorded."
    return f"{svg[svg.index('<svg') :]}<p><small>One line a seed.{note}</small></p>"


def _held_out(axes: Any, curves: list[NDArray[np.float32]], label: NDArray[np.int64]) -> None:
    for one in curves:
        tested = np.isfinite(one[0, :, 0])
        values = [metrics(confusion(label[tested], epoch[tested].argmax(-1), epoch.shape[-1]))["uf1"] for epoch in one]
        axes.plot(np.arange(1, len(values) + 1), values, color="#c04030", alpha=0.6, linewidth=1)
    axes.set(xlabel="epoch", ylabel="held-out UF1", ylim=(0, 1))


def _subjects(scores: NDArray[np.float32], data: MapSet) -> str:
    tested = np.isfinite(scores[:, 0])
    right = scores.argmax(-1) == data.label
    rows = []
    for person in np.unique(data.person[tested]):
        own = (data.person == person) & tested
        labels = np.bincount(data.label[own], minlength=len(data.labels))
        rows.append(
            (
                [str(person), str(own.sum()), f"{right[own].mean():.0%}", " / ".join(str(n) for n in labels)],
                "",
            )
        )
    return _table(["subject", "clips", "right", " / ".join(data.labels)], rows)


def _examples(scores: NDArray[np.float32], data: MapSet, each: int = 4) -> str:
    """The surest right and the surest wrong calls of each class (first seed), a row each."""
    tested = np.isfinite(scores[:, 0])
    called, sure = scores.argmax(-1), np.nan_to_num(scores.max(-1))
    rows = []
    for label, name in enumerate(data.labels):
        for right in (True, False):
            own = np.flatnonzero(tested & (data.label == label) & ((called == label) == right))
            figures = []
            for i in own[np.argsort(-sure[own], kind="stable")][:each]:
                caption = f"{'right' if right else f'called {data.labels[called[i]]}'} ({sure[i]:.2f})"
                figures.append(f"<figure>{_picture(data.maps[i])}<figcaption>{caption}</figcaption></figure>")
            if figures:
                rows.append(f'<span>{name}</span><div class="row">{"".join(figures)}</div>')
    seen = "red u, green v, blue strain" if data.maps.shape[-1] == 3 else "as the camera cuts it"
    return f'<div class="maps">{"".join(rows)}</div><small>{seen}</small>'


def _picture(one: NDArray[np.float32]) -> str:
    import cv2

    _, png = cv2.imencode(".png", np.rint(np.asarray(one, np.float32)[..., ::-1]).astype(np.uint8))
    return f'<img class="map" alt="" src="data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}">'


def print_table(console: Console, summary: Results) -> None:
    """The run's metrics, for the terminal."""
    table = Table(title=f"{summary.title} · {summary.dataset} · {summary.protocol} · {seeds(summary)}")
    table.add_column("")
    for name in NAMES:
        table.add_column(name.upper(), justify="right")
    for part in summary.metrics:
        table.add_row(part, *measured_cells(summary, part))
    console.print(table)
    if summary.beside_bundle is not None:
        for line in summary.beside_bundle.lines():
            console.print(line, highlight=False)
        console.print(f"This run is {summary.beside_bundle.verdict}.", highlight=False)
    for warning in _warnings(summary):
        console.print(warning, style="yellow", highlight=False)


def comparison_rows(rows: list[Any]) -> str:
    """HTML of paired tests: (first, second, Paired)."""
    head = ["first", "second", "metric", "difference", "95 % interval", "p", "subjects"]
    cells = [
        (
            [
                a,
                b,
                t.metric,
                f"{t.difference:+.4f}",
                f"{t.low:+.4f} … {t.high:+.4f}",
                f"{t.p_value:.4f}",
                str(t.subjects),
            ],
            "",
        )
        for a, b, t in rows
    ]
    return _table(head, cells)
