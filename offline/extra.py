"""The packages of ``merealtime[offline]``: what training and evaluation need, and a live session does not."""

from __future__ import annotations

import importlib.util

from realtime.errors import UserError

MODULES = ("tensorflow", "sklearn", "scipy", "pandas", "openpyxl", "xlrd", "jinja2", "matplotlib")
WITHOUT = ("models", "spot")
"""Commands that do without, or see to it themselves."""


def check(command: str) -> None:
    """UserError, before any work, where a command's packages are not installed."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"offline.{command} needs packages that a live session does not ({', '.join(missing)}): "
            "pip install 'merealtime[offline]'"
        )
