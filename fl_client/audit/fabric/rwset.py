"""Fabric's read/write sets as ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from chaincode.shim.memory import RangeRead, ReadWriteSet, Version

from . import protos

DEGREE = 50  # a peer records more results of one range as hashes (maxDegreeQueryReadsHashing)
_MERKLE = "\0merkle"
_NOWHERE: Version = (-1, -1)


def read_rwsets(raw: bytes) -> dict[str, ReadWriteSet]:
    """A transaction's read/write sets by namespace; hashed private data as "NAMESPACE$COLLECTION".

    A namespace that comes twice counts twice, as it does for a peer.
    """
    found: dict[str, ReadWriteSet] = {}
    for each in protos.rwsets.TxReadWriteSet.FromString(raw).ns_rwset:
        _add(found, each.namespace, _public(protos.kv.KVRWSet.FromString(each.rwset)))
        for hashed in each.collection_hashed_rwset:
            rwset = protos.kv.HashedRWSet.FromString(hashed.hashed_rwset)
            _add(found, f"{each.namespace}${hashed.collection_name}", _private(rwset))
    return found


def _add(found: dict[str, ReadWriteSet], name: str, rwset: ReadWriteSet) -> None:
    known = found.get(name, ReadWriteSet())
    found[name] = ReadWriteSet(
        known.reads + rwset.reads, known.ranges + rwset.ranges, known.writes + rwset.writes
    )


def summarised(read: RangeRead) -> RangeRead:
    """A range as a peer records it: with many results only the top hashes of a Merkle tree over them."""
    if len(read.results) <= DEGREE:
        return read
    tree = _Merkle()
    for start in range(0, len(read.results), DEGREE + 1):
        reads = [
            protos.kv.KVRead(key=key, version=protos.kv.Version(block_num=version[0], tx_num=version[1]))
            for key, version in read.results[start : start + DEGREE + 1]
        ]
        tree.add(hashlib.sha256(protos.kv.QueryReads(kv_reads=reads).SerializeToString()).digest())
    return RangeRead(read.start, read.end, read.exhausted, _summary(DEGREE, *tree.done()))


def _public(rwset: Any) -> ReadWriteSet:
    writes: list[tuple[str, bytes | None]] = [
        (each.key, None if each.is_delete else each.value or None) for each in rwset.writes
    ]
    # ours has no policies of single keys: under the name the in-process stub would give them, they differ
    writes += [(f"\0\0parameter\0{each.key}", each.SerializeToString()) for each in rwset.metadata_writes]
    return ReadWriteSet(
        reads=tuple((each.key, _version(each)) for each in rwset.reads),
        ranges=tuple(_range(each) for each in rwset.range_queries_info),
        writes=tuple(writes),
    )


def _private(rwset: Any) -> ReadWriteSet:
    return ReadWriteSet(
        reads=tuple((each.key_hash.hex(), _version(each)) for each in rwset.hashed_reads),
        writes=tuple(
            (each.key_hash.hex(), None if each.is_delete or each.is_purge else each.value_hash)
            for each in rwset.hashed_writes
        ),
    )


def _version(read: Any) -> Version | None:
    return (read.version.block_num, read.version.tx_num) if read.HasField("version") else None


def _range(info: Any) -> RangeRead:
    if info.WhichOneof("reads_info") == "reads_merkle_hashes":
        tree = info.reads_merkle_hashes
        results = _summary(tree.max_degree, tree.max_level, list(tree.max_level_hashes))
    else:
        results = tuple((each.key, _version(each) or _NOWHERE) for each in info.raw_reads.kv_reads)
    return RangeRead(info.start_key, info.end_key, info.itr_exhausted, results)


def _summary(degree: int, level: int, top: Iterable[bytes]) -> tuple[tuple[str, Version], ...]:
    return ((f"{_MERKLE}/{degree}/{level}/" + "/".join(each.hex() for each in top), _NOWHERE),)


class _Merkle:
    """The tree a peer builds over a range's results (fabric, rwsetutil/query_results_helper.go)."""

    def __init__(self) -> None:
        self._levels: dict[int, list[bytes]] = {}
        self._top = 1

    def add(self, leaf: bytes) -> None:
        """The hash of the next batch of results; full levels become one node of the level above."""
        level = 1
        self._levels.setdefault(level, []).append(leaf)
        while len(self._levels[level]) > DEGREE:
            node = _joined(self._levels.pop(level))
            level += 1
            self._levels.setdefault(level, []).append(node)
            self._top = max(self._top, level)

    def done(self) -> tuple[int, list[bytes]]:
        """Fold what is left below the top; the top level and its hashes."""
        for level in range(1, self._top):
            below = self._levels.pop(level, [])
            if below:
                self._levels.setdefault(level + 1, []).append(below[0] if len(below) == 1 else _joined(below))
        top = self._levels[self._top]
        if len(top) > DEGREE:
            self._top, top = self._top + 1, [_joined(top)]
        return self._top, top


def _joined(nodes: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(nodes)).digest()
