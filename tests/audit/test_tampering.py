"""Evidence changed in one place: the audit finds it, and names the class, the block and the transaction."""

from __future__ import annotations

import msgspec
import pytest

from chaincode import cid
from chaincode.beacon import DevSigner
from chaincode.shim.memory import ReadWriteSet
from fl_client.audit import Class
from fl_client.audit.findings import SENTENCES
from tests.audit.forging import Forgery, edit_json, replace
from tests.world import GENESIS


def only(report, kind: Class, block: int | None = None, tx_id: str | None = None):
    """Exactly that class, and at least one finding at that place."""
    assert report.classes == [kind], report.findings
    found = report.findings[0]
    assert block is None or found.block == block
    assert tx_id is None or found.tx_id == tx_id
    return found


def test_the_copy_itself_is_clean(forgery: Forgery, audited):
    forgery.seal(forgery.blocks)
    assert audited(forgery).findings == []


def test_a_changed_score(forgery: Forgery, audited):
    number, _, record = forgery.find("Settlement:settle")
    forgery.rewrite(
        "Settlement:settle",
        lambda writes: edit_json(writes, "outcome/", lambda r: r.update(score=r["score"] + 1)),
    )
    found = only(audited(forgery), Class.SCORE, number, record.tx_id)
    assert "score" in found.what
    assert found.expected != found.found


def test_a_changed_payment_in_the_outcome(forgery: Forgery, audited):
    forgery.rewrite("Settlement:settle", lambda w: edit_json(w, "outcome/", lambda r: r.update(payment=1)))
    only(audited(forgery), Class.PAYMENT)


def test_a_credit_that_pays_more(forgery: Forgery, audited):
    forgery.rewrite("Settlement:settle", lambda w: edit_json(w, "credit/", lambda r: r.update(amount=10**6)))
    only(audited(forgery), Class.PAYMENT)


def test_an_extra_payment(forgery: Forgery, audited):
    number, _, record = forgery.find("Settlement:settle", 1)
    key = f"credit/Org2MSP/{record.tx_id}/99"
    forgery.rewrite("Settlement:settle", lambda w: w.update({key: b'{"amount":77}'}), 1)
    found = only(audited(forgery), Class.PAYMENT, number, record.tx_id)
    assert key in found.what


def settled(edit):
    """Change every record of a kind that the second settlement writes; one member is slashed in it."""

    def change(writes: dict[str, bytes | None]) -> None:
        records = {key: msgspec.json.decode(raw) for key, raw in writes.items() if raw}
        edit(records)
        writes.update({key: msgspec.json.encode(each, order="sorted") for key, each in records.items()})

    return change


def test_pay_moved_from_one_member_to_another_with_equal_totals(forgery: Forgery, audited):
    def move(records) -> None:
        for prefix, field in (("outcome/", "payment"), ("credit/Org", "amount"), ("entry/Org", "amount")):
            paid = [key for key in sorted(records) if key.startswith(prefix) and ":" in key]
            paid = [key for key in paid if records[key].get("kind", "payment") == "payment"]
            taker, giver = [key for key in paid if records[key][field] > 5][:2]
            records[taker][field] += 3
            records[giver][field] -= 3

    forgery.rewrite("Settlement:settle", settled(move), 1)
    only(audited(forgery), Class.PAYMENT, forgery.find("Settlement:settle", 1)[0])


def test_a_dither_shifted_by_one_unit(forgery: Forgery, audited):
    def shift(records) -> None:
        for key, each in records.items():
            if key.startswith("outcome/") and each["payment"] > 0:
                each["payment"] += 1

    forgery.rewrite("Settlement:settle", settled(shift), 1)
    assert audited(forgery).findings[0].kind is Class.PAYMENT


def test_a_slash_that_goes_to_a_peer_and_not_to_the_treasury(forgery: Forgery, audited):
    def divert(writes: dict[str, bytes | None]) -> None:
        peer = next(key.split("/")[1] for key in writes if key.startswith("credit/Org") and ":" in key)
        for key in [key for key in writes if key.startswith(("credit/treasury", "entry/treasury"))]:
            writes[key.replace("treasury", peer, 1) + "9"] = writes.pop(key)

    forgery.rewrite("Settlement:settle", divert, 1)
    assert set(audited(forgery).classes) == {Class.PAYMENT, Class.SLASH}


