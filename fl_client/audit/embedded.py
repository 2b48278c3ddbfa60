"""The embedded ledger's blocks: a chain of hashes, with the signatures of who submitted, and no others."""

from __future__ import annotations

import hashlib

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import InvalidVersion

from chaincode.shim import Identity, Refusal
from chaincode.shim.memory import ReadWriteSet
from fl_client.audit.blocks import VALID, Block, Blocks, Transaction
from fl_client.audit.findings import Class, Finding
from fl_client.ledger.embedded.records import BlockRecord, TransactionRecord, proposed


class EmbeddedBlocks(Blocks):
    """Checks the hash chain, creators' signatures, and that more than half of the organisations are named.

    `organisations`: the embedded network's; its records hold no certificates to learn them from.
    """

    kind = "embedded"
    checks = (
        "the chain of block hashes",
        "each transaction signed by its creator's key (by no authority: there is none in the blocks)",
        "no transaction twice",
        "endorsers by name (they do not sign)",
    )

    def __init__(self, channel: str, chaincode: str, organisations: tuple[str, ...]) -> None:
        self._channel, self._chaincode, self._organisations = channel, chaincode, organisations
        self._next, self._previous = 0, ""
        self._seen: set[str] = set()

    def read(self, raw: bytes) -> Block:
        number = self._next
        self._next += 1
        try:
            record = BlockRecord.from_bytes(raw)
            if record.number > number and record.previous != self._previous:  # blocks are missing before it
                self._next = record.number + 1
        except (ValueError, RecursionError) as fault:
            return Block(
                number, "", (), [Finding(Class.FORMAT, f"the block cannot be read: {fault}", number)]
            )
        findings = self._chain(record, number)
        if record.to_bytes() != raw:
            findings.append(Finding(Class.FORMAT, "the block is not written as the ledger writes it", number))
        number, self._previous = self._next - 1, record.hash()
        transactions = [
            self._transaction(number, index, each) for index, each in enumerate(record.transactions)
        ]
        return Block(number, record.hash(), transactions, findings)

    def _chain(self, record: BlockRecord, number: int) -> list[Finding]:
        findings = []
        if record.number != number:
            what = "the block has another number than its place"
            findings.append(Finding(Class.CHAIN, what, number, "", str(number), str(record.number)))
        if number and not record.transactions:
            findings.append(Finding(Class.CHAIN, "the block holds no transaction", number))
        if record.previous != self._previous:
            what = "the hash of the block before is another"
            findings.append(Finding(Class.CHAIN, what, number, "", self._previous, record.previous))
        return findings

    def _transaction(self, number: int, index: int, record: TransactionRecord) -> Transaction:
        findings, fault, rwset = [], "", ReadWriteSet()

        def found(kind: Class, flag: str, what: str) -> None:
            nonlocal fault
            fault = fault or flag
            if record.code == VALID:
                findings.append(Finding(kind, what, number, record.tx_id))

        own = hashlib.sha256(record.nonce + record.creator).hexdigest()
        if own != record.tx_id:
            found(Class.PROPOSAL, "BAD_PROPOSAL_TXID", "its id is not the hash of nonce and creator")
        if not self._signed(record):
            what = "its creator's signature is not of this content"
            found(Class.CREATOR, "BAD_CREATOR_SIGNATURE", what)
        if record.tx_id in self._seen:
            found(Class.DUPLICATE, "DUPLICATE_TXID", "the transaction was in a block before")
        self._seen.add(record.tx_id)
        strangers = sorted(set(record.endorsers).difference(self._organisations))
        endorsers = set(record.endorsers).intersection(self._organisations)
        if strangers or len(set(record.endorsers)) != len(record.endorsers):
            what = f"its endorsers are not organisations of the channel, each once: {', '.join(record.endorsers)}"
            found(Class.ENDORSEMENT, "ENDORSEMENT_POLICY_FAILURE", what)
        elif 2 * len(endorsers) <= len(self._organisations):
            what = f"endorsed by {', '.join(sorted(endorsers)) or 'nobody'}"
            found(Class.ENDORSEMENT, "ENDORSEMENT_POLICY_FAILURE", what)
        try:
            rwset = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
            if rwset.to_bytes() != record.read_write_set:
                found(Class.FORMAT, "BAD_RWSET", "its read/write set is not written as the ledger writes it")
        except (ValueError, RecursionError) as error:
            found(Class.FORMAT, "BAD_RWSET", f"its read/write set cannot be read: {error}")
        return Transaction(
            block=number,
            index=index,
            tx_id=record.tx_id,
            code=record.code,
            channel=self._channel,
            chaincode=self._chaincode,
            creator=record.creator,
            args=record.args,
            rwsets={self._chaincode: rwset},
            payload=record.payload,
            event=record.event,
            endorsers=tuple(record.endorsers),
            fault=fault,
            findings=tuple(findings),
        )

    def _signed(self, record: TransactionRecord) -> bool:
        from fl_client.audit.fabric.config import verifies

        content = proposed(self._channel, self._chaincode, record.tx_id, record.args)
        try:
            identity = Identity.parse(record.creator)
        except (Refusal, UnsupportedAlgorithm, InvalidVersion):
            return False
        return verifies(identity.certificate, record.signature, content)
