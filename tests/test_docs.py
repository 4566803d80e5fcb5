"""What the pages say is there: paths, links, commands and their options, every field of the event log."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from _session import ROOT

from realtime import cli
from realtime.sinks import lines

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("[!g]*/*.md")])
GENERATED = {"generated/commands.md", "generated/events.md"}  # docs/generate.py makes them
COMMAND = re.compile(r"(?:^ {4}|&& )(?:\.venv/bin/)?(merealtime .*)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("generate")
    sys.modules.pop("generate")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        assert path.exists() or str(path.relative_to(ROOT / "docs")) in GENERATED, f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"], ids=name_of)
def test_paths_are_there(page: Path) -> None:
    named = set(
        re.findall(r"`((?:realtime|offline|bench|docs|tests|examples|scripts|configs)/[\w./-]*)`", page.read_text())
    )
    assert named
    missing = sorted(path for path in named if not (ROOT / path).exists() and "NAME" not in path)
    assert not missing, f"{name_of(page)} names what is not there"


@cache
def help_of(command: str) -> str:
    """What a command's --help says; "" for a session's own."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        cli.main([command, "--help"] if command else ["--help"])
    return text.getvalue()


def test_commands_on_the_pages_exist() -> None:
    seen = 0
    for page in PAGES:
        for line in COMMAND.findall(page.read_text()):
            words = line.split("#")[0].split()[1:]
            command = words[0] if words and not words[0].startswith("-") else ""
            known = help_of(command)
            assert "usage:" in known, f"{name_of(page)}: {line}"
            for option in (word for word in words if word.startswith("--")):
                assert re.search(rf"{option}\b", known), f"{name_of(page)}: {line}: no {option}"
                seen += 1
    assert seen > 40


def test_the_event_log_s_page_has_each_field(generate) -> None:
    page = generate.events_page(generate.line_schema())
    for line in get_args(lines.AnyLine):
        kind = line.__struct_config__.tag
        section = page.split(f"\n## {kind}\n")[1].split("\n## ")[0]
        for field in msgspec.structs.fields(line):
            assert f"| `{field.encode_name}` |" in section, f"{kind}.{field.name}"
    assert "| `kind` | `macro` or `micro` | yes |" in page


def test_each_module_has_its_place_in_the_api(generate) -> None:
    rooms = generate.rooms_of("realtime") | generate.rooms_of("offline")
    assert {"realtime.vision.flow", "realtime.vision.flow.api"} <= set(rooms["realtime.vision.flow"])
    assert "realtime.synthesis._kernels" not in rooms["realtime.synthesis"]
    listed = [name for names in rooms.values() for name in names]
    assert len(listed) == len(set(listed)) > 80


def test_pictures_and_pages_fetch_nothing() -> None:
    """A picture that names a font's host tells that host who reads the page."""
    for path in [*(ROOT / "docs").glob("*.svg"), ROOT / "docs" / "conf.py"]:
        assert not re.search(r"url\((?!#)|@import|(?:src|href)=.http", path.read_text()), name_of(path)
