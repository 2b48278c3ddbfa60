"""From the bytes of a proposal to the typed arguments of a method."""

from __future__ import annotations

import enum
import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from chaincode.shim.errors import Invalid

ARGUMENT_LIMIT = 1 << 20  # bytes; raw ``bytes`` parameters may be longer
DEPTH_LIMIT = 100  # brackets inside brackets
_BRACKETS = re.compile(
    rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL
)  # linear: a string always matches
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a transaction: its name, its annotation, and how its bytes are read."""

    name: str
    type: Any
    required: bool
    read: Callable[[bytes], Any]


def parameters_of(method: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters after ``self`` and ``stub``. TypeError, at start-up, for what cannot go on the wire."""
    hints = get_type_hints(method, include_extras=True)
    parameters = list(inspect.signature(method).parameters.values())[2:]
    return tuple(_parameter(method, parameter, hints) for parameter in parameters)


def _parameter(method: Callable[..., Any], parameter: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
    where = f"{method.__qualname__}: parameter {parameter.name}"
    if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise TypeError(f"{where} must be an ordinary positional parameter")
    if parameter.name not in hints:
        raise TypeError(f"{where} needs an annotation")
    annotation = hints[parameter.name]
    required = parameter.default is inspect.Parameter.empty
    return Parameter(parameter.name, annotation, required, _reader(annotation))


def _reader(annotation: Any) -> Callable[[bytes], Any]:
    if is_raw(annotation):
        return lambda raw: msgspec.convert(raw, annotation)
    if is_text(annotation):
        return lambda raw: msgspec.convert(_limited(raw).decode(), annotation)
    decoder = msgspec.json.Decoder(annotation, strict=True)
    return lambda raw: _decode(decoder, _limited(raw))


def is_raw(annotation: Any) -> bool:
    """Whether it travels as it is: bytes, or a constrained or new type of it."""
    return _bare(annotation) is bytes


def is_text(annotation: Any) -> bool:
    """Whether it travels as UTF-8 text: str, a constrained or new type of it, literals, string enums."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return all(isinstance(value, str) for value in get_args(bare))
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return all(isinstance(member.value, str) for member in bare)
    return bare is str


def _bare(annotation: Any) -> Any:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def _limited(raw: bytes) -> bytes:
    if len(raw) > ARGUMENT_LIMIT:
        raise ValueError(f"longer than {ARGUMENT_LIMIT} bytes")
    return raw


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    _check_depth(raw)
    value = decoder.decode(raw)
    if b"{" in raw:  # msgspec lets the last of two equal keys win; two readers could then disagree
        json.loads(raw, object_pairs_hook=_without_duplicates)
    return value


def _check_depth(raw: bytes) -> None:
    """Refuse deep nesting by counting: decoders recurse, and how far is up to whoever sets Python's limit."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_LIMIT:
        return
    depth = 0
    for token in _BRACKETS.finditer(raw):
        depth += _STEPS.get(token[0], 0)  # a string is a token of no step
        if depth > DEPTH_LIMIT:
            raise ValueError("nested too deeply")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("an object names a key twice")


def decode_arguments(parameters: Sequence[Parameter], args: Sequence[bytes]) -> list[Any]:
    """The typed arguments, or Invalid (400) that names the parameter."""
    required = sum(parameter.required for parameter in parameters)
    if not required <= len(args) <= len(parameters):
        expected = str(required) if required == len(parameters) else f"{required} to {len(parameters)}"
        raise Invalid(f"{expected} arguments expected, got {len(args)}")
    return [_argument(parameter, raw) for parameter, raw in zip(parameters, args, strict=False)]


def _argument(parameter: Parameter, raw: bytes) -> Any:
    try:
        return parameter.read(raw)
    except UnicodeDecodeError:
        problem = "not valid UTF-8"
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        problem = str(error)
    except RecursionError:
        problem = "nested too deeply"
    raise Invalid(f"argument {parameter.name}: {problem}", argument=parameter.name)
