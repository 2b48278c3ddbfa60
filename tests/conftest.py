"""How the whole suite runs: which tests share a worker, and how long hypothesis may look."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, however slow the machine; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile(
    "candor", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "candor"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests of one file share its real network: with pytest-xdist (--dist loadgroup) they share a worker."""
    if item.get_closest_marker("network"):
        item.add_marker(pytest.mark.xdist_group(item.path.name))
