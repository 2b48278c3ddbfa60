"""How the whole suite runs: how long hypothesis may look."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The same examples every time, however slow the machine; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile(
    "candor", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "candor"))
