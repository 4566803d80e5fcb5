"""Weights to start a network from: Keras' own cache, or a file; nothing is fetched.

A file is NumPy's .npz, Keras' .h5, or what PyTorch or Flax pickled; pickles are read by an unpickler that
knows arrays and
nothing else. Keras' files are matched by layer name, the others in order, shape by shape.
"""

from __future__ import annotations

import collections
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.errors import UserError

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
CACHE = {
    "VGG16": "vgg16_weights_tf_dim_ordering_tf_kernels{}.h5",
    "ResNet50": "resnet50_weights_tf_dim_ordering_tf_kernels{}.h5",
    "MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224{}.h5",
    "EfficientNetB0": "efficientnetb0{}.h5",
}
"""Names of keras.applications' files; {}: without the classifier."""
Arrays = dict[str, NDArray[Any]]


def resolve(model: str, asked: str, cached: str | None) -> str:
    """ "none", or the path of the file that --weights means. asked: none, keras, imagenet (a default), a path."""
    if asked in ("", "none"):
        return "none"
    offer = "give --weights FILE (.npz, .h5, or a PyTorch or Flax pickle), or --weights none to train from scratch"
    if asked in ("keras", "imagenet"):
        if cached is None:
            raise UserError(f"{model}: its ImageNet weights are in no cache of Keras; {offer}")
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        names = [CACHE[cached].format(end) for end in ("_notop", "_no_top", "")]
        for name in names:
            if (folder / name).is_file():
                return str(folder / name)
        raise UserError(
            f"{model}: its ImageNet weights are not here ({folder / names[0]}), and none are fetched; {offer}"
        )
    if not Path(asked).is_file():
        raise UserError(f"--weights {asked}: no such file; {offer}")
    return str(Path(asked).resolve())


def named(file: Path) -> str:
    """A file's name and content, for the records of a run."""
    with file.open("rb") as stream:
        return f"{file.name} (SHA-256 {hashlib.file_digest(stream, 'sha256').hexdigest()[:16]})"


def put(model: Any, file: Path) -> int:
    """Put a file's weights into a Keras model, except its new head; number of arrays. UserError if none fits."""
    return _by_name(model, file) if file.suffix in KERAS_SUFFIXES else _in_order(model, read(file), file)


def _by_name(model: Any, file: Path) -> int:
    found, put_in = _read_h5(file), 0
    for layer in _body(model):
        if layer.name not in found:
            if not _is_dense(layer):
                raise UserError(f"{file}: has no layer {layer.name}: weights of another network, or of another version")
            continue
        arrays = found[layer.name]
        if [a.shape for a in arrays] != [tuple(v.shape) for v in layer.weights]:
            if _is_dense(layer):
                continue  # another picture size
            raise UserError(f"{file}: layer {layer.name} is {[a.shape for a in arrays]}: weights of another network")
        layer.set_weights(arrays)
        put_in += len(arrays)
    return put_in


def _read_h5(file: Path) -> dict[str, list[NDArray[Any]]]:
    """Layer → arrays, of a file that `save_weights` of Keras wrote in its old format."""
    import h5py

    try:
        with h5py.File(file) as stored:
            root = stored.get("model_weights", stored)
            text = [n.decode() if isinstance(n, bytes) else n for n in root.attrs["layer_names"]]
            return {
                name: [np.asarray(root[name][w]) for w in root[name].attrs["weight_names"]]
                for name in text
                if len(root[name].attrs["weight_names"])
            }
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{file}: not a weights file of Keras in its .h5 format: {error}") from error


def _in_order(model: Any, arrays: Arrays, file: Path) -> int:
    waiting = [a for a in arrays.values() if a.ndim]  # a counter of batches is no weight
    put_in = 0
    for layer in _body(model):
        own = [fitted(a, tuple(v.shape), layer, model) for a, v in zip(waiting, layer.weights, strict=False)]
        if len(own) < len(layer.weights) or any(a is None for a in own):
            if _is_dense(layer):
                break  # convolutions alone, or another picture size: the rest starts at random
            shapes = [a.shape for a in waiting[: len(layer.weights)]]
            raise UserError(f"{file}: {shapes} does not fit layer {layer.name}: weights of another network")
        layer.set_weights(own)
        if hasattr(layer, "epsilon"):
            layer.epsilon = 1e-5  # PyTorch's, with which such files were trained
        waiting, put_in = waiting[len(own) :], put_in + len(own)
    return put_in


