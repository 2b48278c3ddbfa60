"""CIDs equal kubo's, and only their canonical form is accepted."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.cid import LEAF_BYTES, check, file_cid, parse, raw_cid

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
# Printed by kubo 0.43.0: ipfs add --only-hash with the options in chaincode/cid.py, over 00 01 … ff 00 01 …
KUBO = {
    1048576: "bafkreih3xkzit57zjmsxg3cyxzdktfgeih6qevjmyybcguxd3bws7k34qm",
    1048577: "bafybeidilpoket5zygjfcrvh76gvmez7iwgzmf55stwnofqxvprkyjlf7y",
    3145745: "bafybeibfqs5xfltnbhvgxqv4lb6wvx37bibxssps7kdm47ksgodhiyxnwa",
}
KUBO_1025_ZERO_LEAVES = "bafybeigt7wofv4vnxbg3titijasuw4ptg5kfztec4smsk7opdt7z6djoxq"


def pattern(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def encode(binary: bytes) -> str:
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def test_small_files_are_raw_blocks_with_known_cids() -> None:
    assert file_cid(b"") == raw_cid(b"") == EMPTY
    assert file_cid(b"hello world") == raw_cid(b"hello world") == HELLO


@pytest.mark.parametrize("size", KUBO)
def test_larger_files_have_kubos_cids(size: int) -> None:
    assert file_cid(pattern(size)) == KUBO[size]


def test_a_second_level_of_links_starts_after_1024_leaves() -> None:
    leaf = bytes(LEAF_BYTES)
    assert file_cid(leaf for _ in range(1025)) == KUBO_1025_ZERO_LEAVES


@given(st.lists(st.integers(0, 3 * LEAF_BYTES // 2), max_size=3))
def test_the_chunks_a_file_comes_in_do_not_matter(sizes: list[int]) -> None:
    data = pattern(sum(sizes))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    assert file_cid(data[s : s + size] for s, size in zip(starts, sizes, strict=True)) == file_cid(data)


def test_a_cid_names_its_codec_and_digest() -> None:
    assert parse(HELLO) == ("raw", hashlib.sha256(b"hello world").digest())
    assert parse(KUBO[1048577]).codec == "dag-pb"
    assert str(parse(HELLO)) == HELLO


DIGEST = hashlib.sha256(b"x").digest()


@pytest.mark.parametrize(
    "cid",
    [
        "",
        "b",
        HELLO.upper(),
        "B" + HELLO[1:].upper(),
        HELLO + "a",
        HELLO[:-1],
        HELLO + "\n",
        " " + HELLO,
        HELLO + "=",
        HELLO[:-1] + "f",  # the two padding bits set: the same 36 bytes
        "z" + HELLO[1:],
        "f" + (b"\x01\x55\x12\x20" + DIGEST).hex(),
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        encode(b"\x02\x55\x12\x20" + DIGEST),  # version 2
        encode(b"\x01\x71\x12\x20" + DIGEST),  # dag-cbor
        encode(b"\x01\x55\x13\x20" + DIGEST),  # another hash
        encode(b"\x01\x55\x12\x1f" + DIGEST),  # another length
        encode(b"\x01\x55\x12\x20" + DIGEST[:-1]),
        HELLO[:20] + "1" + HELLO[21:],  # 1 is no base32 digit
    ],
)
def test_anything_but_the_canonical_form_is_refused(cid: str) -> None:
    with pytest.raises(ValueError, match="is not|canonical"):
        parse(cid)


def test_the_last_digit_of_hello_has_free_bits() -> None:
    assert HELLO[-1] == "e"  # so that "f" above differs from it only in padding bits


def test_check_accepts_the_content_and_refuses_another() -> None:
    check(HELLO, b"hello world")
    check(KUBO[1048577], pattern(1048577))
    with pytest.raises(ValueError, match=HELLO):
        check(EMPTY, b"hello world")


def test_check_refuses_one_raw_block_above_the_limit() -> None:
    data = bytes(LEAF_BYTES + 1)
    with pytest.raises(ValueError, match="the content's CID"):
        check(raw_cid(data), data)


@pytest.mark.parametrize("head", ["02551220", "00551220", "01711220", "01551120", "01551221"])
def test_another_version_codec_or_hash_is_named_as_such(head: str) -> None:
    binary = bytes.fromhex(head) + bytes(32)
    text = "b" + base64.b32encode(binary).decode().lower().rstrip("=")
    with pytest.raises(ValueError, match="not a CIDv1 of a raw or dag-pb block"):
        parse(text)
