"""Logging of a stage: to standard error, which the supervisor reads (``realtime/supervisor/logs.py``)."""

from __future__ import annotations

import logging

FORMAT = "%(levelname)s %(name)s: %(message)s"


def set_up_child(debug: bool) -> None:
    """Python logging of a stage: to standard error, which the supervisor reads."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format=FORMAT, force=True)
    for noisy in ("numba", "matplotlib", "absl"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
