"""Topology files: what is wrong in one is named, with what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fl_client.cli import network as cli
from network import compose
from network.errors import BadTopology, NetworkError
from network.network import Network
from network.state import State
from network.topology import Topology, load, profiles

GOOD = """
name: pilot
organisations:
  - {msp_id: OneMSP, domain: one.test}
  - {msp_id: TwoMSP, domain: two.test, clients: 3}
  - {msp_id: ThreeMSP, domain: three.test}
drand: {period: 3}
"""


def read(directory: Path, text: str) -> Topology:
    path = directory / "topology.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize("name", profiles())
def test_every_profile_loads(name: str) -> None:
    assert load(name).name == name


def test_defaults_fill_what_a_file_leaves_out(tmp_path: Path) -> None:
    topology = read(tmp_path, GOOD)
    assert (topology.channel, topology.orderers.count, topology.ipfs) == ("candor", 3, False)
    assert [org.clients for org in topology.organisations] == [2, 3, 2]
    assert topology.drand_threshold == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: pilot", "name: pilot\nnmae: x", "unknown field `nmae`"),
        ("name: pilot", "name: 'a b'", "`name`.*letters, digits"),
        ("name: pilot", "name: p\nchannel: Upper", "`channel`.*lower case"),
        ("name: pilot", "name: p\norderers: {count: 0}", r"`orderers.count`.*1 to 25"),
        ("name: pilot", "name: p\norderers: {count: 26}", r"`orderers.count`.*1 to 25"),
        ("name: pilot", "name: p\norderers: {domain: orderer}", r"`orderers.domain`.*domain name"),
        ("name: pilot", "name: p\norderers: {msp_id: a b}", r"`orderers.msp_id`.*Use a name"),
        ("name: pilot", "name: p\norderers: {max_messages: 0}", r"`orderers.max_messages`.*at least 1"),
        ("name: pilot", "name: p\norderers: {tick: '100'}", r"`orderers.tick`.*100ms"),
        ("name: pilot", "name: p\norderers: {tick: 100}", r"orderers.tick"),
        ("name: pilot", "name: p\norderers: {batch_timeout: soon}", r"`orderers.batch_timeout`.*100ms"),
        ("name: pilot", "name: p\nchaincode: {name: a b}", r"`chaincode.name`.*letters, digits"),
        ("name: pilot", "name: p\nchaincode: {version: a b}", r"`chaincode.version`.*letters, digits"),
        ("name: pilot", "name: p\nchaincode: {module: ''}", r"`chaincode.module`.*Name the module"),
        ("name: pilot", "name: p\nchaincode: {factory: nothing}", r"`chaincode.factory`.*MODULE:FUNCTION"),
        ("clients: 3", "clients: many", r"organisations\[.*clients"),
        ("clients: 3", "clients: -1", r"`organisations\[1\].clients`.*0 to 1000"),
        ("clients: 3", "clients: 1001", r"`organisations\[1\].clients`.*0 to 1000"),
        ("TwoMSP", "Two MSP", r"`organisations\[1\].msp_id`.*Use a name"),
        ("TwoMSP", "OneMSP", r"`organisations\[1\].msp_id`.*own one"),
        ("TwoMSP", "OrdererMSP", r"`organisations\[1\].msp_id`.*own one"),
        ("two.test", "two", r"`organisations\[1\].domain`.*domain name"),
        ("two.test", "one.example", r"`organisations\[1\].domain`.*must differ"),
        ("two.test", "orderer.test", r"`organisations\[1\].domain`.*must differ"),
        ("{period: 3}", "{period: 0}", r"`drand.period`.*1 second"),
        ("{period: 3}", "{threshold: 1}", r"`drand.threshold`.*use 2 to 3"),
        ("{period: 3}", "{threshold: 4}", r"`drand.threshold`.*use 2 to 3"),
        ("{period: 3}", "{genesis_delay: 1}", r"`drand.genesis_delay`.*5 seconds"),
        ("organisations:", "organisations: [", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadTopology, match=f"(?s){message}") as failure:
        read(tmp_path, GOOD.replace(old, new))
    assert failure.value.exit_code == 2
    assert failure.value.remedy


PRODUCTION = GOOD.replace("name: pilot", "name: pilot\nproduction: true")
for _number, _name in enumerate(("one", "two", "three")):
    PRODUCTION = PRODUCTION.replace(f"{_name}.test", f"{_name}.test, host: host{_number}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("drand: {period: 3}", "", r"`drand`.*own beacon"),
        (", host: host1", "", r"`organisations\[1\].host`.*Name the machine"),
        ("host2", "host0", r"`organisations\[2\].host`.*Two shares"),
    ],
)
def test_a_production_network_has_its_own_beacon_and_one_share_a_host(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert [org.host for org in read(tmp_path, PRODUCTION).organisations] == ["host0", "host1", "host2"]
    with pytest.raises(BadTopology, match=f"(?s){message}"):
        read(tmp_path, PRODUCTION.replace(old, new))


def test_a_network_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTopology, match=r"`organisations`.*cannot be used"):
        read(tmp_path, "name: nobody\norganisations: []")


def test_one_organisation_is_no_production_network(tmp_path: Path) -> None:
    alone = (
        "name: a\nproduction: true\norganisations: [{msp_id: A, domain: a.test, host: h}]\ndrand: {period: 3}"
    )
    with pytest.raises(BadTopology, match="at least two shares"):
        read(tmp_path, alone)


def test_nothing_starts_all_shares_of_a_production_network_on_one_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read(tmp_path, PRODUCTION)
    file = tmp_path / "topology.yaml"
    with pytest.raises(BadTopology, match="two shares of its beacon on one machine"):
        Network.up(file, tmp_path / "network")
    assert not (tmp_path / "network").exists()
    assert compose.main(["render", "--topology", str(file)]) == 2
    assert "two shares" in capsys.readouterr().err
    with pytest.raises(BadTopology, match="two shares"):
        cli.compose(str(file))


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(BadTopology, match="three-orgs"):
        load("no-such-profile")


def test_a_first_start_removes_nothing_that_is_not_a_networks(tmp_path: Path) -> None:
    """`--directory .` in a project that has a directory called `chaincode`, as this one has."""
    mine = tmp_path / "chaincode" / "mine.py"
    mine.parent.mkdir()
    mine.write_text("precious")
    mode = tmp_path.stat().st_mode
    with pytest.raises(BadTopology, match="holds chaincode, and no network"):
        Network.up("fabric", tmp_path)
    assert mine.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "chaincode"]
    assert tmp_path.stat().st_mode == mode


@pytest.mark.parametrize(
    ("file", "damage"), [("network.json", "{"), ("network.json", "[]"), ("keeper.json", "x")]
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    (tmp_path / "network.json").write_text(msgspec.json.encode(State(load("fabric"), {})).decode())
    (tmp_path / file).write_text(damage)
    with pytest.raises(NetworkError, match=f"{file} is damaged: .* [A-Z]"):
        Network.load(tmp_path).status()
