"""Results on disk, one file a world and attack, named by the hash of all they follow from, the code included."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

Result = TypeVar("Result", bound=msgspec.Struct)

# Nothing else can change a result
_CODE = (
    ("chaincode", ("direction.py", "draw.py", "lightcheck.py", "sketch.py", "mtpp", "mechanisms")),
    ("fl_client", ("named.py", "strategies", "training")),
    (
        "fl_client.incentives",
        ("attackers", "measures", "evaluate.py", "perceptron.py", "synthetic.py", "world.py"),
    ),
)


class Cache:
    """A directory of results; safe to share between processes: files appear whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, *parts: object, code: str = "") -> Path:
        """Where the result of ``parts`` (plain data) belongs; ``code``: an import path it also follows from."""
        content = msgspec.json.encode([_sources(), _source(code.partition(":")[0]), *parts])
        return self._directory / f"{hashlib.sha256(content).hexdigest()[:32]}.json"

    def get(self, path: Path, kind: type[Result]) -> Result | None:
        """What is stored there, if it can be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def keep(self, path: Path, make: Callable[[], Result], kind: type[Result]) -> Result:
        """What is stored there; otherwise what ``make`` gives, stored."""
        found = self.get(path, kind)
        if found is None:
            found = make()
            self._directory.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(msgspec.json.encode(found))
            part.replace(path)
        return found


@functools.cache
def _sources() -> str:
    digest = hashlib.sha256()
    for package, names in _CODE:
        spec = importlib.util.find_spec(package)
        for name in names:
            for root in spec.submodule_search_locations if spec and spec.submodule_search_locations else ():
                found = Path(root) / name
                for file in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
                    digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _source(module: str) -> str:
    """Of the user's own module."""
    spec = importlib.util.find_spec(module) if module and "." not in module[:1] else None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
