"""The shim beside a real peer; whatever a contract sees there, it sees on the stub in memory."""

from __future__ import annotations

import json
import random
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from enrolment import enrolled
from peer_commands import until
from second_chaincode import second_chaincode
from two_ledgers import NAME, ONE, ORG, SECOND, Chain, Memory, identity, query, submit

from chaincode.shim.memory import ReadWriteSet, WorldState, validate
from fl_client.audit.fabric.rwset import summarised
from network.binaries import Binaries
from network.errors import CommandFailed
from network.network import Network
from network.pytest_plugin import network_fixture
from network.suites import FABRIC

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]
network = network_fixture(ONE, scope="module")

PAGE = Path(__file__).parents[2] / "docs" / "shim.md"
SECRET = {"secret": b"hidden"}
SEEDING = ("seed", "120")
CHANGING = ("change", "k000", "new")
QUERIES: list[tuple[str, ...]] = [
    ("get", "k003"),
    ("get", "nothing"),
    ("get", "k002"),
    ("get-many", '["k000","nothing","k003"]'),
    ("list", "", ""),
    ("list", "k1", "k11"),
    ("list", "ö", ""),
    ("list", "z", "a"),
    ("leave-early",),
    ("composites", "red"),
    ("page", "50"),
    ("page", "50", "k051"),
    ("page", "1000"),
    ("history", "k002"),
    ("history", "nothing"),
    ("private",),
    ("policies",),
    ("who",),
    ("rich", "true"),
    ("org.hyperledger.fabric:GetMetadata",),
]
FAILURES: list[tuple[tuple[str, ...], int]] = [
    (("refuse",), 409),
    (("write",), 500),
    (("empty-key",), 400),
    (("page-then-write",), 500),
    (("page",), 400),
    (("page", "1.0"), 400),
    (("rich", "false"), 500),
    (("forward", "nobody", "", "[]"), 500),
    (("no-such-transaction",), 404),
    (("Other:get", "k"), 404),
]
CALLS: list[tuple[tuple[str, ...], int, str]] = [  # of the second chaincode by the first: status, payload
    (("seed", "3"), 200, "3"),
    (("change", "k000", "by another"), 200, """["b'0'","b'2'"]"""),  # what was there before
    (("get", "k000"), 200, "by another"),
    (("get", "k005"), 200, ""),
    (("who",), 200, f'"{NAME}","{ONE.channel}"]'),  # the name in the proposal: that of the first chaincode
    (("refuse",), 409, ""),
]


@pytest.fixture(scope="module")
def memory(network: Network) -> Memory:
    """Both ledgers with the same transactions behind them."""
    admin = next(network.directory.glob("**/users/Admin@org1.test/msp/signcerts/*.pem"))
    memory = Memory(identity(admin))
    submit(network, *SEEDING, transient=SECRET)
    submit(network, *CHANGING)
    memory.call(*SEEDING, commit=True, transient=SECRET)
    memory.call(*CHANGING, commit=True)
    return memory


@pytest.fixture(scope="module")
def chain(network: Network) -> Chain:
    """What is committed."""
    return Chain(network)


@pytest.mark.parametrize("args", QUERIES, ids=" ".join)
def test_a_query_answers_the_same_on_fabric_and_in_memory(
    network: Network, memory: Memory, args: tuple[str, ...]
) -> None:
    expected = memory.call(*args)
    assert expected.status == 200
    assert query(network, *args) == expected.payload


@pytest.mark.parametrize(("args", "status"), FAILURES)
def test_a_call_fails_the_same_on_fabric_and_in_memory(
    network: Network, memory: Memory, args: tuple[str, ...], status: int
) -> None:
    expected = memory.call(*args)
    assert expected.status == status
    with pytest.raises(CommandFailed) as failed:
        query(network, *args)
    assert re.search(rf"\b{status}\b", str(failed.value))


def test_a_peer_without_couchdb_refuses_a_rich_query_by_name(network: Network, memory: Memory) -> None:
    with pytest.raises(CommandFailed, match=r"500.*peer: .*not supported for leveldb"):
        query(network, "rich", "false")