def _body(model: Any) -> list[Any]:
    """Layers with weights, without the head."""
    return [layer for layer in model.layers if layer.weights][:-1]


def _is_dense(layer: Any) -> bool:
    return type(layer).__name__ == "Dense"


def fitted(array: NDArray[Any], shape: tuple[int, ...], layer: Any, model: Any) -> NDArray[Any] | None:
    """An array in Keras' layout: as it is, or from PyTorch's (out, in, h, w), (c, 1, h, w), (out, in); None: no fit."""
    if _is_dense(layer) and array.ndim == 2 and array.T.shape == shape:
        before = next((one.input.shape[1:] for one in model.layers if type(one).__name__ == "Flatten"), None)
        if before and int(np.prod(before)) == shape[0] and len(before) == 3:
            height, width, channels = before
            array = array.reshape(shape[1], channels, height, width).transpose(0, 2, 3, 1).reshape(shape[1], -1)
        return array.T
    if array.shape == shape:
        return array
    for axes in ((2, 3, 1, 0), (2, 3, 0, 1)):
        if array.ndim == 4 and array.transpose(axes).shape == shape:
            return array.transpose(axes)
    return None


def read(file: Path) -> Arrays:
    """All arrays of a file by name, in its order. Raises UserError."""
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        data = file.read_bytes()
        return _read_torch_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_pickle(data)
    except UserError:
        raise
    except Exception as error:  # a pickle can fail in any way
        raise UserError(f"{file}: can't be read as weights: {' '.join(str(error).split())[:120]}") from error


class _Storage:
    """A tensor's numbers, to come."""

    def __init__(self, dtype: str, key: str) -> None:
        self.dtype, self.key = dtype, key


class _Tensor:
    """A view on a storage."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, storages: Mapping[str, bytes]) -> NDArray[Any]:
        flat = np.frombuffer(storages[self.storage.key], self.storage.dtype)[self.offset :]
        step = [s * flat.itemsize for s in self.stride]
        if self.size and sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True)) >= len(flat):
            raise ValueError("a tensor reaches beyond its storage")
        return np.lib.stride_tricks.as_strided(flat, self.size, step).copy()


_DTYPES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class _Unpickler(pickle.Unpickler):
    """Knows arrays, dictionaries and PyTorch's tensors; everything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module.replace("numpy._core", "numpy.core") == "numpy.core.multiarray" and name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is no array: refused")

    def persistent_load(self, pid: Any) -> Any:
        return _Storage(pid[1], str(pid[2]))


_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def _read_pickle(data: bytes) -> Arrays:
    stream = io.BytesIO(data)
    first = _Unpickler(stream).load()
    if first != _TORCH_MAGIC if isinstance(first, int) else True:
        return _flat(first, {})
    for _ in range(2):  # protocol, system
        _Unpickler(stream).load()
    content, keys = _Unpickler(stream).load(), _Unpickler(stream).load()
    sizes = {one.storage.key: np.dtype(one.storage.dtype).itemsize for one in _tensors(content)}
    storages = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        storages[str(key)] = stream.read(count * sizes[str(key)])
    return _flat(content, storages)


def _read_torch_zip(data: bytes) -> Arrays:
    with zipfile.ZipFile(io.BytesIO(data)) as stored:
        (main,) = [name for name in stored.namelist() if name.endswith("/data.pkl")]
        content = _Unpickler(io.BytesIO(stored.read(main))).load()
        root = main.removesuffix("data.pkl")
        return _flat(
            content, {one.storage.key: stored.read(f"{root}data/{one.storage.key}") for one in _tensors(content)}
        )


def _tensors(content: Any) -> list[_Tensor]:
    if isinstance(content, Mapping):
        return [tensor for value in content.values() for tensor in _tensors(value)]
    return [content] if isinstance(content, _Tensor) else []


def _flat(content: Any, storages: Mapping[str, bytes], name: str = "") -> Arrays:
    """Nested dictionaries and lists of arrays, in their order."""
    if isinstance(content, (list, tuple)):
        content = {str(i): value for i, value in enumerate(content)}
    if isinstance(content, Mapping):
        found: Arrays = {}
        for key, value in content.items():
            found |= _flat(value, storages, f"{name}/{key}" if name else str(key))
        return found
    if isinstance(content, _Tensor):
        return {name: content.array(storages)}
    return {name: content} if isinstance(content, np.ndarray) else {}
