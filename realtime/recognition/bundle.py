"""A trained model as a live session runs it: load, verify, run.

A bundle is a folder with ``bundle.json`` (the card) and the exported network, a LiteRT file that takes one
map ``(1, 28, 28, 3) float32, 0..255, [u, v, strain]`` and returns ``(1, 3)`` probabilities; whatever the
network wants of its input (scaling, derived features) is inside the file. Loading proves two things: the
network is the one the card describes (SHA-256), and the card's feature spec is the one its digest names, so
that `check_spec` can prove that the camera's feature maps are those the model was trained on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import BundleError, InputError
from realtime.files import read_at_most
from realtime.quiet import native_log_dropped
from realtime.recognition import trial
from realtime.types import LABELS

if TYPE_CHECKING:
    from realtime.vision.features import FeatureSpec

BUILTIN_DIR = Path(__file__).resolve().parent / "bundles"
CARD_FILE = "bundle.json"
MAP_SHAPE = (28, 28, 3)
_CARD_BYTES = 1 << 20
_NETWORK_BYTES = 512 << 20  # VGG16 in 16 bits has 269 MB


class InputCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network is fed."""

    shape: tuple[int, int, int]
    channels: tuple[str, str, str]
    scaling: str
    kind: str = "flow-map"
    """Name of the input; a live session makes flow maps alone."""


class _Other(msgspec.Struct, frozen=True):
    """What is read of a card first: whether it is for a live session at all."""

    name: str = ""
    labels: tuple[str, ...] = LABELS
    input: dict[str, Any] = {}


class NetworkCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network file and its checksum."""

    file: str
    sha256: str
    format: str


class ThresholdCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Largest score below which a label is called "uncertain", and how it was chosen."""

    value: Annotated[float, msgspec.Meta(ge=0, le=1)]
    chosen_on: str


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``bundle.json``."""

    name: str
    labels: tuple[str, str, str]
    input: InputCard
    feature_spec: dict[str, Any]
    feature_digest: str
    parameters: int
    trained_on: str
    protocol: str
    metrics: dict[str, Any]
    licence: str
    threshold: ThresholdCard
    network: NetworkCard
    noise: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of the clips that their coders called otherwise whatever the map shows: scores p become (1 − noise) p +
    noise / 3."""
    recipe: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


