"""What the pages draw from the code itself: the commands' help, the event log's schema, a page of API a folder.

``conf.py`` calls ``write`` before each build. Nothing of it is kept in the tree, so nothing goes stale.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from realtime.cli import OFFLINE_COMMANDS

ROOT = Path(__file__).resolve().parents[1]

INTRODUCTION = """# Event log

One JSON object a line, written and flushed as it happens: first `session`, last `summary`. `--publish` sends the
same objects, and `tick` 20 times a second, each with `seq`, counted per topic. Fields may be added; none changes its
meaning. Times `…_t_ns` are nanoseconds on the machine's monotonic clock (a recording's: since its first frame); frame
numbers are the source's own, so a lost frame leaves a hole. Drawn from the types that write the log; the JSON Schema
itself, for programs, lies beside the pages as `events.schema.json`.
"""


def write(folder: Path) -> None:
    """Write the generated pages, those of modules that are gone removed."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = {"commands.md": commands_page(), "events.md": events_page(line_schema())}
    pages["events.schema.json"] = json.dumps(line_schema(), indent=2)
    for package in ("realtime", "offline"):
        rooms = rooms_of(package)
        listed = "\n".join(f"api/{room}" for room in rooms)
        pages[f"{package}.md"] = f"# {package}\n\n```{{toctree}}\n{listed}\n```\n"
        pages |= {f"api/{room}.md": api_page(room, names) for room, names in rooms.items()}
    for name, content in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def rooms_of(package: str) -> dict[str, list[str]]:
    """{folder, dotted: its modules} of what others may use: no name with an underscore, none without a docstring."""
    rooms: dict[str, list[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")) and ast.get_docstring(ast.parse(path.read_text())):
            rooms.setdefault(".".join(parts[:-1]), []).append(name)
    return rooms


def api_page(room: str, names: list[str]) -> str:
    """A page a folder, a section a module."""
    sections = (f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names)
    return f"# {room}\n\n" + "\n".join(sections)


def commands_page() -> str:
    """What each command says of itself."""
    parts = ["# Commands\n"]
    for name in ("", "keys", *OFFLINE_COMMANDS):
        words = [sys.executable, "-m", "realtime", *([name] if name else []), "--help"]
        done = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        parts.append(f"## merealtime{' ' * bool(name)}{name}\n\n```text\n{done.stdout.rstrip()}\n```\n")
    return "\n".join(parts)


ENVIRONMENT = {"COLUMNS": "110", "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}


def line_schema() -> dict[str, Any]:
    """JSON Schema of a line, published ones too."""
    if importlib.util.find_spec("realtime.sinks.schema"):
        made: dict[str, Any] = importlib.import_module("realtime.sinks.schema").line_schema(published=True)
        return made
    return msgspec.json.schema(importlib.import_module("realtime.sinks.lines").AnyLine)


def events_page(schema: dict[str, Any]) -> str:
    """A section a type of line, a row a field."""
    parts = [INTRODUCTION]
    for line in schema["$defs"].values():
        fields = line.get("properties", {})
        if "type" not in fields:
            continue  # a part of a line
        rows = [
            f"| `{name}` | {shape(field)} | {'yes' if name in line.get('required', ()) else ''} | {said(field)} |"
            for name, field in fields.items()
        ]
        about = line.get("description", "")
        head = "| field | type | always | |\n|---|---|---|---|\n"
        parts.append(f"## {fields['type']['enum'][0]}\n\n{about}\n\n{head}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def shape(field: dict[str, Any]) -> str:
    """A field's type in a few words."""
    if "anyOf" in field:
        return " or ".join(shape(part) for part in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    kind = str(field.get("type", "any"))
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"object of {shape(field['additionalProperties'])}"
    if kind == "array" and isinstance(field.get("items"), dict):
        return f"list of {shape(field['items'])}"
    if kind == "array" and "prefixItems" in field:
        return "(" + ", ".join(shape(part) for part in field["prefixItems"]) + ")"
    return kind


def said(field: dict[str, Any]) -> str:
    return " ".join(str(field.get("description", "")).replace("|", "\\|").replace("``", "`").split())
