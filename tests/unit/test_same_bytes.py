"""The same aggregation gives the same bytes on every machine: recorded digests, here and without this CPU's extras.

`python -m tests.machine` prints them anywhere else; docs/aggregation.md says where that was done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import machine

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "tests" / "machine.json").read_text())


def test_this_machine_computes_the_recorded_digests():
    assert machine.digests() == RECORDED


@pytest.mark.skipif(not machine.extras(), reason="numpy uses nothing here that it could do without")
def test_so_it_does_without_any_cpu_feature_that_numpy_can_do_without():
    bare = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(machine.extras())}
    command = [sys.executable, "-m", "tests.machine"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=bare)
    assert run.stderr.split()[-1] == np.__version__, "no extras are left"
    assert json.loads(run.stdout) == RECORDED
