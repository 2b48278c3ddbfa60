"""``org.hyperledger.fabric:GetMetadata``: what the chaincode offers, for Fabric's clients and explorers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from chaincode.shim.arguments import Parameter, is_raw, is_text
from chaincode.shim.contract import Contract, Transaction, query
from chaincode.shim.stub import Stub

_SCHEMA = "https://hyperledger.github.io/fabric-chaincode-node/main/api/contract-schema.json"
_REFERENCE = "#/components/schemas/{name}"
_BINARY = {
    "type": "string",
    "format": "binary",
}  # raw bytes: JSON Schema has no word for them


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
        types = [
            annotation
            for transactions in self._contracts.values()
            for transaction in transactions.values()
            for annotation in _annotations(transaction)
        ]
        schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        described = iter(schemas)
        document = {
            "$schema": _SCHEMA,
            "info": self._info,
            "contracts": {
                name: _contract(name, transactions, described, self._info)
                for name, transactions in self._contracts.items()
            },
            "components": {"schemas": components},
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


def _contract(name: str, transactions: Mapping[str, Transaction], schemas: Any, info: Any) -> dict[str, Any]:
    return {
        "name": name,
        "contractInstance": {"name": name},
        "info": info,
        "transactions": [_describe(transaction, schemas) for transaction in transactions.values()],
    }


def _describe(transaction: Transaction, schemas: Any) -> dict[str, Any]:
    # One schema for each of _annotations' types, in their order.
    parameters = [_parameter(parameter, next(schemas)) for parameter in transaction.parameters]
    returns = next(schemas)
    description: dict[str, Any] = {
        "name": transaction.name,
        "tag": ["EVALUATE", "evaluateTx"] if transaction.reads_only else ["SUBMIT", "submitTx"],
        "parameters": parameters,
    }
    if transaction.returns not in (None, type(None)):
        description["returns"] = _BINARY if is_raw(transaction.returns) else returns
    return description


def _parameter(parameter: Parameter, schema: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": parameter.name, "schema": schema}
    if is_raw(parameter.type):
        described["schema"] = _BINARY
    elif not is_text(parameter.type):
        described["description"] = "JSON"
    return described
