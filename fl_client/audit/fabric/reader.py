"""Reading and verifying Fabric's blocks: the chain of headers, the orderers' signatures, the transactions."""

from __future__ import annotations

import hashlib
from typing import Any

from chaincode.shim.memory import RangeRead, ReadWriteSet
from fl_client.audit.blocks import VALID, Block, Blocks, Transaction
from fl_client.audit.findings import Class, Finding

from . import protos
from .config import Config, read_config, verifies
from .envelope import Envelopes
from .rwset import summarised
from .update import invalid, raw_config, signed_by


class FabricBlocks(Blocks):
    """Verifies one channel's blocks. Trust begins at the first block's certificates: compare its hash."""

    kind = "fabric"
    checks = (
        "the chain of block hashes, and each block's hash over its transactions",
        "each block signed by an orderer whose certificate chains to the channel's ordering organisation",
        "each transaction signed by its creator, whose certificate chains to its organisation",
        "each answer endorsed by peers of more than half of the channel's organisations, for this very proposal",
        "no transaction twice",
    )

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._next, self._previous = 0, b""
        self._config: Config | None = None
        self._raw: Any = None  # the same as Fabric keeps it
        self._envelopes = Envelopes(channel)

    def read(self, raw: bytes) -> Block:
        number = self._next
        self._next += 1
        try:
            block = protos.common.Block.FromString(raw)
        except protos.DecodeError as fault:
            return Block(
                number, "", (), [Finding(Class.FORMAT, f"the block cannot be read: {fault}", number)]
            )
        findings, notes = self._header(block, number), list[str]()
        if block.header.number > number and block.header.previous_hash != self._previous:
            number = block.header.number  # blocks are missing before it
            self._next = number + 1
        header = header_bytes(block.header)
        self._previous = hashlib.sha256(header).digest()
        envelopes = [protos.common.Envelope.FromString(each) for each in self._readable(block)]
        if len(envelopes) != len(block.data.data):
            findings.append(Finding(Class.FORMAT, "a transaction of the block cannot be read", number))
        elif any(_longer(raw, each) for raw, each in zip(block.data.data, envelopes, strict=True)):
            what = "a transaction of the block holds more than one envelope, or less"
            findings.append(Finding(Class.FORMAT, what, number))
        changed = self._changed(envelopes, number, findings, notes)
        if number > 0:
            findings += self._signatures(block, header, number)
        codes = self._codes(block, number, findings)
        transactions = [] if changed else self._transactions(block, number, codes)
        if changed:
            self._config, self._raw = changed, raw_config(envelopes[0])
            findings += [
                Finding(Class.VALIDITY, "the configuration is marked invalid", number, "", VALID, code)
                for code in codes
                if code != VALID
            ]
        return Block(number, self._previous.hex(), transactions, findings, notes)

    def recorded(self, rwset: ReadWriteSet) -> ReadWriteSet:
        ranges = tuple(dict.fromkeys(map(summarised, rwset.ranges)))  # a range read twice is recorded once
        return ReadWriteSet(rwset.reads, ranges, rwset.writes)

    def recorded_range(self, read: RangeRead) -> RangeRead:
        return summarised(read)

    def _header(self, block: Any, number: int) -> list[Finding]:
        found = []
        if block.header.number != number:
            what = "the block has another number than its place"
            found.append(Finding(Class.CHAIN, what, number, "", str(number), str(block.header.number)))
        if block.header.previous_hash != self._previous:
            what, there = "the hash of the block before is another", block.header.previous_hash.hex()
            found.append(Finding(Class.CHAIN, what, number, "", self._previous.hex(), there))
        data = hashlib.sha256(b"".join(block.data.data)).digest()
        if data != block.header.data_hash:
            what, there = "the hash over the block's transactions is another", block.header.data_hash.hex()
            found.append(Finding(Class.CHAIN, what, number, "", data.hex(), there))
        return found

    @staticmethod
    def _readable(block: Any) -> list[bytes]:
        readable = []
        for raw in block.data.data:
            try:
                protos.common.Envelope.FromString(raw)
            except protos.DecodeError:
                continue
            readable.append(raw)
        return readable

    def _changed(
        self, envelopes: list[Any], number: int, findings: list[Finding], notes: list[str]
    ) -> Config | None:
        """The configuration a config block brings; None for every other block."""
        if number > 0 and not (len(envelopes) == 1 and _type(envelopes[0]) == protos.common.CONFIG):
            return None
        try:
            config = read_config(envelopes[0])
            signers = signed_by(self._config, envelopes[0]) if self._config else []
            wrong = invalid(self._config, self._raw, envelopes[0], signers) if self._config else ""
        except (protos.DecodeError, ValueError, KeyError, IndexError) as fault:
            what = f"the channel's configuration cannot be read: {fault}"
            findings.append(Finding(Class.FORMAT, what, number))
            return None
        by = f"; signed by {', '.join(signers) or 'nobody of the channel'}" if self._config else ""
        notes.append(config.describe() + by)
        if wrong:
            findings.append(
                Finding(Class.CONFIGURATION, f"the new configuration is not valid: {wrong}", number)
            )
        if config.channel != self._channel:
            what = "the configuration is another channel's"
            findings.append(Finding(Class.FORMAT, what, number, "", self._channel, config.channel))
        return config

    def _signatures(self, block: Any, header: bytes, number: int) -> list[Finding]:
        if self._config is None:
            return [Finding(Class.ORDERER, "no configuration says who may sign the block", number)]
        try:
            metadata = protos.common.Metadata.FromString(block.metadata.metadata[protos.common.SIGNATURES])
            signers = {name for each in metadata.signatures if (name := self._signer(metadata, each, header))}
        except (protos.DecodeError, IndexError) as fault:
            return [Finding(Class.ORDERER, f"the block's signatures cannot be read: {fault}", number)]
        needed = self._quorum()
        if len(signers) >= needed:
            return []
        what = "the block carries too few valid signatures of orderers of the channel"
        return [Finding(Class.ORDERER, what, number, "", str(needed), str(len(signers)))]

    def _signer(self, metadata: Any, each: Any, header: bytes) -> str:
        """Who made a signature, if it is valid and the configuration lets it sign; "" otherwise."""
        assert self._config is not None
        if self._config.consensus == "BFT":  # by the consenter's number, and nobody else's
            number = protos.common.IdentifierHeader.FromString(each.identifier_header).identifier
            msp_id, pem = self._config.consenters.get(number, ("", b""))
            signed = metadata.value + each.identifier_header + header
        else:
            creator = protos.common.SignatureHeader.FromString(each.signature_header).creator
            identity = protos.identities.SerializedIdentity.FromString(creator)
            msp_id, pem = identity.mspid, identity.id_bytes
            signed = metadata.value + each.signature_header + header
        msp = self._config.orderers.get(msp_id)
        if (
            msp
            and msp.vouches_for(pem)
            and (msp.role(pem) == "orderer" or "orderer" not in msp.roles.values())
            and verifies(pem, each.signature, signed)
        ):
            return f"{msp_id} {hashlib.sha256(pem).hexdigest()}"
        return ""

    def _quorum(self) -> int:
        """One orderer's signature, or with BFT those of a quorum."""
        assert self._config is not None
        count = len(self._config.consenters)
        if self._config.consensus != "BFT" or not count:
            return 1
        faulty = (count - 1) // 3
        return (count + faulty + 2) // 2

    def _codes(self, block: Any, number: int, findings: list[Finding]) -> list[str]:
        flags = (list(block.metadata.metadata) + [b""] * 3)[protos.common.TRANSACTIONS_FILTER]
        if number > 0 and len(flags) != len(block.data.data):
            what = "the block has not one validation flag for each transaction"
            findings.append(
                Finding(Class.FORMAT, what, number, "", str(len(block.data.data)), str(len(flags)))
            )
            return [VALID] * len(block.data.data)
        return [_flag(flag) for flag in flags]

    def _transactions(self, block: Any, number: int, codes: list[str]) -> list[Transaction]:
        if self._config is None:
            return []
        read = []
        for index, (raw, code) in enumerate(zip(block.data.data, codes, strict=True)):
            read.append(self._envelopes.read(raw, self._config, number, index, code))
        return read


def header_bytes(header: Any) -> bytes:
    """What a block's hash is of: number, previous hash and data hash as an ASN.1 sequence."""
    number = header.number.to_bytes(header.number.bit_length() // 8 + 1, "big")
    body = _der(2, number) + _der(4, header.previous_hash) + _der(4, header.data_hash)
    return _der(0x30, body)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _longer(raw: bytes, envelope: Any) -> bool:
    """Whether an envelope's bytes are not just it.

    A block's hash is over all transactions in a row, so it does not tell where one ends: two that are glued
    together have the same hash, and as a protocol buffer only the last of them is there. Peers refuse that too
    (Fabric, protoutil.VerifyTransactionsAreWellFormed). A field that nobody knows belongs to its envelope: whoever
    submits a transaction can add one, and it stays valid.
    """
    return len(envelope.SerializeToString()) != len(raw)


def _type(envelope: Any) -> int:
    try:
        payload = protos.common.Payload.FromString(envelope.payload)
        return int(protos.common.ChannelHeader.FromString(payload.header.channel_header).type)
    except protos.DecodeError:
        return -1


def _flag(code: int) -> str:
    try:
        return str(protos.transactions.TxValidationCode.Name(code))
    except ValueError:
        return str(code)
