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
    """Trainable, of all members, at most; asserted by a test."""
    input: str
    source: str
    published: str | None
    """Its row in `offline.published`."""
    trainer: Literal["all-folds", "keras", "pooled-flow"]
    """All folds at once (LAENet's shape), fold by fold in Keras, or linear machines on pooled flow."""
    build: Callable[..., Any] | None
    """(dropout, scaling) → Keras model."""
    streams: tuple[int, ...] = ()
    recipe: Recipe = Recipe()
    settled: str = ""
    """What was in view when the recipe was settled: a note in the card of its bundles."""


_IN_VIEW = (
    "with leave-one-subject-out results on the MEGC 2019 composite in view, not in nested folds: "
    "figures on that composite are to this degree optimistic."
)

ENSEMBLE = 10
"""Members of laenet-ensemble: five read a map by its mean absolute, five by its standard deviation."""

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
        settled="The recipe (a start as in STSTNet's published code, the rest from an earlier trial) was settled "
        + _IN_VIEW,
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
        settled="The recipe is LAENet's, which was settled " + _IN_VIEW,
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
        settled="The recipe (epochs and rate by hand, the rest LAENet's) was settled " + _IN_VIEW,
    ),
    Entry(
        name="laenet-ensemble",
        parameters=ENSEMBLE * laenet.PARAMETERS,
        input="28×28×3 u, v, strain",
        source="ours: LAENets on maps that lost their median and spread, log-probabilities averaged",
        published=None,
        trainer="all-folds",
        build=None,
        streams=laenet.STREAMS,
        recipe=Recipe(members=ENSEMBLE, scaling="centred"),
        settled="The recipe is LAENet's with another scaling of the maps, adopted because it won " + _IN_VIEW,
    ),
    Entry(
        name="pooled-flow",
        parameters=pooled_flow.parameters("nested"),
        input="28×28×3 u, v, strain",
        source="ours: see offline/pooled_flow.py",
        published=None,
        trainer="pooled-flow",
        build=None,
        settled="The kind of features and the grid of machines were settled " + _IN_VIEW,
    ),
)
ZOO = {entry.name: entry for entry in _ENTRIES}


def get(name: str) -> Entry:
    if name not in ZOO:
        raise UserError(f"{name}: no such model; the zoo has {', '.join(ZOO)}")
    return ZOO[name]
