"""A Node chaincode server where the network expects a Python one.

``python -m benchmarks.shim.node_server SCRIPT:NODE_MODULES OPTIONS…`` becomes ``node SCRIPT OPTIONS…``.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Replace this process: its pid, its signals and its CPU time are node's from here on."""
    script, _, modules = sys.argv[1].partition(":")
    environment = {**os.environ, "NODE_PATH": modules}
    os.execvpe("node", ["node", script, *sys.argv[2:]], environment)  # noqa: S606, S607


if __name__ == "__main__":
    main()
