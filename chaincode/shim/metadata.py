"""``org.hyperledger.fabric:GetMetadata``: what the chaincode offers, for Fabric's clients and explorers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from chaincode.shim.arguments import Parameter, is_raw, is_text
from chaincode.shim.contract import Contract, Transaction, query, transactions_of
from chaincode.shim.stub import Stub

_SCHEMA = "https://hyperledger.github.io/fabric-chaincode-node/main/api/contract-schema.json"
_REFERENCE = "#/components/schemas/{name}"
_BINARY = {
    "type": "string",
    "format": "binary",
}  # raw bytes: JSON Schema has no word for them
# What a schema may say where a parameter or a result stands, by the schema of Fabric's metadata itself; whatever
# else there is to say is said in a component of its own, which may say anything.
_PLAIN = frozenset(
    (
        *("$ref", "format", "title", "description", "default", "type", "enum", "readOnly", "example"),
        *("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
        *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "items", "allOf"),
        *("maxProperties", "minProperties", "required", "additionalProperties", "properties"),
    )
)


class Metadata(Contract):
    """The system contract that every Fabric contract framework adds."""

    name: ClassVar[str] = "org.hyperledger.fabric"

    def __init__(
        self,
        contracts: Mapping[str, Mapping[str, Transaction]],
        *,
        title: str = "",
        version: str = "",
    ) -> None:
        self._contracts, self._title, self._version = contracts, title, version

    @query(name="GetMetadata")
    async def get_metadata(self, stub: Stub) -> bytes:
        """Fabric's contract metadata as JSON."""
        return self._document

    @cached_property
    def _document(self) -> bytes:
        offered = {**self._contracts, self.name: transactions_of(self)}
        types = [
            annotation
            for transactions in offered.values()
            for transaction in transactions.values()
            for annotation in _annotations(transaction)
        ]
        schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        described = iter(schemas)
        contracts = {
            name: _contract(name, transactions, described, self._info, components)
            for name, transactions in offered.items()
        }
        document = {
            "$schema": _SCHEMA,
            "info": self._info,
            "contracts": contracts,
            "components": {"schemas": {name: _named(name, each) for name, each in components.items()}},
        }
        return msgspec.json.encode(document, order="sorted")

    @property
    def _info(self) -> dict[str, str]:
        return {"title": self._title, "version": self._version}


def _annotations(transaction: Transaction) -> list[Any]:
    return [
        *(parameter.type for parameter in transaction.parameters),
        transaction.returns,
    ]


def _contract(
    name: str, transactions: Mapping[str, Transaction], schemas: Any, info: Any, components: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "contractInstance": {"name": name},
        "info": info,
        "transactions": [_describe(name, each, schemas, components) for each in transactions.values()],
    }


def _describe(
    contract: str, transaction: Transaction, schemas: Any, components: dict[str, Any]
) -> dict[str, Any]:
    # One schema for each of _annotations' types, in their order.
    where = f"{contract}.{transaction.name}"
    parameters = [
        _parameter(parameter, _fitting(f"{where}.{parameter.name}", next(schemas), components))
        for parameter in transaction.parameters
    ]
    returns = next(schemas)
    description: dict[str, Any] = {
        "name": transaction.name,
        "tag": ["EVALUATE", "evaluateTx"] if transaction.reads_only else ["SUBMIT", "submitTx"],
        "parameters": parameters,
    }
    if transaction.returns not in (None, type(None)):
        fitting = _fitting(f"{where}.returns", returns, components)
        description["returns"] = _BINARY if is_raw(transaction.returns) else fitting
    return description


def _parameter(parameter: Parameter, schema: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": parameter.name, "required": parameter.required, "schema": schema}
    if is_raw(parameter.type):
        described["schema"] = _BINARY
    elif not is_text(parameter.type):
        described["description"] = "JSON"
    return described


def _fitting(name: str, schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema if Fabric's metadata can say it in place; otherwise a reference to a component of that name."""
    if _is_plain(schema):
        return schema
    components[name] = schema
    return {"$ref": _REFERENCE.format(name=name)}


def _is_plain(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True  # additionalProperties: true, false
    within = [*schema.get("properties", {}).values(), *schema.get("allOf", [])]
    within += [schema[field] for field in ("items", "additionalProperties") if field in schema]
    return _PLAIN.issuperset(schema) and all(map(_is_plain, within))


def _named(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A component says its own name, names the others by theirs, and no required fields when there are none."""
    said = {field: each for field, each in schema.items() if field != "required" or each}
    return {"$id": name} | {field: _by_id(each) for field, each in said.items()}


def _by_id(schema: Any) -> Any:
    """With "$id" in it, a component's references are relative to that, no longer to the document."""
    if isinstance(schema, dict):
        return {field: _by_id(each) for field, each in schema.items()}
    if isinstance(schema, list):
        return [_by_id(each) for each in schema]
    return schema.removeprefix(_REFERENCE.format(name="")) if isinstance(schema, str) else schema
