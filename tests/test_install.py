"""What scripts/setup.sh installs: pinned, hash-checked, complete, and lean for a live session."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from _session import ROOT

from offline.extra import MODULES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = ("constraints.txt", "constraints-tests.txt")


def pins(file: str) -> dict[str, set[str]]:
    """{package: its pinned versions}; each pin must carry a hash."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / file).read_text()):
        if block.startswith("#"):
            continue
        name, version = re.match(r"([a-z0-9-]+)==(\S+)", block).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in block, f"{file}: {name} has no hash"
        found.setdefault(name, set()).add(version)
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", text)[0].lower() for text in requirements}


def extra(name: str) -> set[str]:
    return names(PROJECT["optional-dependencies"][name])


def test_the_live_pins_hold_what_a_session_needs_and_no_more() -> None:
    live = set(pins("constraints.txt"))
    assert names(PROJECT["dependencies"]) <= live
    assert not live & (extra("offline") - {"matplotlib"}), "MediaPipe insists on matplotlib, on nothing else of those"
    assert not live & (extra("dev") | extra("docs"))


def test_the_pins_of_the_tests_hold_everything_in_the_same_versions() -> None:
    everything = pins("constraints-tests.txt")
    assert names(PROJECT["dependencies"]) | extra("offline") | extra("docs") | extra("dev") - {"merealtime"} <= set(
        everything
    )
    for name, versions in pins("constraints.txt").items():
        assert versions <= everything[name], name


def test_the_commands_ask_for_what_the_extra_brings() -> None:
    assert set(MODULES) == {name.replace("scikit-learn", "sklearn") for name in extra("offline")}


@pytest.mark.parametrize("file", FILES)
def test_pins_name_no_host_and_no_folder(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert not re.search(r"^--|^/|@ ", text, re.MULTILINE)


def test_setup_knows_its_options() -> None:
    done = subprocess.run(["scripts/setup.sh", "--live"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "setup: unknown option --live; there is --tests\n"
