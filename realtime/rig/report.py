"""The rig's figures for people: a table in the terminal, and a page (``--report``) that needs nothing but a browser."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from realtime import __version__
from realtime.errors import UserError, without_passwords
from realtime.rig.figures import Figures

_COLOUR = {"good": "green", "usable": "yellow", "not for micro-expressions": "red"}


def rows(f: Figures) -> list[tuple[str, str]]:
    """(what, figure) in the order of the table."""
    asked = f", asked {f.fps_requested:g}" if f.fps_requested else ""
    exposure = "the camera does not say"
    if f.exposure_ms is not None:
        chosen = {True: ", automatic", False: ", set by hand", None: ""}[f.exposure_auto]
        exposure = f"{f.exposure_ms:.2f} ms{chosen}"
    flicker = f"{f.flicker_percent:.2f} % at {f.flicker_hz:.1f} Hz" if f.flicker_percent else "none seen"
    face = "none"
    if f.face_width_px is not None:
        face = f"{f.face_width_px:.0f} px wide, in {f.face_percent:.0f} % of the frames"
    found = [
        ("source", f"{f.source}: {f.detail}"),
        ("rate", f"{f.fps_measured:.2f} fps, granted {f.fps_granted:g}{asked}"),
        ("jitter", f"{f.jitter_ms:.3f} ms, 99 % within {f.jitter_p99_ms:.3f} ms of the period"),
        (
            "frames",
            f"{f.frames} in {f.seconds:.1f} s, {f.lost} lost ({f.lost_percent:.2g} %), {f.left_out} not analysed",
        ),
        ("exposure", exposure),
        ("brightness", f"{f.brightness:.0f} of 255; {f.dark_percent:.1f} % black, {f.bright_percent:.1f} % white"),
        ("sensor noise", "unknown" if f.noise_grey is None else f"{f.noise_grey:.2f} grey levels"),
        ("flicker", flicker),
        ("blur", "unknown" if f.blur is None else f"{f.blur:.2f} (0 sharp, 1 blurred)"),
        ("face", face),
    ]
    return [(what, without_passwords(text)) for what, text in found]


def show(f: Figures, console: Console) -> None:
    """Print it."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for what, text in rows(f):
        table.add_row(what, text)
    for name, px in f.sensitivity_px.items():
        table.add_row(f"least {name}", f"{px:.2f} px")
    console.print(table)
    console.print(f"verdict: {f.verdict}", style=_COLOUR[f.verdict])
    for number, advice in enumerate(f.advice, 1):
        console.print(f"  {number}. {advice}", highlight=False)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>merealtime check: {title}</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#1c1c1e;background:#fff}}
table{{border-collapse:collapse;width:100%}}th{{text-align:left;font-weight:600;padding:.25rem 1rem .25rem 0;
vertical-align:top;white-space:nowrap}}td{{padding:.25rem 0}}
.verdict{{font-size:1.3rem;font-weight:700;padding:.5rem .8rem;border-left:.5rem solid {colour};background:#f4f4f5}}
.bar{{height:.8rem;background:#3b82f6;min-width:2px}}td.size{{width:60%}}footer{{color:#666;margin-top:2rem}}
@media(prefers-color-scheme:dark){{body{{background:#161618;color:#eee}}.verdict{{background:#232326}}footer{{color:#aaa}}}}
</style>
<h1>Will this rig do?</h1>
<p class="verdict">{verdict}</p>
{advice}
<h2>What was measured</h2>
<table>{rows}</table>
<h2>The smallest movement that would be reported</h2>
<p>Pixels on a face 152 px wide, from the noise of each region on this face.</p>
<table>{regions}</table>
<footer>merealtime {version}, {when}</footer>
</html>
"""
_HEX = {"good": "#16a34a", "usable": "#d97706", "not for micro-expressions": "#dc2626"}


def write(f: Figures, path: Path) -> None:
    """Write the page. UserError where that can't be done."""
    widest = max([*f.sensitivity_px.values(), 1e-9])
    regions = "".join(
        f'<tr><th>{html.escape(name)}<td>{px:.2f} px<td class="size">'
        f'<div class="bar" style="width:{100 * px / widest:.0f}%"></div></tr>'
        for name, px in f.sensitivity_px.items()
    )
    steps = "".join(f"<li>{html.escape(advice)}" for advice in f.advice)
    text = _PAGE.format(
        title=html.escape(without_passwords(f.source)),
        colour=_HEX[f.verdict],
        verdict=html.escape(f.verdict),
        advice=f"<h2>What to change, first things first</h2><ol>{steps}</ol>" if steps else "",
        rows="".join(f"<tr><th>{html.escape(what)}<td>{html.escape(text)}</tr>" for what, text in rows(f)),
        regions=regions or "<tr><td>unknown: no face was at rest for long enough</tr>",
        version=__version__,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_text(path, text, "--report")


def write_text(path: Path, text: str, option: str) -> None:
    """Write a file that the user named. UserError where that can't be done."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option} {path}: can't write it ({error.strerror})") from error
