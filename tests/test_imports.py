"""Imports point one way: types, errors, config, pipeline, options ← vision … sinks ← stages ← supervisor ← cli."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {
    "realtime": 0, "realtime.types": 0, "realtime.errors": 0, "realtime.config": 0,
    "realtime.pipeline": 0, "realtime.options": 0, "realtime.quiet": 0, "realtime.files": 0,
    "realtime.vision": 1, "realtime.recognition": 1, "realtime.ipc": 1, "realtime.synthesis": 1,
    "realtime.sources": 1, "realtime.sinks": 1, "realtime.session": 1, "realtime.web": 1,
    "realtime.stages": 2, "realtime.supervisor": 3, "realtime.check": 3, "realtime.rig": 3, "realtime.serial": 4,
    "realtime.cli": 4,
    "realtime.__main__": 5,
}  # fmt: skip
PURE = ("realtime.vision", "realtime.recognition")  # know no process, no socket
OFFLINE_MAY = {
    "types", "config", "errors", "options", "quiet", "files", "vision", "recognition", "sources", "synthesis",
    "session", "sinks", "serial", "__init__",
}  # fmt: skip
HEAVY = ("tensorflow", "mediapipe", "pycuda", "keras")
FILES = sorted([*(ROOT / "realtime").rglob("*.py"), *(ROOT / "offline").rglob("*.py")])


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def part_of(module: str) -> str:
    """``realtime.vision.flow`` → ``realtime.vision``."""
    return ".".join(module.split(".")[:2])


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """(module, line, at module level) of each import; those for type checking alone are left out."""
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child, top)
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                package = package if path.name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            found.extend((f"{base}.{alias.name}", node.lineno, top) for alias in node.names)
        inside = top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_arrows(path: Path) -> None:
    own = module_of(path)
    for name, line, top in imports_of(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if own.startswith("realtime"):
            assert not name.startswith("offline"), f"{where}: realtime never imports offline"
        if top:
            assert not name.startswith(HEAVY), f"{where}: only inside the function that uses it"
        if not name.startswith("realtime."):
            continue
        part = part_of(name)
        if part not in LEVELS:
            part = "realtime"  # a name of the package itself, as __version__
        if own.startswith("offline"):
            assert part.removeprefix("realtime.") in {*OFFLINE_MAY, "realtime", "__init__"}, where
            continue
        mine = part_of(own)
        assert LEVELS[part] <= LEVELS[mine], f"{where}: that arrow points the wrong way"
        if mine in PURE:
            assert part not in ("realtime.ipc", "realtime.sinks", "realtime.sources"), where


def graph_of(files: list[Path]) -> dict[str, set[str]]:
    """Module → modules of ours that importing it needs at once (not inside a function). A package's own submodules
    count for the package where its ``__init__`` imports them.
    """
    known = {module_of(path) for path in files}
    graph: dict[str, set[str]] = {}
    for path in files:
        needs = set()
        for name, _, top in imports_of(path):
            target = name if name in known else name.rpartition(".")[0]
            if top and target in known and target != module_of(path):
                needs.add(target)
        graph[module_of(path)] = needs
    return graph


def test_no_circle() -> None:
    graph, done, path = graph_of(FILES), set(), []

    def visit(module: str) -> None:
        assert module not in path, f"circle: {' → '.join([*path[path.index(module) :], module])}"
        if module in done:
            return
        path.append(module)
        for needed in sorted(graph[module]):
            visit(needed)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_every_module_has_a_level() -> None:
    for path in (ROOT / "realtime").rglob("*.py"):
        assert part_of(module_of(path)) in LEVELS, f"{path}: say in LEVELS where it belongs"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom realtime.cli import make_parser\nmake_parser()\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "cv2", "zmq", "rich", "numba", "msgspec", "tensorflow", "mediapipe"}