def test_an_aggregate_of_other_updates_than_those_that_count(forgery: Forgery, audited):
    """The drawn aggregator says that it left one out, and gives the model of all of them."""
    record = forgery.find("Aggregation:aggregate")[2]
    left_out = forgery.find("Rounds:commit")[2].creator
    member = forgery.keys[left_out].member_id
    forgery.arguments("Aggregation:aggregate", _5=msgspec.json.encode({member: "missing"}))
    drop = lambda round: round.update(valid=[each for each in round["valid"] if each != member])  # noqa: E731
    forgery.rewrite("Aggregation:aggregate", lambda writes: edit_json(writes, "round/", drop))
    found = audited(forgery).findings
    assert Class.AGGREGATE in {each.kind for each in found if each.tx_id == record.tx_id}, found


def test_a_slash_that_did_not_happen(forgery: Forgery, audited):
    forgery.rewrite(
        "Settlement:settle", lambda w: edit_json(w, "entry/treasury", lambda r: r.update(amount=1)), 1
    )
    only(audited(forgery), Class.SLASH)


def test_a_participant_left_out_of_the_settlement(forgery: Forgery, audited):
    def drop(writes: dict[str, bytes | None]) -> None:
        del writes[next(key for key in writes if key.startswith("outcome/"))]

    forgery.rewrite("Settlement:settle", drop)
    only(audited(forgery), Class.PARTICIPANT)


def test_a_commit_left_out_of_the_chain(forgery: Forgery, audited):
    blocks = forgery.blocks
    number, index, record = forgery.find("Rounds:commit", 2)
    kept = [each for place, each in enumerate(blocks[number].transactions) if place != index]
    blocks[number] = replace(blocks[number], transactions=tuple(kept))
    forgery.seal(blocks)
    report = audited(forgery)
    assert not report.clean
    assert (report.findings[0].kind, report.findings[0].block) == (Class.CHAIN, number)  # it is empty now
    assert Class.VALIDITY in report.classes


def test_a_commit_to_another_digest(forgery: Forgery, audited):
    forgery.rewrite("Rounds:commit", lambda w: edit_json(w, "lock/", lambda r: r.update(digest="0" * 64)))
    only(audited(forgery), Class.COMMIT)


def test_a_reveal_of_another_report(forgery: Forgery, audited):
    other = b"\xb1" * 4
    name = cid.raw_cid(other)
    forgery.contents[name] = other
    forgery.arguments("Rounds:reveal", _3=name.encode())
    only(audited(forgery), Class.REPORT, forgery.find("Rounds:reveal")[0])


def test_a_report_swapped_in_the_content(forgery: Forgery, audited):
    name = forgery.find("Rounds:reveal")[2].args[3].decode()
    forgery.contents[name] = bytes(4)
    report = audited(forgery)
    assert set(report.classes) == {Class.CONTENT, Class.MISSING}
    assert name in report.findings[0].what


@pytest.mark.parametrize("name", ["Rounds:pair", "Settlement:settle"])
def test_a_beacon_of_another_chain(forgery: Forgery, audited, name):
    beacon = msgspec.json.decode(forgery.find(name)[2].args[3])
    forged = DevSigner(b"another", 3, GENESIS).sign(beacon["round"])
    forgery.arguments(name, _3=msgspec.json.encode(forged))
    assert Class.BEACON in audited(forgery).classes


def test_a_true_beacon_that_the_draw_was_not_bound_to(forgery: Forgery, audited):
    beacon = msgspec.json.decode(forgery.find("Rounds:pair")[2].args[3])
    other = DevSigner(b"world", 3, GENESIS).sign(beacon["round"] + 1)
    forgery.arguments("Rounds:pair", _3=msgspec.json.encode(other))
    assert audited(forgery).findings[0].kind is Class.DRAW


