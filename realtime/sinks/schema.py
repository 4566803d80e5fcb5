"""JSON Schema of the event log, drawn from the types of its lines: ``python -m realtime.sinks.schema [FILE]``.

A line of ``events.jsonl`` is one of ``$defs``, told by its ``type``. What the docstring behind a field says becomes the
description there, so that the schema and the code can't differ. Fields may be added to a line: a reader passes over
those that it does not know, and so does the schema. With ``--published`` the schema is that of a message of
``--publish``: ticks come too, and each has ``seq``, counted per topic.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

import msgspec

from realtime import __version__
from realtime.errors import UserError
from realtime.options import ModuleParser
from realtime.sinks.lines import AnyLine, TickLine

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SEQ = {"type": "integer", "minimum": 0, "description": "Counted per topic: a hole shows what was lost."}


def line_schema(*, published: bool = False) -> dict[str, Any]:
    """The schema of one line of the event log, or of one published message."""
    kinds = [kind for kind in get_args(AnyLine) if published or kind is not TickLine]
    refs, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for kind in kinds:
        definition = definitions[kind.__name__]
        _describe(kind, definition["properties"])
        if published:
            definition["properties"]["seq"] = _SEQ
            definition["required"].append("seq")
    what = "a message of --publish" if published else "a line of events.jsonl"
    return {
        "$schema": _DIALECT,
        "title": f"merealtime {__version__}: {what}",
        "oneOf": list(refs),
        "$defs": definitions,
    }


def _describe(kind: type, properties: dict[str, Any]) -> None:
    """Put what the docstring behind a field says into its property."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            properties[field.target.id]["description"] = inspect.cleandoc(str(text.value.value))


def write(path: Path | None, *, published: bool = False) -> None:
    """Write the schema to a file, or to standard output. UserError where the file can't be written."""
    text = msgspec.json.format(msgspec.json.encode(line_schema(published=published)), indent=2).decode() + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't write the schema ({error.strerror})") from error


def main() -> int:
    """Command line."""
    parser = ModuleParser(prog="realtime.sinks.schema", description="Write the JSON Schema of the event log.")
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="default: standard output")
    parser.add_argument("--published", action="store_true", help="of the messages of --publish instead")
    arguments = parser.parse_args()
    try:
        write(arguments.file, published=arguments.published)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
