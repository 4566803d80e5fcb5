"""The zoo: every model that can be trained, by name. Each file here with a `MODEL` or `MODELS` adds to it."""

from __future__ import annotations

import importlib
import pkgutil

from offline.training.protocol import Entry
from realtime.errors import ConfigError, UserError

ZOO: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add a model. Raises ConfigError where its name is taken."""
    if ZOO.setdefault(entry.name, entry) is not entry:
        raise ConfigError(f"{entry.name}: the zoo has a model of this name; give the other one another")
    return entry


def get(name: str) -> Entry:
    if name not in ZOO:
        raise UserError(f"{name}: no such model; the zoo has {', '.join(ZOO)}")
    return ZOO[name]


for _file in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_file.name}")
    for _entry in (*(getattr(_module, "MODELS", ())), *([_module.MODEL] if hasattr(_module, "MODEL") else [])):
        register(_entry)
