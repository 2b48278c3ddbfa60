"""Audits whatever other tests leave on embedded ledgers: `pytest -p tests.audit.everywhere tests/contracts`.

Not a part of the suite (it takes as long as those tests once more). Content comes from transient maps and from
every directory store; what is in neither (models that are names only) may be missing, all else must be clean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from chaincode.cid import raw_cid
from fl_client.audit import Class, Evidence, Finding, Subject, audit
from fl_client.ledger.embedded import network
from fl_client.store import directory

JOBS = 3  # of one ledger, at most
_networks: list[tuple[network.EmbeddedNetwork, str]] = []  # with its chaincode's name
_contents: dict[str, bytes] = {}


class Left(Evidence):
    """What a test has left of one job."""

    def __init__(self, ledger: network.EmbeddedNetwork, job: str) -> None:
        self.subject = Subject(job, "embedded", ledger.channel, ledger.chaincode, tuple(ledger.organisations))
        self.findings, self._blocks = [], list(ledger.blocks)

    async def blocks(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            yield block.to_bytes()

    async def content(self, cid: str) -> bytes | None:
        return _contents.get(cid)


def pytest_configure() -> None:
    """Watch networks, transient maps and stores."""
    begin, ask, put = (
        network.EmbeddedNetwork.__init__,
        network.EmbeddedNetwork.ask,
        directory.DirectoryStore.put,
    )

    def watched(self: network.EmbeddedNetwork, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        _networks.append((self, self.chaincode))

    async def asked(self: network.EmbeddedNetwork, call: network.Call, organisations: Sequence[str]) -> Any:
        _keep(call.transient)
        return await ask(self, call, organisations)

    async def stored(self: directory.DirectoryStore, data: bytes) -> str:
        name = await put(self, data)
        _contents[name] = data
        return name

    network.EmbeddedNetwork.__init__ = watched  # type: ignore[method-assign]
    network.EmbeddedNetwork.ask = asked  # type: ignore[method-assign]
    directory.DirectoryStore.put = stored  # type: ignore[method-assign]


def _keep(transient: Mapping[str, bytes]) -> None:
    for data in transient.values():
        if len(data) <= 2**20:  # larger ones are attacks, and no raw block
            _contents[raw_cid(data)] = data


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Every job of every ledger, after each test."""
    ledgers, found = list(_networks), list[Finding]()
    _networks.clear()
    for ledger, chaincode in ledgers:
        if ledger.chaincode != chaincode:
            continue  # a test has renamed it
        names = [key.partition("/")[2] for key, _ in ledger.state.items("job/", "job/\U0010ffff")]
        for job in names[:JOBS]:
            found += asyncio.run(audit(Left(ledger, job))).findings
    wrong = [each for each in found if each.kind is not Class.MISSING]
    assert not wrong, wrong[:3]
