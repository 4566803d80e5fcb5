"""What the papers' systems need around the networks: weights from files, held features, handcrafted features, folds."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps
from _offline_runs import run

from offline.evaluation.results import read_predictions, read_results
from offline.evaluation.splits import frame_split, leak, subject_folds
from offline.inputs import lbp_top
from offline.training import fit, frozen, sequential, weights
from offline.training.linear_svm import SvmRecipe, train
from offline.zoo import bi_woof, get
from realtime.errors import UserError
from realtime.recognition import bundle

# --- weights ------------------------------------------------------------------------------------------------


def network(classes: int = 3) -> Any:
    import keras

    keras.backend.clear_session()
    return get("squeezenet").trainer.build((28, 28, 3), classes=classes, size=48)


def as_torch(model: Any) -> dict[str, np.ndarray]:
    """Convolutions as PyTorch keeps them: (out, in, h, w), then biases."""
    found = {}
    for layer in model.layers:
        for variable in layer.weights:
            value = variable.numpy()
            found[f"{layer.name}.{variable.name}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    return found


class _Named:
    """What a pickle of PyTorch says of itself, without PyTorch."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):  # the Python one: its `save_global` can be told names that are not here
    def save_global(self, obj: Any, name: str | None = None) -> None:
        if isinstance(obj, _Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save_global(obj, name)

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Named):
            self.save_global(obj)
        elif isinstance(obj, _Tensor):
            self.save(_Named("torch._utils", "_rebuild_tensor_v2"))
            strides = tuple(s // obj.value.itemsize for s in obj.value.strides)
            self.save((obj, 0, obj.value.shape, strides, False, collections.OrderedDict()), True)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj: Any) -> Any:
        return None


class _Tensor:
    def __init__(self, key: str, value: np.ndarray) -> None:
        self.key, self.value = key, value


