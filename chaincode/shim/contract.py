"""Contracts: classes whose decorated methods are transactions.

A transaction runs on the server's event loop beside all others: hand work of more than some
milliseconds to a thread (``await asyncio.to_thread(score, reports)``), or every other call waits.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_type_hints, overload

from chaincode.shim.arguments import Parameter, parameters_of
from chaincode.shim.errors import Invalid

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])
_MARK = "__fabric_transaction__"


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    transient: tuple[str, ...]
    reads_only: bool


@dataclass(frozen=True, slots=True)
class Transaction:
    """A method as the wire sees it."""

    name: str
    call: Callable[..., Awaitable[Any]]
    parameters: tuple[Parameter, ...]
    returns: Any
    transient: tuple[str, ...]
    reads_only: bool

    def check_transient(self, transient: Mapping[str, bytes]) -> None:
        """Refuse (400) any transient key the transaction has not declared."""
        for key in transient:
            if not any(_matches(pattern, key) for pattern in self.transient):
                raise Invalid("the call brings a transient key that this transaction does not take")


class Contract:
    """Transactions under one name: the class's, or what ``name`` says. One instance serves every call
    at once: keep what belongs to a call in local variables."""

    name: ClassVar[str] = ""


@overload
def transaction(method: Method, /) -> Method: ...
@overload
def transaction(*, name: str = "", transient: Sequence[str] = ()) -> Callable[[Method], Method]: ...
def transaction(
    method: Method | None = None, /, *, name: str = "", transient: Sequence[str] = ()
) -> Method | Callable[[Method], Method]:
    """Make a method a transaction, by ``name`` or its own with "-" for "_".

    ``transient`` lists the transient keys it takes ("report/*": every key with that beginning).
    """
    return _declare(method, _Declaration(name, tuple(transient), reads_only=False))


@overload
def query(method: Method, /) -> Method: ...
@overload
def query(*, name: str = "", transient: Sequence[str] = ()) -> Callable[[Method], Method]: ...
def query(
    method: Method | None = None, /, *, name: str = "", transient: Sequence[str] = ()
) -> Method | Callable[[Method], Method]:
    """As ``transaction``, for a method that writes nothing; a write in it is a defect (500)."""
    return _declare(method, _Declaration(name, tuple(transient), reads_only=True))


def _declare(method: Method | None, declaration: _Declaration) -> Method | Callable[[Method], Method]:
    def mark(function: Method) -> Method:
        setattr(function, _MARK, declaration)
        return function

    return mark if method is None else mark(method)


def name_of(contract: Contract) -> str:
    """The contract's name on the wire."""
    return contract.name or type(contract).__name__


def transactions_of(contract: Contract) -> dict[str, Transaction]:
    """The contract's transactions by wire name; TypeError if one cannot be served."""
    found: dict[str, Transaction] = {}
    for attribute, function in inspect.getmembers(type(contract), inspect.isfunction):
        declaration: _Declaration | None = getattr(function, _MARK, None)
        if declaration is None:
            continue
        name = declaration.name or attribute.replace("_", "-")
        if name in found:
            raise TypeError(f"{name_of(contract)} has two transactions named {name}")
        found[name] = _transaction(name, getattr(contract, attribute), function, declaration)
    return found


def _transaction(
    name: str,
    bound: Callable[..., Awaitable[Any]],
    function: Callable[..., Any],
    declaration: _Declaration,
) -> Transaction:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__} must be an async method")
    returns = get_type_hints(function, include_extras=True).get("return")
    parameters = parameters_of(function)
    return Transaction(name, bound, parameters, returns, declaration.transient, declaration.reads_only)


def _matches(pattern: str, key: str) -> bool:
    if pattern.endswith("*"):
        return key.startswith(pattern[:-1])
    return key == pattern
