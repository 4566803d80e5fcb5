"""The zoo: every model that can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from offline.training import pooled_flow
from offline.training.batches import Recipe
from offline.zoo import laenet, offapexnet, ststnet
from realtime.errors import UserError


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the zoo."""

    name: str
    network: int | None = None
    """Trainable parameters of one network; asserted by a test. None: there is none."""
    input: str
    source: str
    published: str | None
    """Method of its row in `offline.evaluation.published`; None: there is none."""
    trainer: Literal["all-folds", "keras", "pooled-flow", "fusion"]
    """All folds at once (LAENet's shape), fold by fold in Keras, linear machines on pooled flow, or these
    together with networks.
    """
    build: Callable[[float], Any] | None = None
    """dropout → Keras model."""
    streams: tuple[int, ...] = ()
    recipe: Recipe = Recipe()
    settled: str = ""
    """What was in view when the recipe was settled: a note in the card of its bundles."""

    @property
    def pooled(self) -> bool:
        """Has it linear machines on pooled flow?"""
        return self.trainer in ("pooled-flow", "fusion")

    @property
    def parameters(self) -> int:
        """Of all that is trained, at most."""
        networks = 0 if self.network is None else self.network * self.recipe.members
        return networks + (pooled_flow.parameters("nested") if self.pooled else 0)


_IN_VIEW = (
    "with leave-one-subject-out results on the MEGC 2019 composite in view, not in nested folds: "
    "figures on that composite are to this degree optimistic."
)

_ENTRIES = (
    Entry(
        name="laenet",
        network=laenet.PARAMETERS,
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
        network=ststnet.PARAMETERS,
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
        network=offapexnet.PARAMETERS,
        input="28×28×2 u, v",
        source="Gan et al. 2019",
        published="OFF-ApexNet",
        trainer="keras",
        build=offapexnet.build,
        recipe=Recipe(epochs=20, learning_rate=5e-4),
        settled="The recipe (epochs and rate by hand, the rest LAENet's) was settled " + _IN_VIEW,
    ),
    Entry(
        name="pooled-flow",
        input="28×28×3 u, v, strain",
        source="ours: see offline/training/pooled_flow.py",
        published=None,
        trainer="pooled-flow",
        settled="The kind of features and the grid of machines were settled " + _IN_VIEW,
    ),
    Entry(
        name="fusion",
        network=laenet.PARAMETERS,
        input="28×28×3 u, v, strain",
        source="ours: half pooled-flow, half five LAENets together",
        published=None,
        trainer="fusion",
        streams=laenet.STREAMS,
        recipe=Recipe(members=5),
        settled="That the two are joined, and the recipes of both, was settled " + _IN_VIEW,
    ),
)
ZOO = {entry.name: entry for entry in _ENTRIES}


def get(name: str) -> Entry:
    if name not in ZOO:
        raise UserError(f"{name}: no such model; the zoo has {', '.join(ZOO)}")
    return ZOO[name]
