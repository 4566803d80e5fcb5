"""Runs of offline.train on small maps that the tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from offline.commands import cli, train
from offline.datasets.flowmaps import MapSet
from offline.files import write_npz


def save(data: MapSet, file: Path, **more: Any) -> Path:
    names = {name: np.array(getattr(data, name)) for name in ("subject", "dataset", "clip")}
    write_npz(file, maps=data.maps, label=data.label, **names, **more)
    return file


def run(*arguments: object) -> int:
    return cli.run(train.main, [str(a) for a in arguments])
