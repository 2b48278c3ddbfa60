"""docker-compose.yaml is what the topology says, is valid, and holds no secret."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema.validators import validator_for

from network import compose, topology
from network.compose_services import IMAGES, OWN
from network.containers import Hosts, plan_for
from network.drand import node

ROOT = Path(__file__).resolve().parents[2]
NODES = ("peer", "chaincode", "kubo", "cluster", "drand")
THREE = topology.load("three-orgs")


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load(compose.render(THREE))


def faults(document: Any) -> list[str]:
    """What the Compose Specification's JSON schema, as the package check-jsonschema carries it, finds wrong."""
    vendored = resources.files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
    schema = json.loads(vendored.read_text())
    return [error.message for error in validator_for(schema)(schema).iter_errors(document)]


def test_the_committed_file_is_the_rendered_profile() -> None:
    hint = "run: python -m network.compose render --output docker-compose.yaml"
    assert (ROOT / "docker-compose.yaml").read_text() == compose.render(THREE), hint


@pytest.mark.parametrize("profile", topology.profiles())
def test_every_profile_renders_to_the_compose_specification(profile: str) -> None:
    assert faults(yaml.safe_load(compose.render(topology.load(profile)))) == []


def test_the_schema_refuses_what_it_should(document: Any) -> None:
    wrong = {**document, "services": {"one": {"image": "x:1", "depend_on": ["two"]}}}
    assert faults(wrong)


def test_every_organisation_has_all_its_nodes(document: Any) -> None:
    services = document["services"]
    for org in THREE.organisations:
        assert [node for node in NODES if f"{org.name}-{node}" not in services] == []
    assert {f"orderer{index}" for index in range(3)} <= set(services)


def test_every_image_is_pinned_or_built_here(document: Any) -> None:
    for name, service in document["services"].items():
        image = service["image"]
        assert image in OWN.values() or image in IMAGES.values(), name
        assert re.search(r":v?\d+\.\d+\.\d+$", image), name
        assert ("build" in service) == (image in OWN.values()), name


def test_the_dockerfile_takes_programs_of_the_same_versions() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    froms = re.findall(r"^FROM (\S+) AS (\w+)$", dockerfile, re.MULTILINE)
    taken = {name: image for image, name in froms}
    assert taken["fabric"] == IMAGES["tools"]
    assert {name: taken[name] for name in ("kubo", "cluster")} == {
        name: IMAGES[name] for name in ("kubo", "cluster")
    }
    assert (
        "drand/v2 v" + OWN["drand"].partition(":")[2] in (ROOT / "network/programs/drand/go.mod").read_text()
    )
    assert set(OWN) <= set(taken)
    assert "--require-hashes" in dockerfile
    assert "index" not in dockerfile


def test_published_ports_are_distinct_and_on_this_machine_only(document: Any) -> None:
    ports = [port for service in document["services"].values() for port in service.get("ports", [])]
    published = [port.split(":") for port in ports]
    assert {address for address, _, _ in published} == {"127.0.0.1"}
    assert len({outside for _, outside, _ in published}) == len(published) == 9


def test_listeners_of_one_host_have_distinct_ports() -> None:
    hosts = Hosts(THREE)
    addresses = [hosts.address(name) for name in hosts.as_dict()]
    assert len(set(addresses)) == len(addresses)


def test_long_running_services_are_watched_and_waited_for(document: Any) -> None:
    services = document["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed.startswith("setup-") else "service_healthy"
            assert how["condition"] == wanted, (name, needed)
            assert needed in services
        if not name.startswith("setup-") and not name.endswith("-client"):
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert service["restart"] == "unless-stopped", name


def test_no_service_waits_for_itself(document: Any) -> None:
    services = document["services"]

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        for needed in services[name].get("depends_on", {}):
            visit(needed, (*path, name))

    for name in services:
        visit(name, ())


def test_a_container_sees_its_own_organisation_s_files_only(document: Any) -> None:
    for org in THREE.organisations:
        for kind in NODES:
            for mount in document["services"][f"{org.name}-{kind}"]["volumes"]:
                path = mount["volume"]["subpath"]
                assert path == "builder" or org.name in path, (org.name, kind, path)


def test_no_secret_is_in_the_file(document: Any) -> None:
    names = [name for service in document["services"].values() for name in service.get("environment", {})]
    assert not [name for name in names if re.search("SECRET|PASSWORD|CREDENTIAL|KEY", name)]
    assert not re.search(r"[0-9a-f]{32}|BEGIN [A-Z ]*PRIVATE", (ROOT / "docker-compose.yaml").read_text())


def test_the_topology_in_the_file_is_the_one_it_was_rendered_from(document: Any) -> None:
    content = document["configs"]["topology"]["content"].replace("$$", "$")
    assert msgspec.convert(yaml.safe_load(content), topology.Topology) == THREE


def test_a_dollar_is_not_taken_for_a_variable() -> None:
    odd = msgspec.structs.replace(
        THREE, chaincode=msgspec.structs.replace(THREE.chaincode, settings={"note": "$HOME"})
    )
    assert "$$HOME" in compose.render(odd)
    assert not re.search(r"(?<!\$)\$(?!\$)", compose.render(odd))


def test_rendering_is_deterministic() -> None:
    assert compose.render(THREE) == compose.render(topology.load("three-orgs"))


def test_nodes_are_addressed_by_the_names_in_their_certificates() -> None:
    plan = plan_for(THREE)
    assert plan.ports.address("org2/peer/listen") == "peer0.org2.test:7051"
    assert plan.ports.address("orderer1/admin") == "orderer1.orderer.test:7053"
    assert plan.ports.address("org3/chaincode/listen") == "chaincode-server.org3.test:7053"
    assert node(plan, THREE.organisations[0]).private == "org1-drand:4444"


def test_the_command_says_what_is_wrong_with_a_topology(capsys: pytest.CaptureFixture[str]) -> None:
    assert compose.main(["render", "--topology", "nowhere.yaml"]) == 2
    assert "there is no topology file nowhere.yaml" in capsys.readouterr().err
