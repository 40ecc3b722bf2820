"""Which of the faults run: a chosen half with all tests, every one with FUNDUSD_FAULTS=all."""

from __future__ import annotations

import os

import pytest

ALL = os.environ.get("FUNDUSD_FAULTS") == "all"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the other half, with the reason."""
    for item in items:
        if not ALL and item.get_closest_marker("all_faults"):
            item.add_marker(pytest.mark.skip(reason="one of very many: make faults runs it"))