def torch_file(file: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A zip as `torch.save` writes it: data.pkl, and each storage beside it."""
    tensors = {name: _Tensor(str(i), np.ascontiguousarray(a, np.float32)) for i, (name, a) in enumerate(arrays.items())}

    def storage(one: _Tensor) -> bytes:
        """BINPERSID of ("storage", FloatStorage, key, "cpu", count)."""
        out = io.BytesIO()
        pickler = _Pickler(out, 2)
        pickler.save(("storage", _Named("torch", "FloatStorage"), one.key, "cpu", one.value.size))
        return out.getvalue() + pickle.BINPERSID

    class Writer(_Pickler):
        def save(self, obj: Any, save_persistent_id: bool = True) -> None:
            if isinstance(obj, tuple) and obj and isinstance(obj[0], _Tensor):
                self.write(pickle.MARK + storage(obj[0]))
                for part in obj[1:]:
                    super().save(part)
                self.write(pickle.TUPLE)
            else:
                super().save(obj, save_persistent_id)

    stream = io.BytesIO()
    writer = Writer(stream, 2)
    writer.dump(tensors)
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("archive/data.pkl", stream.getvalue())
        for one in tensors.values():
            out.writestr(f"archive/data/{one.key}", one.value.tobytes())
    return file


@pytest.mark.parametrize("form", ["npz", "pickle", "torch"])
def test_weights_go_into_the_network_whoever_kept_them(form: str, tmp_path: Path) -> None:
    arrays = as_torch(network(classes=1000))
    if form == "npz":
        np.savez(tmp_path / "w.npz", **arrays)
        file = tmp_path / "w.npz"
    elif form == "pickle":  # nested, as Flax keeps it, kernels in its own order
        file = tmp_path / "w.ckpt"
        nested = {"Net_0": {k: (v.transpose(2, 3, 1, 0) if v.ndim == 4 else v) for k, v in arrays.items()}}
        file.write_bytes(pickle.dumps(nested, 3))
    else:
        file = torch_file(tmp_path / "w.pt", arrays)
    model = network()
    put_in = weights.put(model, file)
    assert put_in == len(arrays) - 2  # all but the head
    for layer in model.layers[:-1]:
        for variable in layer.weights if layer.name != "conv10" else ():
            own = arrays[f"{layer.name}.{variable.name}"]
            np.testing.assert_array_equal(variable.numpy(), own.transpose(2, 3, 1, 0) if own.ndim == 4 else own)


def test_keras_files_are_matched_by_name(tmp_path: Path) -> None:
    import h5py

    model = network(classes=1000)
    with h5py.File(tmp_path / "w.h5", "w") as out:
        named = [layer for layer in reversed(model.layers) if layer.weights]  # another order
        out.attrs["layer_names"] = [layer.name.encode() for layer in named]
        for layer in named:
            group = out.create_group(layer.name)
            group.attrs["weight_names"] = [variable.name.encode() for variable in layer.weights]
            for variable in layer.weights:
                group[variable.name] = variable.numpy()
    expected = model.get_layer("fire5_expand3").get_weights()[0]
    other = network()
    weights.put(other, tmp_path / "w.h5")
    np.testing.assert_array_equal(other.get_layer("fire5_expand3").get_weights()[0], expected)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", first=np.zeros((64, 3, 7, 7), np.float32), bias=np.zeros(64, np.float32))
    with pytest.raises(UserError, match="does not fit layer conv1"):
        weights.put(network(), tmp_path / "w.npz")


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return (print, ("run",))

    (tmp_path / "w.ckpt").write_bytes(pickle.dumps({"a": Bad()}))
    with pytest.raises(UserError, match=r"builtins\.print, which is no array: refused"):
        weights.read(tmp_path / "w.ckpt")
    (tmp_path / "t.ckpt").write_bytes(b"\x80\x02" + struct.pack("<I", 7))
    with pytest.raises(UserError, match="can't be read as weights"):
        weights.read(tmp_path / "t.ckpt")


def test_what_can_not_be_had_is_said_and_none_offered(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    given = ["--dataset", "flowmaps", "--data", maps, "--out", tmp_path / "run", "--model"]
    refused = {
        "are not here": ["resnet50-frames"],
        "in no cache of Keras": ["alexnet-frames"],
        "no such file": ["vgg16", "--weights", tmp_path / "none.h5"],
        "leave it out": ["laenet", "--weights", "keras"],
        "give --weights or --pretrain": ["vgg16", "--freeze", "0.5"],
        "below 1": ["vgg16", "--freeze", "1"],
        "subject-folds:K": ["laenet", "--protocol", "subject-folds:1"],
        "give loso, subject-folds:K (2 or more)": ["laenet", "--protocol", "frame-split", "--beside", "frame-split"],
        "--input lbp-top: laenet can take flow-map": ["laenet", "--input", "lbp-top"],
    }
    for message, words in refused.items():
        assert run(*given, *words) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        if words[0].endswith("-frames"):
            assert "--weights none to train from scratch" in said
    assert not (tmp_path / "run").exists()


# --- held features ------------------------------------------------------------------------------------------


def test_a_network_is_cut_where_everything_passes() -> None:
    model = network()
    sequential.freeze(model, 0.5)
    parts = frozen.split(model)
    assert parts.before is not None
    assert [layer.name for layer in parts.before.layers][-1] in {"fire5", "pool5"}  # 13 of 26 layers
    data = made_maps(1, 6).maps
    whole = model(data, training=False).numpy()
    np.testing.assert_allclose(parts.after(parts.before(data, training=False), training=False), whole, atol=1e-5)
    assert not {v.name for v in parts.before.trainable_variables}


def test_frozen_layers_stay_as_their_file_has_them(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "w.npz", **as_torch(network()))
    asked: list[int] = []
    held = frozen.held
    monkeypatch.setattr(
        frozen, "held", lambda before, arrays, file: asked.append(len(arrays)) or held(before, arrays, file)
    )
    given = ["--dataset", "flowmaps", "--data", maps, "--protocol", "subject-folds:2", "--epochs", 2, "--seeds", 2]
    given += ["--model", "squeezenet", "--weights", tmp_path / "w.npz", "--freeze", 0.5, "--set", "size=48", "batch=18"]
    assert run(*given, "--out", tmp_path / "run") == 0
    assert asked == [54, 54]  # each seed asks; the second reads what the first computed
    (features,) = (tmp_path / "run" / ".state").rglob("features.npy")
    assert np.load(features).shape[0] == 54
    results = read_results(tmp_path / "run")
    assert (results.config["recipe"]["mirror"], results.config["recipe"]["shift_px"]) == (False, 0)
    assert results.config["weights"].startswith("w.npz (SHA-256 ")
    assert "first 50% of the layers frozen" in results.title
    assert results.parameters < get("squeezenet").parameters
    card = bundle.load(tmp_path / "run" / "bundle").card
    assert "started from w.npz" in card.trained_on
    assert card.protocol.startswith("metrics: subject-folds:2, not leave-one-subject-out")
    assert "held out in 2 groups" in (tmp_path / "run" / "report.html").read_text()
    (file,) = (tmp_path / "run" / ".state").rglob("network-0.npz")
    start = network()
    with np.load(file) as saved:
        stored = np.load(tmp_path / "w.npz")
        first = stored["conv1.kernel"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(saved["v0"], first)
        last = stored["fire9_expand3.kernel"].transpose(2, 3, 1, 0)
        names = [f"{layer.name}.{v.name}" for layer in start.layers for v in layer.weights]
        assert not np.array_equal(saved[f"v{names.index('fire9_expand3.kernel')}"], last)


# --- handcrafted --------------------------------------------------------------------------------------------


def test_lbp_top_counts_as_scikit_image_on_the_picture_plane() -> None:
    from skimage.feature import local_binary_pattern

    volume = np.random.default_rng(0).integers(0, 255, (5, 24, 20)).astype(np.float32)
    spec = lbp_top.LbpTopSpec(blocks=1, radius_px=1, radius_frames=1)
    ours = lbp_top.describe(volume, spec).reshape(3, 59)[0]
    theirs = np.zeros(59)
    for image in volume[1:-1]:
        codes = local_binary_pattern(image.astype(np.uint8), 8, 1, method="default").astype(int)[1:-1, 1:-1]
        theirs += np.bincount(lbp_top.UNIFORM_BINS[codes.ravel()], minlength=59)
    np.testing.assert_allclose(np.sort(ours), np.sort(theirs / theirs.sum()), atol=2e-3)
    np.testing.assert_allclose(ours[58], theirs[58] / theirs.sum(), atol=2e-3)


def test_lbp_top_sees_which_way_things_move() -> None:
    y, x = np.mgrid[:30, :30]
    still = np.stack([np.sin(x / 3.0) * 50 + 100] * 12).astype(np.float32)
    left, right = (np.stack([np.sin((x + way * t) / 3.0) * 50 + 100 for t in range(12)]) for way in (1, -1))
    spec = lbp_top.LbpTopSpec(blocks=1, radius_frames=2)
    described = [lbp_top.describe(np.asarray(v, np.float32), spec).reshape(3, 59) for v in (still, left, right)]
    xy, xt = [d[0] for d in described], [d[1] for d in described]
    assert abs(xy[0] - xy[1]).sum() < 0.4
    assert abs(xt[0] - xt[1]).sum() > 1
    assert abs(xt[1] - xt[2]).sum() > 0.5
    assert y.shape == (30, 30)


def test_clips_of_any_length_are_made_alike_in_time() -> None:
    ramp = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    np.testing.assert_allclose(lbp_top.interpolated(ramp, 13)[:, 0, 0], np.linspace(0, 6, 13), atol=1e-6)
    assert lbp_top.interpolated(ramp[:1], 5).shape == (5, 2, 2)


@pytest.mark.parametrize("shown", ["flow-map", "flow-field"])
def test_bi_woof_is_served_as_it_was_trained(shown: str) -> None:
    fields = made_maps(1, 3, noise=0.3).maps if shown == "flow-map" else _fields()
    ours = bi_woof.describe(fields, shown)
    served = np.concatenate([bi_woof.describe_tf(one[None].astype(np.float32), shown).numpy() for one in fields])
    np.testing.assert_allclose(ours, served, rtol=2e-3, atol=2e-3 * np.abs(ours).max())


def _fields() -> np.ndarray:
    fields = np.random.default_rng(3).normal(0, 0.2, (2, 34, 28, 3)).astype(np.float32)
    fields[..., 2] = np.abs(fields[..., 2])
    return fields


def test_bi_woof_by_hand() -> None:
    """One block moves to the left by 2 px: there alone is mean magnitude times mean strain, in that orientation."""
    field = np.zeros((1, 20, 20, 3), np.float32)
    field[0, 4:8, 8:12] = (-2.0, 0.0, 0.5)
    found = bi_woof.describe(field, "flow-field").reshape(5, 5, 8)
    assert found[1, 2, 4] == pytest.approx(2.0 * 0.5)
    found[1, 2, 4] = 0
    assert not found.any()


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2), (1,)])
def test_the_machine_knows_the_classes_that_it_saw(present: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    label = np.repeat(present, 12)
    features = random.normal(0, 0.1, (len(label), 5)).astype(np.float32)
    features[np.arange(len(label)), label] += 1
    matrix, bias = train(features, label, 3, SvmRecipe())
    np.testing.assert_array_equal((features @ matrix + bias).argmax(1), label)


def test_bi_woof_goes_from_maps_to_a_bundle_that_the_camera_takes(maps: Path, tmp_path: Path) -> None:
    assert (
        run("--dataset", "flowmaps", "--data", maps, "--model", "bi-woof", "--seeds", 3, "--out", tmp_path / "run") == 0
    )
    results = read_results(tmp_path / "run")
    assert results.seeds == [0]
    assert results.parameters == 3 * 201
    assert results.metrics["full"]["uf1"]["mean"] > 0.8
    served = bundle.load(tmp_path / "run" / "bundle")
    data = made_maps(6, 9)
    assert (served.predict(data.maps).argmax(1) == data.label).mean() > 0.9
    assert "Bi-WOOF" in (tmp_path / "run" / "report.html").read_text()


# --- folds --------------------------------------------------------------------------------------------------


def test_subjects_are_held_out_in_groups_of_about_one_size() -> None:
    random = np.random.default_rng(0)
    sizes = random.integers(1, 20, 25)
    person = np.repeat([f"{'a' if i < 15 else 'b'}/{i:02d}" for i in range(25)], sizes)
    folds = list(subject_folds(person, 4))
    held = np.stack([fold.held_out() for fold in folds])
    assert (held.sum(0) == 1).all()  # each sample once
    for fold in folds:
        assert not set(person[fold.train]) & set(person[fold.test])
    assert held.sum(1).max() - held.sum(1).min() <= sizes.max()
    for part in ("a", "b"):  # and of each data set
        own = held[:, [one.startswith(part) for one in person]].sum(1)
        assert own.max() - own.min() <= 2 * sizes.max()
    assert [f.test.tolist() for f in subject_folds(person, 4)] == [f.test.tolist() for f in folds]


def test_the_leak_counts_frames_whose_neighbour_is_in_training() -> None:
    person, clip = np.array(["p"] * 6 + ["q"] * 3), ["a"] * 3 + ["b"] * 3 + ["a"] * 3
    from offline.evaluation.splits import Fold

    test = np.array([1, 3, 4, 8])
    fold = Fold("f", np.setdiff1d(np.arange(9), test), test)
    # 1 between 0 and 2; 3 beside 4 alone, which is tested too; 4 beside 5; 8 beside 7
    assert leak(fold, person, clip).neighbours == 3
    assert "3 have the very next frame" in str(leak(fold, person, clip))
    random = leak(frame_split(1000, 0), np.array(["p"] * 1000), [str(i // 20) for i in range(1000)])
    assert 0.85 < random.neighbours / random.test < 0.95  # 1 − 0.3², less at the clips' ends


def test_runs_by_the_same_groups_are_paired_others_are_not(maps: Path, laenet_run: Path, tmp_path: Path) -> None:
    from offline.commands import evaluate

    folders = [tmp_path / name for name in ("laenet", "bi-woof")]
    for folder in folders:
        arguments = ["--dataset", "flowmaps", "--data", maps, "--protocol", "subject-folds:3", "--out", folder]
        more = ["--epochs", 3] if folder.name == "laenet" else []
        assert run(*arguments, "--model", folder.name, *more) == 0
    runs = [read_results(folder) for folder in folders]
    ((_, _, test),) = evaluate.compare(folders, runs, "uf1")
    assert test.subjects == 6
    with pytest.raises(UserError, match="can't be paired"):
        evaluate.compare([laenet_run, folders[1]], [read_results(laenet_run), runs[1]], "uf1")
    assert read_predictions(folders[0]).scores.shape == (1, 54, 3)


def test_jobs_with_other_weights_have_a_state_of_their_own(tmp_path: Path) -> None:
    entry = get("squeezenet")
    for name, value in (("a", 0.0), ("b", 1.0)):
        np.savez(tmp_path / f"{name}.npz", first=np.full(3, value, np.float32))
    jobs = [fit.Job(entry=entry, recipe=entry.recipe, weights=str(tmp_path / f"{n}.npz")) for n in "ab"]
    said = [entry.trainer.settings(job)["weights"] for job in jobs]
    assert said[0] != said[1]
    assert msgspec.structs.replace(jobs[0], weights="none").shown.name == "flow-map"
