"""SWEEP.toml: what is to be run. Unknown keys are refused by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from offline.commands.training_run import check_protocol
from offline.datasets import NAMES
from realtime.errors import ConfigError
from realtime.files import read_at_most

_MOST_BYTES = 1 << 20
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Seed = Annotated[int, Meta(ge=0, lt=2**31)]


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all: frozen, unknown keys refused."""


class DataSettings(_Settings, frozen=True, kw_only=True):
    """``[[data]]``: one data set."""

    dataset: str
    """As ``--dataset``."""
    path: str
    """As ``--data``; beside SWEEP.toml where it is relative."""
    name: Name | None = None
    """In names of runs; default: `dataset`."""

    @property
    def called(self) -> str:
        return self.name or self.dataset


class ModelSettings(_Settings, frozen=True, kw_only=True):
    """``[[models]]``: one model, with options of `offline.train`."""

    model: str
    name: Name | None = None
    """In names of runs; default: `model`."""
    input: str | None = None
    frames: int | None = None
    variant: str | None = None
    epochs: int | None = None
    weights: str | None = None
    """"none", "keras", or a file; beside SWEEP.toml where it is relative."""
    freeze: float = 0.0
    pretrain: str | None = None
    pretrain_path: str | None = None
    """As ``--pretrain-data``; beside SWEEP.toml where it is relative."""
    set: dict[str, Any] = {}
    """Of its recipe, as ``--set``."""

    @property
    def called(self) -> str:
        return self.name or self.model


class JobSettings(_Settings, frozen=True, kw_only=True):
    """``[jobs]``: what one takes."""

    cores: Annotated[int, Meta(ge=0, le=4096)] = 0
    """Threads of a job, and cores that it is given; 0: as many threads as a run by itself has, one core declared."""
    gpus: Annotated[float, Meta(ge=0, le=64)] = 0.0
    memory_mb: Annotated[int, Meta(ge=0, le=1 << 24)] = 0
    folds: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Folds of a job, for models that are trained fold by fold; 0: all of a seed are one job."""


class SweepSettings(_Settings, frozen=True, kw_only=True):
    """The whole file."""

    data: Annotated[list[DataSettings], Meta(min_length=1)]
    models: Annotated[list[str | ModelSettings], Meta(min_length=1)]
    seeds: Annotated[int, Meta(ge=1, le=10_000)] | Annotated[list[Seed], Meta(min_length=1)] = 1
    """How many (0, 1, …), or which."""
    protocols: Annotated[list[str], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["loso"])
    beside: str = "loso"
    """Honest protocol that is run beside frame-split."""
    bundles: bool = True
    """Whether each run's model is made ready for ``--model``."""
    set: dict[str, Any] = {}
    """Of every model's recipe; a model's own `set` is laid over it."""
    jobs: JobSettings = JobSettings()

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def model_list(self) -> list[ModelSettings]:
        return [ModelSettings(model=one) if isinstance(one, str) else one for one in self.models]


def read(file: Path) -> SweepSettings:
    """Raises ConfigError naming the file, the key, and what is allowed."""
    try:
        table = tomllib.loads(read_at_most(file, _MOST_BYTES).decode())
    except OSError as error:
        raise ConfigError(f"{file}: can't be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    _refuse_unknown(table, SweepSettings, "", file)
    try:
        settings = msgspec.convert(table, SweepSettings)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        raise ConfigError(f"{file}: {key + ': ' if key else ''}{message[:1].lower()}{message[1:]}") from error
    _check(settings, file)
    return settings


def _refuse_unknown(table: Any, kind: Any, path: str, file: Path) -> None:
    """Raise for the first unknown key, with its full path (msgspec names only the last part)."""
    if isinstance(table, list):
        for number, one in enumerate(table):
            _refuse_unknown(one, kind, f"{path[:-1]}[{number}].", file)
    struct = _struct_in(kind)
    if struct is None or not isinstance(table, Mapping):
        return
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        if key not in known:
            section = f"section {path[:-1]}" if path else "file"
            raise ConfigError(f"{file}: unknown key {path}{key}; the {section} knows {', '.join(sorted(known))}")
        _refuse_unknown(value, known[key], f"{path}{key}.", file)


def _struct_in(kind: Any) -> type[_Settings] | None:
    """The settings that a type is, or has within a list or a choice."""
    if isinstance(kind, type) and issubclass(kind, _Settings):
        return kind
    return next((found for part in get_args(kind) if (found := _struct_in(part))), None)


def _check(settings: SweepSettings, file: Path) -> None:
    """What the types don't say."""
    named = {f"data[{number}].dataset": one.dataset for number, one in enumerate(settings.data)}
    models = enumerate(settings.model_list)
    named |= {f"models[{number}].pretrain": one.pretrain for number, one in models if one.pretrain}
    for key, name in named.items():
        if name not in NAMES:
            raise ConfigError(f"{file}: {key}: no data set {name}; there are {', '.join(NAMES)}")
    for number, protocol in enumerate(settings.protocols):
        check_protocol(f"{file}: protocols[{number}]", protocol)
    check_protocol(f"{file}: beside", settings.beside, leaky=False)
    for what, names in {
        "data": [one.called for one in settings.data],
        "models": [one.called for one in settings.model_list],
        "protocols": settings.protocols,
        "seeds": [str(seed) for seed in settings.seed_list],
    }.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            hint = ": give one of them a name" if what in ("data", "models") else ""
            raise ConfigError(f"{file}: {what}: {twice[0]} comes twice{hint}")
