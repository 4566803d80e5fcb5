"""What a bundle has learnt, as a start for networks of the same shape: fine-tuning from what the camera serves.

A bundle holds the exported network alone, so its weights are read from the LiteRT file, step by step in the order in
which the exporter writes them, and proven: the network that they make must answer as the bundle does.

Exported batch norm is one factor and one term a kernel; training needs its γ, β, mean and variance. These are filled
in so that the network answers the same at first, and normalises by what the clips that a fold may see give: of the
subject that it holds out nothing is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.training import shallow
from offline.training.shallow import Float32, Weights
from realtime.errors import BundleError, UserError
from realtime.recognition import bundle

_STEPS = (
    "MUL", "ADD", "CONV_2D", "MUL", "ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX",
)  # fmt: skip
_EPSILON = 1e-3
_CLOSE = 1e-3
"""Scores may differ so much: LiteRT adds up in another order."""


class Start(msgspec.Struct, frozen=True):
    """A network as it was exported."""

    name: str
    """Of the bundle, its checksum and what it was trained on, for the records of a run."""
    trained_on: str
    feature_digest: str
    convolution: Float32
    """(28, kernels): 27 weights [channel, dy, dx] and the bias."""
    factor: Float32
    """(kernels,) of batch norm."""
    term: Float32
    dense: Float32
    """(78, kernels): as in `offline.training.shallow_cpu`, rows 30 … 107."""

    def weights(self, mean: Float32, variance: Float32) -> Weights:
        """With batch statistics (..., kernels) of the activations: answers as the bundle, whatever these are."""
        shape = (*mean.shape[:-1], 108, mean.shape[-1])
        rows = np.zeros(shape, np.float32)
        rows[..., :28, :], rows[..., 30:, :] = self.convolution, self.dense
        rows[..., 28, :] = self.factor * np.sqrt(variance + _EPSILON)
        rows[..., 29, :] = self.term + mean * self.factor
        return Weights(rows, np.stack([mean, variance], axis=-2).astype(np.float32))

    def for_folds(self, maps: Float32, held_out: NDArray[np.bool_]) -> Weights:
        """maps: (n, 28, 28, 3) 0..255; held_out: (folds, n) → a start for each fold, of the clips that it may see."""
        sums = np.zeros((2, len(maps), len(self.factor)))
        for at in range(0, len(maps), 64):
            seen = shallow.patches(maps[at : at + 64])
            active = np.maximum(seen @ self.convolution[:27] + self.convolution[27], 0)
            sums[:, at : at + 64] = active.mean((1, 2)), (active**2).mean((1, 2))
        allowed = (~held_out).astype(float)
        mean, square = allowed @ sums / allowed.sum(1)[:, None]
        return self.weights(mean.astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32))


def read(asked: str, model: str, kernels: int) -> tuple[Path, Start]:
    """A bundle's folder (a path, the folder of a run, or a built-in name) and its network.

    UserError where it is another network than the model's, BundleError where it is none.
    """
    folder = bundle.find(asked)
    served = bundle.load(folder)
    card, _, network = bundle.verified(folder)
    start = _read(network, card, float(card.recipe.get("calibration", 1.0)))
    if start is None or start.convolution.shape[1] != kernels or not _answers(start, served):
        raise UserError(
            f"--weights {asked}: {card.name} is another network than {model}, or several in one: start from a bundle "
            f"of one {model}, or leave --weights out"
        )
    return folder, start


def check_people(start: Start, datasets: set[str]) -> None:
    """UserError where the bundle has learnt from the data set itself: the subjects to be tested would be known."""
    known = datasets & set(start.trained_on.replace(",", " ").replace(";", " ").split())
    if known:
        raise UserError(
            f"--weights {start.name}: it was trained on {', '.join(sorted(known))} itself, so that no subject there "
            "is new to it; start from a bundle that was not, such as laenet-composite"
        )


def _answers(start: Start, served: bundle.Bundle) -> bool:
    strange = np.random.default_rng(0).uniform(-127.5, 127.5, (24, *bundle.MAP_SHAPE))
    contrast = np.geomspace(0.02, 1.0, 24).reshape(-1, 1, 1, 1)  # of strange maps every network is sure
    maps = (127.5 + contrast * strange).astype(np.float32)
    nobody = np.zeros((1, len(maps)), bool)
    made = start.for_folds(maps, nobody)
    factor = float(served.card.recipe.get("calibration", 1.0))
    raw = factor * shallow.logits(Weights(made.rows[0], made.moving[0]), shallow.patches(maps))
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    noise = served.card.noise
    shares = (1 - noise) * powers / powers.sum(1, keepdims=True) + noise / powers.shape[1]
    return bool(np.abs(shares - served.predict(maps)).max() < _CLOSE)


def _read(network: bytes, card: bundle.Card, calibration: float) -> Start | None:
    """None: a network of another shape."""
    interpreter = _interpreter(network)
    steps = [step for step in interpreter._get_ops_details() if step["op_name"] != "DELEGATE"]
    if tuple(step["op_name"] for step in steps) != _STEPS or not calibration:
        return None

    def constant(step: int, *shape: int) -> Float32:
        """What goes into a step besides what the step before gave."""
        for index in steps[step]["inputs"]:
            if index not in made and (found := interpreter.get_tensor(index)).shape == shape:
                return np.asarray(found, np.float32)
        raise ValueError("not there")

    made = {index for step in steps for index in step["outputs"]} | {interpreter.get_input_details()[0]["index"]}
    try:
        kernels = int(interpreter.get_tensor(steps[2]["inputs"][1]).shape[0])
        filters = constant(2, kernels, 3, 3, 3)  # [kernel, dy, dx, channel]
        dense = constant(8, 3, 25 * kernels) / calibration  # [class, place, kernel]
        rows = np.zeros((78, kernels), np.float32)
        rows[:75] = dense.reshape(3, 25, kernels).transpose(1, 0, 2).reshape(75, kernels)
        rows[75:] = constant(8, 3)[:, None] / calibration
        bias = constant(2, kernels)
        convolution = np.vstack([filters.transpose(3, 1, 2, 0).reshape(27, kernels), bias[None]])
        factor, term = constant(3, kernels), constant(4, kernels)
    except (ValueError, IndexError):
        return None
    sets = card.trained_on.partition(";")[0].rpartition(": ")[2]
    name = f"{card.name} (SHA-256 {card.network.sha256[:16]}; {sets})"
    return Start(name, card.trained_on, card.feature_digest, convolution, factor, term, rows)


def _interpreter(network: bytes) -> Any:
    """One that keeps the network as it is in the file. BundleError where it can't be opened."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        with bundle.quiet_tensorflow():
            from tensorflow import lite

            Interpreter, OpResolverType = lite.Interpreter, lite.experimental.OpResolverType
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with bundle.quiet_tensorflow():
            opened = Interpreter(model_content=network, num_threads=1, experimental_op_resolver_type=plain)
            opened.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"the network can't be read: {str(error).splitlines()[0]}") from error
    return opened
