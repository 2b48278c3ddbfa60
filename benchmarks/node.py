"""Node packages, as their lock file says, in the cache outside the repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from network.cache import cache_directory, locked

MANIFESTS = ("package.json", "package-lock.json")
PROGRAMS = ("node", "npm")


def lacking() -> str:
    """What this machine has not got of node and npm; empty when all is there."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"not on PATH: {', '.join(missing)}" if missing else ""


def modules(directory: Path) -> Path:
    """The node_modules of the manifests in ``directory``, installed with ``npm ci`` at first use.

    Raises:
        RuntimeError: node or npm is missing, or npm failed; with the end of what npm said.
    """
    if lacking():
        raise RuntimeError(f"{lacking()}; install Node 20 or later")
    content = b"".join((directory / name).read_bytes() for name in MANIFESTS)
    target = cache_directory() / "node" / hashlib.sha256(content).hexdigest()[:16]
    with locked(target):
        if not (target / "node_modules").is_dir():
            _install(directory, target)
    return target / "node_modules"


def _install(directory: Path, target: Path) -> None:
    """Install beside the target and move it there whole: a half of it must not pass for it."""
    scratch = target.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name in MANIFESTS:
        shutil.copy(directory / name, scratch / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)  # noqa: S607
    if done.returncode:
        raise RuntimeError(f"npm ci failed for {directory}: {done.stderr.strip()[-800:]}")
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
