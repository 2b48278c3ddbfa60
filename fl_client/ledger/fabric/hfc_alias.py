"""Lets hfc import beside a current protobuf, and keeps it silent.

hfc's generated ``hfc.protos.*_pb2`` cannot load on protobuf 4 and later; the same messages are in
``fabric_protos``, so a finder answers for them. Import this module before anything of hfc's.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

_PREFIX = "hfc.protos."


class _ProtosFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves ``fabric_protos.X_pb2`` for ``hfc.protos.X_pb2``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.startswith(_PREFIX) and fullname.endswith("_pb2"):
            return importlib.machinery.ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return importlib.import_module("fabric_protos." + spec.name.removeprefix(_PREFIX))

    def exec_module(self, module: ModuleType) -> None:
        """The module was executed under its own name."""


def install() -> None:
    """Register the finder, once."""
    if not any(isinstance(finder, _ProtosFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ProtosFinder())


def silence() -> None:
    """Keep hfc's debug lines, which print whole proposals (transient values too), out of every log."""
    logging.getLogger("hfc").setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("hfc."):  # some of its modules set DEBUG on their own loggers
            logging.getLogger(name).setLevel(logging.WARNING)


install()