def test_a_transactions_event_is_in_the_block_as_it_is_in_memory(memory: Memory, chain: Chain) -> None:
    seeding = next(each for each in chain.transactions() if each.name == "seed")
    assert seeding.event == ("seeded", b"120")
    assert memory.call(*SEEDING, transient=SECRET).event == seeding.event


def test_private_values_and_transient_data_stay_out_of_the_block(memory: Memory, chain: Chain) -> None:
    """Only the hash of the value is in it; the query ``private`` has compared that too."""
    seeding = next(each for each in chain.transactions() if each.name == "seed")
    assert f"{NAME}$_implicit_org_Org1MSP" in seeding.rwsets
    raw = chain.block(seeding.block)
    assert b"seeded" in raw
    assert SECRET["secret"] not in raw


def test_an_enrolments_attributes_reach_the_contract(network: Network, memory: Memory) -> None:
    msp = enrolled(network, ORG, "alice", {"role": "auditor", "hf.Affiliation": "ward.1"})
    alice = identity(msp / "signcerts" / "cert.pem")
    assert alice.attributes["role"] == "auditor"
    answer = query(network, "who", environment={"CORE_PEER_MSPCONFIGPATH": str(msp)})
    assert answer == memory.call("who", creator=alice).payload
    assert json.loads(answer)[1:4] == ["alice", ["client"], dict(alice.attributes)]


def test_a_keys_own_policy_decides_who_must_endorse_its_changes(network: Network, memory: Memory) -> None:
    """In memory a policy is kept and not enforced: docs/shim.md says so."""
    submit(network, "restrict", "k010", "org1")
    submit(network, "change", "k010", "endorsed")
    with pytest.raises(CommandFailed, match="ENDORSEMENT_POLICY_FAILURE"):
        submit(network, "change", "k001", "not endorsed by NobodyMSP")
    assert query(network, "get", "k010") == b"endorsed"
    assert query(network, "get", "k001") == b"1"
    for call in (("restrict", "k010", "org1"), ("change", "k010", "endorsed")):
        memory.call(*call, commit=True)


def test_a_chaincode_calls_another_and_both_writes_are_committed(
    network: Network, memory: Memory, chain: Chain
) -> None:
    with second_chaincode(network, ORG, SECOND, "everything:Everything", Path(__file__).parent):
        for args, status, said in CALLS:
            call = ("forward", SECOND, "", json.dumps(args))
            transient = SECRET if args[0] == "seed" else {}  # it reaches whom one calls, too
            expected = memory.call(*call, commit=True, transient=transient)
            submit(network, *call, transient=transient)
            committed = chain.transactions()[-1]
            assert (committed.status, committed.payload) == (200, expected.payload)
            answered, _, payload = json.loads(expected.payload)
            assert (answered, payload.endswith(said)) == (status, True)
            assert committed.rwsets[NAME].writes == expected.read_write_set.writes
            assert _plain(committed.rwsets.get(SECOND)) == _plain(dict(expected.called)[SECOND])


def test_the_documented_example_runs_beside_a_peer(network: Network, tmp_path: Path) -> None:
    contract, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "assets.py").write_text(contract)
    with second_chaincode(network, ORG, "assets", "assets:Assets", tmp_path):
        submit(network, "create", "car", "7", chaincode="assets")
        with pytest.raises(CommandFailed, match=r"409.*the asset exists"):
            submit(network, "create", "car", "8", chaincode="assets")
        submit(network, "Assets:transfer", "car", "bob", chaincode="assets")
        with pytest.raises(CommandFailed, match=r"403.*only its owner"):
            submit(network, "transfer", "car", "eve", chaincode="assets")
        assert query(network, "read", "car", chaincode="assets") == b'{"owner":"bob","value":7}'