def test_other_randomness_than_the_beacons(forgery: Forgery, audited):
    forgery.rewrite(
        "Rounds:pair", lambda w: edit_json(w, "round/", lambda r: r.update(pairing_randomness="0" * 64))
    )
    only(audited(forgery), Class.DRAW)


def test_a_beacon_older_than_what_the_chain_had_seen(forgery: Forgery, audited):
    old = DevSigner(b"world", 3, GENESIS).sign(1)
    forgery.arguments("Rounds:close", 1, _3=msgspec.json.encode(old))
    only(audited(forgery), Class.TIME)


def test_a_longer_window(forgery: Forgery, audited):
    forgery.rewrite("Rounds:open", lambda w: edit_json(w, "round/", lambda r: r.update(deadline=10**10)))
    only(audited(forgery), Class.PHASE)


def test_a_broken_chain_of_blocks(forgery: Forgery, audited):
    block = replace(forgery.blocks[4], previous="f" * 64)
    forgery.raw[4] = block.to_bytes()
    assert [f.block for f in audited(forgery).findings if f.kind is Class.CHAIN] == [4, 5]


def test_a_block_taken_out(forgery: Forgery, audited):
    del forgery.raw[5]
    assert audited(forgery).findings[0].kind is Class.CHAIN


def test_a_missing_report(forgery: Forgery, audited):
    number, _, record = forgery.find("Rounds:reveal", 1)
    name = record.args[3].decode()
    del forgery.contents[name]
    found = only(audited(forgery), Class.MISSING, number, record.tx_id)
    assert name in found.what


@pytest.mark.parametrize("what", ["update", "model"])
def test_a_missing_update_or_model(forgery: Forgery, audited, what):
    gone = {
        "update": forgery.find("Rounds:reveal")[2].args[4].decode(),
        "model": forgery.find("Aggregation:aggregate", 1)[2].args[4].decode(),
    }[what]
    del forgery.contents[gone]
    assert only(audited(forgery), Class.MISSING).expected == gone


def test_a_missing_set_of_public_items_is_no_discrepancy(forgery: Forgery, audited):
    del forgery.contents[cid.raw_cid(b"the public items")]
    assert audited(forgery).clean


def test_a_changed_aggregate(forgery: Forgery, audited):
    other = forgery.contents[forgery.find("Aggregation:aggregate")[2].args[4].decode()]
    name = cid.file_cid(other)
    number = 1
    forgery.arguments("Aggregation:aggregate", number, _4=name.encode())
    forgery.rewrite(
        "Aggregation:aggregate", lambda w: edit_json(w, "round/", lambda r: r.update(result=name)), 1
    )
    record = forgery.find("Aggregation:aggregate", number)[2]
    payload = msgspec.json.decode(record.payload) | {"result": name}
    forgery.change("Aggregation:aggregate", number, payload=msgspec.json.encode(payload, order="sorted"))
    found = only(audited(forgery), Class.AGGREGATE)
    assert "combine to" in found.what


def test_a_result_the_aggregator_did_not_name(forgery: Forgery, audited):
    forgery.rewrite(
        "Aggregation:aggregate",
        lambda w: edit_json(w, "round/", lambda r: r.update(result=cid.raw_cid(b"x"))),
    )
    only(audited(forgery), Class.AGGREGATE)


def test_tokens_minted_without_a_vote(forgery: Forgery, audited):
    record = forgery.signed(forgery.find("Governance:approve")[2], b"another")
    writes = {f"credit/Org1MSP/{record.tx_id}/0": b'{"amount":1000}', "supply": b"999999"}
    rwset = ReadWriteSet(writes=tuple(sorted(writes.items())))
    forgery.add(replace(record, read_write_set=rwset.to_bytes()))
    report = audited(forgery)
    assert report.findings[0].kind is Class.GOVERNANCE
    assert Class.SUPPLY in report.classes


def test_a_vote_that_mints_more(forgery: Forgery, audited):
    forgery.rewrite("Governance:approve", lambda w: w.update(supply=b"1000000000"))
    only(audited(forgery), Class.MINT)


