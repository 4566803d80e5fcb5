"""A GenTL camera's features by name, with the user's words for what it has not."""

from __future__ import annotations

import contextlib
from typing import Any

from realtime.errors import SourceError


class Nodes:
    """A camera's features by name; ``spec`` is what the user calls it."""

    def __init__(self, node_map: Any, spec: str, failures: tuple[type[Exception], ...]) -> None:
        self._map, self._spec = node_map, spec
        self._failures: tuple[type[Exception], ...] = (*failures, AttributeError, ValueError, TypeError)

    def first(self, names: tuple[str, ...]) -> str | None:
        """The first of these that the camera has and lets be read."""
        return next((name for name in names if self.get(name) is not None), None)

    def get(self, name: str, what: str = "value") -> Any:
        """Value of a feature (or its ``min``, ``max``, ``symbolics``), None where there is none."""
        try:
            return getattr(self._map.get_node(name) and getattr(self._map, name), what)
        except self._failures:
            return None

    def set(self, name: str, value: Any) -> bool:
        """Whether the feature took the value."""
        try:
            getattr(self._map, name).value = value
        except self._failures:
            return False
        return True

    def require(self, name: str, value: Any, key: str) -> None:
        """Set what the user asks for as ``key``. SourceError where the camera has it not, or takes another value."""
        node = getattr(self._map, name, None) if self._has(name) else None
        if node is None:
            raise SourceError(f"{self._spec}: {key}: the camera has no such feature")
        failed: Exception | None = None
        for attempt in (value, *([float(value)] if isinstance(value, int) and not isinstance(value, bool) else [])):
            try:
                node.value = attempt
                return
            except self._failures as error:
                failed = failed or error
        if value is True:
            with contextlib.suppress(*self._failures):
                node.execute()
                return
        raise SourceError(f"{self._spec}: {key} = {value}: {line_of(failed)}{self._takes(name)}")

    def _has(self, name: str) -> bool:
        try:
            return bool(self._map.has_node(name))
        except self._failures:
            return False

    def _takes(self, name: str) -> str:
        symbols, low, high = self.get(name, "symbolics"), self.get(name, "min"), self.get(name, "max")
        if symbols:
            return f"; it takes {', '.join(symbols)}"
        return f"; it takes {low:g} to {high:g}" if low is not None and high is not None else ""


def line_of(error: object) -> str:
    """A producer's words on one line, without where in its sources that was."""
    return " ".join(str(error).split()).partition(" (Message from the source")[0]
