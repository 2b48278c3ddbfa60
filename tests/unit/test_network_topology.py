"""Topology files: what is wrong in one is named, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from network.errors import BadTopology
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
        ("name: pilot", "name: p\norderers: {tick: 100}", r"orderers.tick"),
        ("name: pilot", "name: p\norderers: {batch_timeout: soon}", r"`orderers.batch_timeout`.*100ms"),
        ("name: pilot", "name: p\nchaincode: {factory: nothing}", r"`chaincode.factory`.*MODULE:FUNCTION"),
        ("clients: 3", "clients: many", r"organisations\[.*clients"),
        ("clients: 3", "clients: -1", r"`organisations\[1\].clients`.*0 to 1000"),
        ("TwoMSP", "OneMSP", r"`organisations\[1\].msp_id`.*own one"),
        ("two.test", "two", r"`organisations\[1\].domain`.*domain name"),
        ("two.test", "one.example", r"`organisations\[1\].domain`.*must differ"),
        ("{period: 3}", "{period: 0}", r"`drand.period`.*1 second"),
        ("{period: 3}", "{threshold: 1}", r"`drand.threshold`.*use 2 to 3"),
        ("{period: 3}", "{genesis_delay: 1}", r"`drand.genesis_delay`.*5 seconds"),
        ("organisations:", "organisations: [", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadTopology, match=f"(?s){message}") as failure:
        read(tmp_path, GOOD.replace(old, new))
    assert failure.value.exit_code == 2
    assert failure.value.remedy


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(BadTopology, match="three-orgs"):
        load("no-such-profile")