def _plain(rwset: ReadWriteSet | None) -> list[tuple[str, bytes | None]]:
    """Writes of the public state: the stub keeps private values and keys' policies in it too."""
    return [write for write in (rwset.writes if rwset else ()) if not write[0].startswith("\0\0")]


def test_random_transactions_read_write_and_conflict_as_in_memory(
    network: Network, memory: Memory, chain: Chain
) -> None:
    """Every valid one has the same read set, ranges and writes as on the stub, every other the same flaw."""
    scripts = [json.dumps(_script(random.Random(number))) for number in range(24)]  # noqa: S311 - repeatable
    before = len(chain.transactions())
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda script: submit(network, "script", script, wait=False), scripts))
    until(lambda: len(chain.transactions()) >= before + len(scripts))
    state, codes = WorldState(), []
    for each in chain.transactions():
        recorded = each.rwsets.get(NAME, ReadWriteSet())
        if each.name == "script":
            codes.append(each.code)
            assert validate(state, _checkable(recorded), each.block) == each.code
            if each.code == "VALID":
                own = memory.endorse(list(each.args), state=state)
                assert own.payload == each.payload
                assert (
                    msgspec.structs.replace(
                        own.read_write_set, ranges=tuple(map(summarised, own.read_write_set.ranges))
                    )
                    == recorded
                )
        if each.code == "VALID":
            state.apply(recorded.writes, each.version, each.tx_id)
    assert codes.count("VALID") not in (0, len(codes))  # some got in each other's way, or this shows little


def _checkable(rwset: ReadWriteSet) -> ReadWriteSet:
    """Without ranges recorded as hashes: of keys that none of the scripts writes."""
    ranges = (each for each in rwset.ranges if not (each.results and each.results[0][0].startswith("\0")))
    return msgspec.structs.replace(rwset, ranges=tuple(ranges))


def _script(chance: random.Random) -> list[list[str]]:
    """Steps over few keys, some beyond the peer's batches of a range and its limit of recorded results."""
    key = lambda: f"s{chance.randrange(4)}"  # noqa: E731
    steps = {
        "get": lambda: [key()],
        "get-many": lambda: [key(), key()],
        "put": lambda: [key(), str(chance.randrange(100))],
        "delete": lambda: [key()],
        "range": lambda: chance.choice(
            [["s", "t", "0"], ["s1", "s3", "1"], ["s2", "", "0"], ["k", "l", "0"], ["k", "l", "101"]]
        ),
    }
    verbs = chance.choices(list(steps), k=6)
    return [[verb, *steps[verb]()] for verb in verbs]


def test_requests_go_together_exactly_where_the_peer_offers_that(network: Network, memory: Memory) -> None:
    """Batches are Fabric 3's; a peer of 2.5 would end the stream at the first one."""
    query(network, "get-many", '["k000","k003"]')
    version = FABRIC.found_version(Path(Binaries().path("peer")).parent) or ""
    url = f"http://127.0.0.1:{network.port('org1/peer/operations')}/metrics"
    with urllib.request.urlopen(url) as page:  # noqa: S310 - the network's own peer
        metrics = page.read().decode()
    ours = re.findall(rf'^chaincode_shim_requests_completed.*"{NAME}.*$', metrics, re.MULTILINE)
    kinds = {re.sub(r'.*type="([A-Z_]+)".*', r"\1", line) for line in ours}
    together, alone = {"GET_STATE_MULTIPLE", "WRITE_BATCH_STATE"}, {"PUT_STATE", "DEL_STATE"}
    expected, unexpected = (together, alone) if int(version.split(".")[0]) >= 3 else (alone, together)
    assert expected <= kinds
    assert not unexpected & kinds


def test_the_servers_log_has_calls_and_no_payloads(network: Network, memory: Memory) -> None:
    seeded = re.compile(r"candor [0-9a-f]{8} Everything:seed 200 [0-9.]+ ms")
    until(lambda: seeded.search(network.log("org1-chaincode").read_text()))
    log = network.log("org1-chaincode").read_text()
    assert "hidden" not in log
    assert "k000" not in log
