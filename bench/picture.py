"""Draws docs/live.svg, the README's picture: the live view's last state of a run of the demo.

python bench/picture.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from realtime import config  # noqa: E402
from realtime.sinks.lines import State  # noqa: E402
from realtime.sinks.live import LiveView  # noqa: E402
from realtime.supervisor import Supervisor  # noqa: E402

PICTURE = ROOT / "docs" / "live.svg"
FONT = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
"""Rich has the reader's browser fetch a font; any fixed-width one will do."""


class Kept(LiveView):
    """Draws nothing on the terminal; keeps the state that is to be drawn."""

    running = State()

    def show(self, state: State) -> None:
        if state.phase == "running":
            self.running = copy.deepcopy(state)

    def close(self) -> None:
        """Nothing was drawn."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the demo before the picture is taken")
    seconds = parser.parse_args(argv).seconds
    view = Kept()
    wanted = {"source.camera": "demo", "source.fps": 200.0, "source.duration_s": seconds, "output.view": "none"}
    supervisor = Supervisor(config.load(overrides=wanted), sinks=[view])
    if supervisor.run():
        sys.stderr.write(f"{supervisor.error}\n")
        return 1
    PICTURE.parent.mkdir(exist_ok=True)
    view.export_svg(str(PICTURE), view.running)
    drawn = PICTURE.read_text(encoding="utf-8")
    PICTURE.write_text(FONT.sub("\n", drawn), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
