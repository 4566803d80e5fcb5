"""Models that have not seen the subject: the shipped recipes trained in folds over the composite's people.

Kept in the user's cache folder, by all that decides them; training takes some minutes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from offline.datasets import MapSet
from offline.files import write_npz
from offline.training import fit, pooled_flow, shallow
from offline.zoo import get, laenet

FOLDS = 8
MODELS = ("laenet", "fusion")
Maps = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]


class FoldModels:
    """``predict`` by the fold that held a map's subject out: LAENet by each of five seeds; fusion of the five and the
    machines.
    """

    def __init__(self, data: MapSet, folder: Path) -> None:
        self._names, self._of = np.unique(data.person, return_inverse=True)
        # every eighth person in a random order
        self._fold = np.random.default_rng(8).permutation(len(self._names)) % FOLDS
        self._held = np.array([self._fold[self._of] == fold for fold in range(FOLDS)])
        self._data, self._folder = data, folder
        recipe = get("fusion").recipe
        assert recipe is not None
        self._recipe = recipe
        hashed = hashlib.sha256(data.maps.tobytes() + data.label.tobytes() + self._held.tobytes())
        hashed.update(msgspec.json.encode([fit.CODE_VERSION, recipe, list(pooled_flow.VARIANTS.items())]))
        self._digest = hashed.hexdigest()[:12]
        self._networks = [self._member(seed) for seed in recipe.member_seeds(0)]  # type: ignore[attr-defined]
        self._machines = [self._machine(fold) for fold in range(FOLDS)]

    def fold_of(self, person: str) -> int:
        """Which fold held a person out."""
        return int(self._fold[int(np.searchsorted(self._names, person))])

    def _member(self, seed: int) -> shallow.Weights:
        file = self._folder / f"folds-{self._digest}-network-{seed}.npz"
        if not file.exists():
            start = shallow.initial(laenet.STREAMS, seed)
            data = self._data
            trained = shallow.train_folds(data.maps, data.label, self._held, self._recipe, start, seed)  # type: ignore[arg-type]
            write_npz(file, rows=trained.weights.rows, moving=trained.weights.moving)
        with np.load(file) as saved:
            return shallow.Weights(saved["rows"], saved["moving"])

    def _machine(self, fold: int) -> tuple[str, list[pooled_flow.Linear]]:
        file = self._folder / f"folds-{self._digest}-machines-{fold}.npz"
        if not file.exists():
            data = self._data
            found = pooled_flow.train_folds(data.maps, data.label, self._held[fold : fold + 1], data.person)
            arrays = {f"w{k}": one.weights for k, one in enumerate(found.machines)}
            arrays |= {f"b{k}": one.bias for k, one in enumerate(found.machines)}
            write_npz(file, chosen=np.array(found.chosen[-1]), **arrays)
        with np.load(file) as saved:
            chosen = str(saved["chosen"])
            count = len(pooled_flow.descriptors(chosen))
            return chosen, [pooled_flow.Linear(saved[f"w{k}"], saved[f"b{k}"]) for k in range(count)]

    def predict(self, maps: Maps, people: list[str]) -> dict[str, Scores]:
        """(n, 28, 28, 3) 0..255 and whose each is → model → (seeds, n, 3), rows sum to 1."""
        seeds = {"laenet": len(self._networks), "fusion": 1}
        scores = {name: np.zeros((seeds[name], len(maps), 3), np.float32) for name in MODELS}
        folds = np.array([self.fold_of(person) for person in people])
        for fold in np.unique(folds):
            own = folds == fold
            near = shallow.patches(maps[own])
            each = np.stack(
                [shallow.probabilities(shallow.Weights(w.rows[fold], w.moving[fold]), near) for w in self._networks]
            )
            chosen, machines = self._machines[fold]
            which = pooled_flow.descriptors(chosen)
            margins = [
                pooled_flow.describe(maps[own], d) @ m.weights + m.bias for d, m in zip(which, machines, strict=True)
            ]
            flow = pooled_flow.softmax(pooled_flow.SHARPNESS * np.mean(margins, axis=0))
            scores["laenet"][:, own] = each
            scores["fusion"][0, own] = 0.5 * (flow + shallow.averaged(each))
        return scores
