"""Order of the tests: quick ones first, so that a mistake shows at once."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests last; otherwise as they stand."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