def test_a_member_that_never_registered(forgery: Forgery, audited):
    forgery.rewrite(
        "Registry:register", lambda w: edit_json(w, "member/", lambda r: r.update(msp_id="Org9MSP"))
    )
    only(audited(forgery), Class.MEMBERSHIP)


def test_a_transaction_replayed(forgery: Forgery, audited):
    number, _, record = forgery.find("Token:transfer")
    forgery.add(record)
    found = only(audited(forgery), Class.DUPLICATE, len(forgery.raw) - 1, record.tx_id)
    assert found.block != number


def test_a_transfer_replayed_under_another_id(forgery: Forgery, audited):
    _, _, record = forgery.find("Token:transfer")
    forgery.add(forgery.signed(record, b"another"))
    only(audited(forgery), Class.VALIDITY)


def test_an_invalid_transaction_marked_valid(forgery: Forgery, audited):
    _, _, record = forgery.find("Rounds:close")
    forgery.add(replace(forgery.signed(record, b"another"), code="VALID"))
    found = only(audited(forgery), Class.VALIDITY)
    assert (found.expected, found.found) == ("MVCC_READ_CONFLICT", "VALID")


def test_a_valid_transaction_marked_invalid(forgery: Forgery, audited):
    number, _, record = forgery.find("Rounds:commit")
    forgery.change("Rounds:commit", code="MVCC_READ_CONFLICT")
    only(audited(forgery), Class.VALIDITY, number, record.tx_id)


def test_too_few_endorsers(forgery: Forgery, audited):
    forgery.change("Jobs:create", endorsers=("Org1MSP",))
    only(audited(forgery), Class.ENDORSEMENT)


def test_another_caller(forgery: Forgery, audited):
    _, _, other = forgery.find("Rounds:commit", 1)
    forgery.change("Rounds:commit", creator=other.creator)
    assert audited(forgery).findings[0].tx_id == forgery.find("Rounds:commit")[2].tx_id


def test_another_event(forgery: Forgery, audited):
    forgery.change("Rounds:open", event=("round", b"{}"))
    only(audited(forgery), Class.RESULT)


def test_another_answer(forgery: Forgery, audited):
    forgery.change("Rounds:open", payload=b"{}")
    only(audited(forgery), Class.RESULT)


def test_reads_that_were_not_made(forgery: Forgery, audited):
    _, _, record = forgery.find("Token:transfer")
    rwset = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
    made = replace(rwset, reads=(*rwset.reads, ("zzz", None)))
    forgery.change("Token:transfer", read_write_set=made.to_bytes())
    only(audited(forgery), Class.RESULT)


def test_terms_changed_in_the_founding_transaction_are_shown(forgery: Forgery, audited):
    forgery.arguments("Governance:init", _3=b"50")
    report = audited(forgery)
    assert not report.clean
    assert report.findings[0].block == 1


def test_another_beacon_in_the_manifest(forgery: Forgery, audited):
    forgery.manifest = replace(forgery.manifest, beacon=DevSigner(b"another", 3, GENESIS).info)
    only(audited(forgery), Class.EVIDENCE)


def test_fewer_organisations_in_the_manifest(forgery: Forgery, audited):
    forgery.manifest = replace(forgery.manifest, organisations=("Org1MSP",))
    assert Class.EVIDENCE in audited(forgery).classes


@pytest.mark.parametrize("field", ["channel", "chaincode"])
def test_another_channel_or_chaincode_in_the_manifest(forgery: Forgery, audited, field):
    forgery.manifest = replace(forgery.manifest, **{field: "another"})
    assert not audited(forgery).clean


def test_transactions_of_a_block_in_another_order(forgery: Forgery, audited):
    blocks = forgery.blocks
    forgery.seal([*blocks[:3], blocks[4], blocks[3], *blocks[5:]])
    assert not audited(forgery).clean


def test_every_class_has_a_sentence():
    assert set(SENTENCES) == set(Class)
    assert all(text.endswith(".") for text in SENTENCES.values())