class Bundle:
    """A verified model, ready to run on one thread. Not to be shared between threads."""

    def __init__(self, path: Path, card: Card, feature_spec: FeatureSpec, network: bytes) -> None:
        self.path = path
        self.card = card
        self.feature_spec = feature_spec
        self._network = _interpreter(network, path)
        try:
            self._input = _place(self._network.get_input_details(), (1, *MAP_SHAPE), f"{path}: the input")
            self._output = _place(self._network.get_output_details(), (1, len(card.labels)), f"{path}: the output")
            self.predict(np.full((1, *MAP_SHAPE), 127.5, np.float32))  # the first run builds the kernels
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path}: the network can't be run: {' '.join(str(error).split())}") from error

    @property
    def labels(self) -> tuple[str, str, str]:
        return self.card.labels

    @property
    def threshold(self) -> float:
        return self.card.threshold.value

    def predict(self, maps: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Scores of feature maps.

        maps: (n, 28, 28, 3), any real dtype, 0..255, [u, v, strain] → (n, 3) float32, rows sum to 1.
        Raises InputError for another shape, BundleError where the network gives no probabilities.
        """
        batch = np.ascontiguousarray(maps, dtype=np.float32)
        if batch.ndim != 4 or batch.shape[1:] != MAP_SHAPE:
            raise InputError(f"maps: shape {batch.shape}, expected (n, 28, 28, 3)")
        scores = np.empty((len(batch), len(self.labels)), np.float32)
        # one map at a time: measured faster than a batch, and the latency of a map does not depend on n
        for i in range(len(batch)):
            self._network.set_tensor(self._input, batch[i : i + 1])
            self._network.invoke()
            scores[i] = self._network.get_tensor(self._output)[0]
        if not np.isfinite(scores).all() or (scores < 0).any() or (scores.sum(axis=1) <= 0).any():
            raise BundleError(f"{self.path}: the network's scores are no probabilities; export the bundle again")
        noise = np.float32(self.card.noise)
        shares: npt.NDArray[np.float32] = scores / scores.sum(axis=1, keepdims=True)
        return (1 - noise) * shares + noise / np.float32(len(self.labels))

    def label(self, scores: npt.NDArray[np.float32], threshold: float | None = None) -> str:
        """Label of one row of scores: the largest, or "uncertain" below ``threshold`` (default: the bundle's own)."""
        best = int(np.argmax(scores))
        least = self.threshold if threshold is None else threshold
        return self.labels[best] if scores[best] >= least else "uncertain"


def load(path_or_name: str | os.PathLike[str]) -> Bundle:
    """Load a bundle from a folder, or a built-in one by name. One that is not ours is tried in a child process first.

    Raises BundleError (one line) when the folder, the card, the checksum or the digest is wrong, or the network
    crashes.
    """
    path = find(path_or_name)
    if path.resolve().parent != BUILTIN_DIR:
        verified(path)  # the checksum first: what is damaged is never run at all
        trial.attempt(path)
    return open_network(path)


def open_network(path: Path) -> Bundle:
    """The bundle of a folder, its network run in this process at once: as ``load``, for one that has been tried."""
    return Bundle(path, *verified(path))


def verified(path: Path) -> tuple[Card, FeatureSpec, bytes]:
    """Card, feature spec and network, each proven to be what the other says."""
    card = read_card(path)
    return card, _verified_spec(card, path), _verified_network(card, path)


def builtin_names() -> list[str]:
    """Names of the bundles in the package."""
    return sorted(p.parent.name for p in BUILTIN_DIR.glob(f"*/{CARD_FILE}"))


def find(path_or_name: str | os.PathLike[str]) -> Path:
    """Folder of a bundle, given its path, that of an ``offline.train`` run, or the name of a built-in one."""
    given = Path(path_or_name)
    for folder in (given, given / "bundle", BUILTIN_DIR / given):
        if _is_file(folder / CARD_FILE):
            return folder
    raise BundleError(f"{given}: no bundle there (a folder with {CARD_FILE}); built in: {', '.join(builtin_names())}")


def read_card(path: Path) -> Card:
    """Parse ``bundle.json`` of a bundle's folder; it verifies nothing else."""
    file = path / CARD_FILE
    try:
        content = read_at_most(file, _CARD_BYTES)
        _refuse_other(msgspec.json.decode(content, type=_Other), file)
        card = msgspec.json.decode(content, type=Card)
    except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{file}: {error}; export the bundle again") from error
    texts = (card.name, card.licence, card.protocol, card.trained_on, *card.labels)
    if not all(text.isprintable() for text in texts):
        raise BundleError(f"{file}: a name or a label holds what can't be printed; export the bundle again")
    if len(set(card.labels)) < len(card.labels) or not all(card.labels):
        raise BundleError(
            f"{file}: labels {', '.join(card.labels)}: must be three, each another; export the bundle again"
        )
    if card.input.shape != MAP_SHAPE or card.input.channels != ("u", "v", "strain"):
        raise BundleError(f"{file}: input {card.input.shape} {card.input.channels} is not (28, 28, 3) [u, v, strain]")
    return card


def _refuse_other(card: _Other, file: Path) -> None:
    """BundleError for a network whose input no live session makes, or which has other labels."""
    kind = str(card.input.get("kind", "flow-map"))
    if kind == "flow-map" and len(card.labels) == len(LABELS):
        return
    shape = repr(card.input.get("shape", ""))
    raise BundleError(
        f"{file}: {card.name[:80]!r} reads {kind[:40]!r} {shape[:40]}, labels: {len(card.labels)}; a "
        "live session makes flow maps of 28×28×3 and has three labels: train a model of flow maps (merealtime models)"
    )


def check_spec(bundle: Bundle, spec: FeatureSpec) -> None:
    """Raise BundleError that names the fields which differ, unless `spec` is the bundle's own."""
    if spec.digest() == bundle.card.feature_digest:
        return
    trained = _flat(msgspec.to_builtins(bundle.feature_spec))
    here = _flat(msgspec.to_builtins(spec))
    differing = [
        f"{field} (bundle {trained.get(field)!r}, here {here.get(field)!r})"
        for field in sorted(trained.keys() | here.keys())
        if trained.get(field) != here.get(field)
    ]
    raise BundleError(
        f"bundle {bundle.card.name} was trained on other feature maps: {', '.join(differing)}; "
        "use its feature settings, or train a bundle for these"
    )


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"flow": {"tau": …}} → {"flow.tau": …}."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _verified_spec(card: Card, path: Path) -> FeatureSpec:
    from realtime.vision.features import FeatureSpec

    try:
        spec = msgspec.convert(card.feature_spec, FeatureSpec)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: feature_spec of another version: {error}; export the bundle again") from error
    if spec.digest() != card.feature_digest:
        known = msgspec.to_builtins(FeatureSpec()).keys()
        missing = sorted(known - card.feature_spec.keys())
        if missing:
            raise BundleError(
                f"{path}: a bundle of an older version, for other feature maps: its feature_spec lacks "
                f"{', '.join(missing)}; train it again with this version"
            )
        raise BundleError(f"{path}: feature_spec does not match its digest (it was edited); export the bundle again")
    return spec


def _verified_network(card: Card, path: Path) -> bytes:
    name = card.network.file
    file = path / name
    if not name.isprintable() or file.parent != path or not name or not _is_file(file):
        raise BundleError(f"{path}: the network file {name!r} is missing; export the bundle again")
    try:
        network = read_at_most(file, _NETWORK_BYTES)
    except (OSError, ValueError) as error:
        raise BundleError(f"{file}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    if sha256(network) != card.network.sha256:
        raise BundleError(f"{file}: SHA-256 differs from the card's; the file is damaged or another's")
    return network


def _is_file(path: Path) -> bool:
    """Also for a name that no file can have: too long, say."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's start-up messages, which its C++ part writes to descriptor 2, off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_log_dropped():
        yield


def _place(tensors: list[dict[str, Any]], shape: tuple[int, ...], what: str) -> int:
    """Index of the one tensor of that shape, float32."""
    found = [(tuple(int(side) for side in tensor["shape"]), np.dtype(tensor["dtype"])) for tensor in tensors]
    if found != [(shape, np.dtype(np.float32))]:
        said = ", ".join(f"{sides} {kind}" for sides, kind in found) or "none"
        raise BundleError(f"{what} of the network is {said}, expected {shape} float32; export the bundle again")
    return int(tensors[0]["index"])


def _interpreter(network: bytes, path: Path) -> Any:
    """LiteRT interpreter, one thread; TensorFlow is imported only where the small runtime is missing."""
    try:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            with quiet_tensorflow():
                from tensorflow import lite

                Interpreter = lite.Interpreter
        with warnings.catch_warnings(), quiet_tensorflow():
            warnings.simplefilter("ignore")
            interpreter = Interpreter(model_content=network, num_threads=1)
            interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: the network can't be loaded: {str(error).splitlines()[0]}") from error
