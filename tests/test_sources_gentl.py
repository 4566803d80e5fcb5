"""GenTL cameras by harvesters: against ``viky``, the simulated producer that comes in the genicam wheel."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.sources import list_cameras, open_source, take_notices
from realtime.types import SourceRequest

genicam = pytest.importorskip("genicam", reason="genicam is not installed: merealtime[gentl]")
pytest.importorskip("harvesters", reason="harvesters is not installed: merealtime[gentl]")
PRODUCER = Path(genicam.__file__).parent / "viky.cti"


def test_frames_come_with_their_ids_and_times_of_arrival_and_it_is_said() -> None:
    source = open_source(f"gentl:{PRODUCER}#1", SourceRequest(fps=100.0, size=(320, 240)))
    out = np.empty((240, 320), np.uint8)
    seen, stamps = set(), []
    for _ in range(150):
        stamps.append(source.read(out))
        seen.add(out.tobytes())
    source.close()
    source.close()
    info = source.info
    assert (info.width, info.height, info.fps, info.pixel_format) == (320, 240, 100, "Mono8")
    assert len(seen) > 50, "a ball that flies"
    numbers = [stamp.number for stamp in stamps if stamp]
    assert numbers[-1] - numbers[0] >= 149
    assert all(b.number > a.number and b.t_ns > a.t_ns for a, b in itertools.pairwise(filter(None, stamps)))
    assert ("camera time", "the camera gives no times: those of arrival are used") in take_notices(source)


def test_colour_becomes_luma_and_an_id_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(PRODUCER.parent))
    features: dict[str, bool | int | float | str] = {"BouncingBallSize": 40, "Width": 200}
    source = open_source("gentl:viky.cti#VikyTL_DEV_blue", SourceRequest(features=features))
    assert source.info.width == 200
    source.read(np.empty((source.info.height, source.info.width), np.uint8))
    source.close()


def test_the_cameras_of_registered_producers_are_listed_and_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.cti").write_text("no library")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", f"{PRODUCER.parent}:{tmp_path}:/nowhere")
    listed = [camera for camera in list_cameras() if camera.path.startswith("gentl:")]
    broken = [camera for camera in listed if camera.problem]
    assert [camera.path for camera in broken] == [f"gentl:{tmp_path}/broken.cti"]
    assert "cannot be loaded as a GenTL producer" in broken[0].problem
    red, *others = [camera for camera in listed if not camera.problem]
    assert others, "the producer simulates several"
    assert red.path == f"gentl:{PRODUCER}#0"
    assert red.card
    open_source(red.path, SourceRequest()).close()


@pytest.mark.parametrize(
    ("spec", "request_", "said"),
    [
        ("gentl:", {}, "gentl: needs a producer, as in gentl:/opt/vendor/producer.cti"),
        ("gentl:/nowhere/vendor.cti", {}, "no GenTL producer /nowhere/vendor.cti; it comes with the vendor's SDK"),
        (f"gentl:{__file__}", {}, "can't be loaded as a GenTL producer"),
        (f"gentl:{PRODUCER}#77", {}, "cameras of this producer: gentl:viky.cti#0, gentl:viky.cti#1"),
        (f"gentl:{PRODUCER}", {"size": (5000, 240)}, "--size 5000x240: Width = 5000"),
        (f"gentl:{PRODUCER}", {"pixel_format": "Mono12"}, "has no pixel format Mono12"),
        (f"gentl:{PRODUCER}", {"exposure_us": 100.0}, "source.exposure_us: the camera has no such feature"),
        (f"gentl:{PRODUCER}", {"trigger": "Line1"}, "source.trigger: the camera has no such feature"),
        (f"gentl:{PRODUCER}", {"features": {"Foo": 1}}, "source.features.Foo: the camera has no such feature"),
        (f"gentl:{PRODUCER}", {"features": {"PixelFormat": "x"}}, "it takes"),
    ],
)
def test_what_is_not_there_is_one_line(spec: str, request_: dict, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec, SourceRequest(**request_))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "harvesters.core", None)
    with pytest.raises(SourceError, match=r"pip install 'merealtime\[gentl\]'"):
        open_source(f"gentl:{PRODUCER}", SourceRequest())
