"""Settings: documented defaults, bounds, unknown keys, overrides."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from realtime import config
from realtime.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SESSIONS = [p for p in sorted(CONFIGS.glob("*.toml")) if not p.name.startswith("offline")]


def test_documented_defaults_are_the_defaults() -> None:
    assert config.load(CONFIGS / "default.toml") == config.Settings()


def test_every_key_is_documented_once() -> None:
    text = (CONFIGS / "default.toml").read_text()
    for section in msgspec.structs.fields(config.Settings):
        body = text.partition(f"[{section.name}]")[2].partition("\n[")[0]
        assert body, f"no section [{section.name}]"
        for field in msgspec.structs.fields(section.type):
            found = re.findall(rf"^(?:# )?{field.name} = .*$", body, flags=re.MULTILINE)
            assert len(found) == 1, f"{section.name}.{field.name}: documented {len(found)} times"


def test_keys_shown_as_comments_are_valid() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", (CONFIGS / "default.toml").read_text(), flags=re.MULTILINE)
    table = tomllib.loads(text)
    assert config.load(overrides={f"{s}.{k}": v for s, keys in table.items() for k, v in keys.items()})


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.name)
def test_shipped_files_load(path: Path) -> None:
    config.load(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("source.fps", 0.0, ["source.fps", "> 0"]),
        ("source.fps", "fast", ["source.fps", "float"]),
        ("source.size", "640", ["source.size"]),
        ("source.frames", 0, ["source.frames", ">= 1"]),
        ("spot.detector", "magic", ["spot.detector", "magic"]),
        ("spot.sigmas", 3, ["unknown key spot.sigmas", "threshold_sigmas"]),
        ("sopt.detector", "lbp", ["unknown key sopt", "spot"]),
        ("runtime.fifo_priority", 99, ["runtime.fifo_priority", "98"]),
        ("runtime.cpus", {"spt": [0]}, ["runtime.cpus.spt", "classify"]),
        ("recognition.threshold", 1.5, ["recognition.threshold", "1"]),
        ("spot.micro_max_s", 100.0, ["micro_max_s"]),
    ],
)
def test_bad_values_are_refused_by_name(key: str, value: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(overrides={key: value})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[ring]\nseconds = 1.0\nspeed = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: unknown key ring\.speed"):
        config.load(path)
    path.write_text("[ring\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: not valid TOML"):
        config.load(path)
    with pytest.raises(ConfigError, match=r"absent\.toml: can't read"):
        config.load(tmp_path / "absent.toml")


def test_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[source]\ncamera = "1"\nfps = 100.0\n')
    settings = config.load(path, {"source.fps": 200.0})
    assert (settings.source.camera, settings.source.fps) == ("1", 200.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spot.detector=lbp", ("spot.detector", "lbp")),
        ("spot.detector='lbp'", ("spot.detector", "lbp")),
        ("source.fps=200", ("source.fps", 200)),
        ("runtime.lock_memory = true", ("runtime.lock_memory", True)),
        ("runtime.cpus={spot=[1]}", ("runtime.cpus", {"spot": [1]})),
        ("source.camera=rtsp://host/a=b", ("source.camera", "rtsp://host/a=b")),
    ],
)
def test_assignments(text: str, expected: tuple[str, object]) -> None:
    assert config.parse_assignment(text) == expected


def test_an_assignment_needs_a_value() -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        config.parse_assignment("spot.detector")


def test_digest_tells_what_changes_results() -> None:
    plain = config.Settings().digest()
    assert config.load(overrides={"output.events": "x", "runtime.threads": 2}).digest() == plain
    assert config.load(overrides={"flow.dense": True}).digest() == plain
    assert config.load(overrides={"flow.backend": "cpu"}).digest() != plain
    assert config.load(overrides={"spot.detector": "lbp"}).digest() != plain
    assert config.load(overrides={"recognition.bundle": "other"}).digest() != plain


@pytest.mark.parametrize(
    ("fps", "shape", "slots"), [(200.0, (480, 640), 500), (10.0, (480, 640), 64), (500.0, (2160, 3840), 64)]
)
def test_ring_is_bounded(fps: float, shape: tuple[int, int], slots: int) -> None:
    assert config.RingSettings().slots(fps, *shape) == slots
