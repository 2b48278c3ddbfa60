"""Things chosen by name: a registry's entry, or the user's own by import path ``module:Name``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from fl_client.errors import BadInput


def resolve(name: str, registry: Mapping[str, Any], kind: str) -> Any:
    """The entry of ``registry`` called ``name``, or what the import path ``module:Name`` names.

    The working directory is looked in too, as `python` does and an installed command does not. ``kind`` says in the
    error what was looked for. Raises BadInput if there is no such thing.
    """
    if name in registry:
        return registry[name]
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        known = ", ".join(sorted(registry)) or "none"
        raise BadInput(f"no {kind} is called {name!r}", f"Known: {known}; your own: module:Name")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"{kind} {name!r} cannot be imported: {error}", "Check the import path") from error


def make(name: str, registry: Mapping[str, Any], kind: str, /, **settings: object) -> Any:
    """What ``resolve`` finds, made with ``settings``. Raises BadInput also if it cannot be made with them."""
    found = resolve(name, registry, kind)
    try:
        return found(**settings)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{kind} {name!r} cannot be made: {error}", "Check its settings") from error
