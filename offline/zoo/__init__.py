"""The zoo: every model that can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from offline import pooled_flow
from offline.batches import Recipe
from offline.zoo import laenet, offapexnet, ststnet
from realtime.errors import UserError


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the zoo."""

    name: str
    parameters: int
    """Trainable; asserted by a test."""
    input: str
    source: str
    published: str | None
    """Its row in `offline.published`."""
    trainer: Literal["all-folds", "keras", "pooled-flow"]
    """All folds at once (LAENet's shape), fold by fold in Keras, or linear machines on pooled flow."""
    build: Callable[[float], Any] | None
    """dropout → Keras model."""
    streams: tuple[int, ...] = ()
    recipe: Recipe = Recipe()


_ENTRIES = (
    Entry(
        name="laenet",
        parameters=laenet.PARAMETERS,
        input="28×28×3 u, v, strain",
        source="Lien and Chiang 2020",
        published="LAENet",
        trainer="all-folds",
        build=laenet.build,
        streams=laenet.STREAMS,
    ),
    Entry(
        name="ststnet",
        parameters=ststnet.PARAMETERS,
        input="28×28×3 u, v, strain",
        source="Liong et al. 2019",
        published="STSTNet",
        trainer="all-folds",
        build=ststnet.build,
        streams=ststnet.STREAMS,
    ),
    Entry(
        name="offapexnet",
        parameters=offapexnet.PARAMETERS,
        input="28×28×2 u, v",
        source="Gan et al. 2019",
        published="OFF-ApexNet",
        trainer="keras",
        build=offapexnet.build,
        recipe=Recipe(epochs=20, learning_rate=5e-4),
    ),
    Entry(
        name="pooled-flow",
        parameters=pooled_flow.PARAMETERS,
        input="28×28×3 u, v, strain",
        source="ours: see offline/pooled_flow.py",
        published=None,
        trainer="pooled-flow",
        build=None,
    ),
)
ZOO = {entry.name: entry for entry in _ENTRIES}


def get(name: str) -> Entry:
    if name not in ZOO:
        raise UserError(f"{name}: no such model; the zoo has {', '.join(ZOO)}")
    return ZOO[name]
