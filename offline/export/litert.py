"""Write a trained network as a bundle: LiteRT file and card, as `realtime.recognition.bundle` loads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from offline.inputs import Input
from realtime.recognition import bundle
from realtime.types import LABELS
from realtime.vision.features import FeatureSpec

NETWORK_FILE = "network.tflite"


def to_litert(
    logits: Callable[[Any], Any], factor: float = 1.0, half: bool = False, shape: Sequence[int] = bundle.MAP_SHAPE
) -> bytes:
    """(n, *shape) → (n, classes) logits, as a LiteRT file: (1, *shape) → (1, classes) probabilities.

    factor: what the logits are multiplied by (calibration); half: weights kept in 16 bits.
    """
    with bundle.quiet_tensorflow():
        import tensorflow as tf

    return function_to_litert(lambda maps: tf.nn.softmax(factor * logits(maps)), half, shape)


def function_to_litert(function: Any, half: bool = False, shape: Sequence[int] = bundle.MAP_SHAPE) -> bytes:
    """A TensorFlow function (1, *shape) float32 → (1, classes) as a LiteRT file; half: weights kept in 16 bits."""
    with bundle.quiet_tensorflow():
        return _converted(function, half, shape)


def _converted(function: Any, half: bool, shape: Sequence[int]) -> bytes:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((1, *shape), tf.float32, name="maps")]
    traced = tf.function(function, input_signature=signature).get_concrete_function()
    # without freezing first, the converter leaves the weights out and the network answers NaN
    frozen = convert_variables_to_constants_v2(traced)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def write_bundle(
    folder: Path,
    network: bytes,
    *,
    name: str,
    parameters: int,
    trained_on: str,
    protocol: str,
    metrics: dict[str, Any],
    threshold: bundle.ThresholdCard,
    licence: str,
    noise: float = 0.0,
    recipe: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    spec: FeatureSpec | None = None,
    shown: Input | None = None,
    labels: tuple[str, ...] = LABELS,
) -> Path:
    """Write `folder`/bundle.json and the network; load it again as a check. Returns `folder`.

    noise: share of it in the labels, by which all scores are less sure.
    shown: another input than the flow map; labels: other classes. Such a bundle is for other programs: no live session
    takes it, and says so.
    """
    spec = spec or FeatureSpec()
    card = bundle.Card(
        name=name,
        labels=LABELS,
        input=bundle.InputCard(bundle.MAP_SHAPE, spec.channels, spec.scaling),
        feature_spec=msgspec.to_builtins(spec),
        feature_digest=spec.digest(),
        parameters=parameters,
        trained_on=trained_on,
        protocol=protocol,
        metrics=metrics,
        licence=licence,
        noise=noise,
        threshold=threshold,
        network=bundle.NetworkCard(NETWORK_FILE, bundle.sha256(network), "LiteRT (TensorFlow Lite)"),
        recipe=recipe or {},
        notes=notes,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NETWORK_FILE).write_bytes(network)
    other = shown is not None and shown.name != "flow-map"
    fields = msgspec.to_builtins(card) | {"labels": list(labels)}
    if other and shown is not None:
        fields |= {"feature_spec": msgspec.to_builtins(shown.spec), "feature_digest": shown.digest()}
        fields["input"] = {"shape": list(shown.shape), "channels": [], "scaling": shown.title, "kind": shown.name}
    text = msgspec.json.format(msgspec.json.encode(fields), indent=2)
    (folder / bundle.CARD_FILE).write_bytes(text + b"\n")
    if not other and labels == LABELS:
        bundle.load(folder)
    return folder
