"""The pages as a site: ``sphinx-build -W docs build/site``. Loads nothing from elsewhere; a warning is an error."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import generate  # noqa: E402

from realtime import __version__  # noqa: E402

project = "merealtime"
author = copyright = "the merealtime authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["generate.py"]
html_theme = "furo"
html_title = f"merealtime {release}"
html_extra_path = ["generated/events.schema.json"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
default_role = "code"
suppress_warnings = ["ref.python"]  # a name that its package exports too has two places

LITERAL = re.compile(r"(``.*?``)")
SIGN = re.compile(r"\||(?<!\*)\*(?=[^\s*])")


def signs_are_signs(app: Any, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """``|x|`` is an absolute value in our docstrings and ``(n, *shape)`` a shape, never mark-up."""
    for at, line in enumerate(lines):
        parts = LITERAL.split(line)
        lines[at] = "".join(part if part.startswith("``") else SIGN.sub(r"\\\g<0>", part) for part in parts)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", signs_are_signs)


generate.write(Path(__file__).parent / "generated")
