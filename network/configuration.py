"""core.yaml and orderer.yaml, as far as they differ from the programs' defaults.

They are written whole for every node instead of overriding a sample by environment variables:
``vm.endpoint: ""`` cannot be said by variable (an empty one is ignored, and /healthz then waits
for a Docker that is not there), and a release from PATH may bring no sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from network.identities import Identities, orderer_host
from network.plan import Plan
from network.steps import private_directory, write_private
from network.topology import Organisation

_BCCSP = {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}}
_MESSAGE = 100 << 20  # bytes, Fabric's own default


def orderer_directory(plan: Plan, index: int) -> Path:
    """Where an orderer's configuration and data are."""
    return plan.directory / "nodes" / f"orderer{index}"


def peer_directory(plan: Plan, org: Organisation) -> Path:
    """Where a peer's configuration and data are."""
    return plan.directory / "nodes" / f"{org.name}-peer"


def admin_directory(plan: Plan, org: Organisation) -> Path:
    """Where the configuration of the ``peer`` command of an organisation's admin is."""
    return plan.directory / "nodes" / f"{org.name}-admin"


def write_all(plan: Plan, identities: Identities) -> None:
    """Every node's file, and one for each organisation's admin."""
    _copy_builder(plan)
    for index in range(plan.topology.orderers.count):
        _write(orderer_directory(plan, index) / "orderer.yaml", orderer(plan, identities, index))
    for org in plan.topology.organisations:
        _write(peer_directory(plan, org) / "core.yaml", peer(plan, identities, org))
        _write(admin_directory(plan, org) / "core.yaml", admin(plan, identities, org))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    private_directory(path.parent)
    write_private(path, yaml.safe_dump(dict(content), sort_keys=False))


def orderer(plan: Plan, identities: Identities, index: int) -> dict[str, Any]:
    """orderer.yaml: no system channel, TLS everywhere, the admin service only with a certificate."""
    name, data = f"orderer{index}", orderer_directory(plan, index) / "data"
    tls = identities.orderer(index) / "tls"
    pair = {"PrivateKey": f"{tls}/server.key", "Certificate": f"{tls}/server.crt"}
    return {
        "General": {
            "ListenAddress": plan.ports.host(f"{name}/listen"),
            "ListenPort": plan.ports.get(f"{name}/listen"),
            "TLS": {"Enabled": True, **pair, "RootCAs": [f"{tls}/ca.crt"], "ClientAuthRequired": False},
            "Keepalive": {"ServerMinInterval": "10s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
            "MaxRecvMsgSize": _MESSAGE,
            "MaxSendMsgSize": _MESSAGE,
            "Cluster": {
                "SendBufferSize": 100,
                "RPCTimeout": "3s",  # what a transaction sent on to a leader that just died is held for
                "ClientCertificate": f"{tls}/server.crt",
                "ClientPrivateKey": f"{tls}/server.key",
            },
            "BootstrapMethod": "none",
            "LocalMSPDir": str(identities.orderer(index) / "msp"),
            "LocalMSPID": plan.topology.orderers.msp_id,
            "BCCSP": _BCCSP,
            "Authentication": {"TimeWindow": "15m"},
        },
        "FileLedger": {"Location": str(data / "ledger")},
        "Operations": {"ListenAddress": plan.ports.address(f"{name}/operations")},
        "Metrics": {"Provider": "prometheus"},
        "Admin": {
            "ListenAddress": plan.ports.address(f"{name}/admin"),
            "TLS": {
                "Enabled": True,
                **pair,
                "RootCAs": [f"{tls}/ca.crt"],
                "ClientAuthRequired": True,
                "ClientRootCAs": [f"{tls}/ca.crt"],
            },
        },
        "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
        "Consensus": {"WALDir": str(data / "wal"), "SnapDir": str(data / "snapshots")},
    }


def peer(plan: Plan, identities: Identities, org: Organisation) -> dict[str, Any]:
    """core.yaml of a peer: no Docker, chaincode only as a service."""
    name, data = f"{org.name}/peer", peer_directory(plan, org) / "data"
    return {
        "peer": _peer_section(plan, identities, org, data),
        "vm": {"endpoint": ""},
        "chaincode": {
            "externalBuilders": [{"name": "ccaas", "path": str(builder_directory(plan))}],
            "installTimeout": "60s",
            "startuptimeout": "30s",
            "executetimeout": "30s",
            "mode": "net",
            "keepalive": 0,
            "logging": {"level": "info", "shim": "warning"},
            "runtimeParams": {"useWriteBatch": True, "useGetMultipleKeys": True},  # 3.x; 2.5 skips it
            "system": dict.fromkeys(("_lifecycle", "cscc", "lscc", "qscc"), "enable"),
        },
        "ledger": {
            "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100000},
            "history": {"enableHistoryDatabase": True},  # when a payment was made: Token:statement
            "snapshots": {"rootDir": str(data / "snapshots")},
        },
        "operations": {"listenAddress": plan.ports.address(f"{name}/operations")},
        "metrics": {"provider": "prometheus"},
    }


def builder_directory(plan: Plan) -> Path:
    """The external builder: scripts a peer runs to take a chaincode package in."""
    return plan.directory / "builder"


def _copy_builder(plan: Plan) -> None:
    """Copy the scripts here: what a package manager unpacks may not be executable, or may go away."""
    target = private_directory(builder_directory(plan) / "bin")
    for script in resources.files("network").joinpath("builder", "bin").iterdir():
        write_private(target / script.name, script.read_text())
        (target / script.name).chmod(0o700)


def _peer_section(plan: Plan, identities: Identities, org: Organisation, data: Path) -> dict[str, Any]:
    address = plan.ports.address(f"{org.name}/peer/listen")
    tls = identities.peer(org) / "tls"
    return {
        "id": org.peer_host,
        "networkId": plan.topology.name,
        "listenAddress": address,
        "address": address,
        "chaincodeListenAddress": plan.ports.address(f"{org.name}/peer/chaincode"),
        "localMspId": org.msp_id,
        "mspConfigPath": str(identities.peer(org) / "msp"),
        "localMspType": "bccsp",
        "BCCSP": _BCCSP,
        "fileSystemPath": str(data),
        "tls": {
            "enabled": True,
            "clientAuthRequired": False,
            "cert": {"file": f"{tls}/server.crt"},
            "key": {"file": f"{tls}/server.key"},
            "rootcert": {"file": f"{tls}/ca.crt"},
        },
        "gossip": {
            "bootstrap": address,
            "endpoint": address,
            "externalEndpoint": address,
            "useLeaderElection": False,
            "orgLeader": True,  # the organisation's only peer asks the orderers itself
            "state": {"enabled": False},
            "pvtData": {
                "transientstoreMaxBlockRetention": 1000,
                "pushAckTimeout": "3s",
                "pullRetryThreshold": "60s",
                "reconciliationEnabled": True,
                "reconcileBatchSize": 10,
                "reconcileSleepInterval": "1m",
                "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
            },
        },
        "authentication": {"timewindow": "15m"},
        "client": {"connTimeout": "3s"},
        # Back at an orderer within two seconds of its return, however long it was away.
        "deliveryclient": {
            "blockGossipEnabled": True,
            "connTimeout": "3s",
            "reconnectTotalTimeThreshold": "87600h",
            "reConnectBackoffThreshold": "2s",
        },
        "keepalive": {
            "interval": "7200s",
            "timeout": "20s",
            "minInterval": "10s",
            "client": {"interval": "60s", "timeout": "20s"},
            # a peer leaves an orderer that hangs without closing its connection after 20 s
            "deliveryClient": {"interval": "15s", "timeout": "5s"},
        },
        "gateway": {
            "enabled": True,
            "endorsementTimeout": "30s",
            "broadcastTimeout": "30s",
            "dialTimeout": "30s",
        },
        "handlers": {
            "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}],
            "decorators": [{"name": "DefaultDecorator"}],
            "endorsers": {"escc": {"name": "DefaultEndorsement"}},
            "validators": {"vscc": {"name": "DefaultValidation"}},
        },
        "discovery": {
            "enabled": True,
            "authCacheEnabled": True,
            "authCacheMaxSize": 1000,
            "authCachePurgeRetentionRatio": 0.75,
        },
        "limits": {
            "concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 500},
        },
        "maxRecvMsgSize": _MESSAGE,
        "maxSendMsgSize": _MESSAGE,
    }


def admin(plan: Plan, identities: Identities, org: Organisation) -> dict[str, Any]:
    """core.yaml of the ``peer`` command, run as the organisation's admin against its own peer."""
    return {
        "peer": {
            "address": plan.ports.address(f"{org.name}/peer/listen"),
            "localMspId": org.msp_id,
            "localMspType": "bccsp",
            "mspConfigPath": str(identities.user(org, "Admin") / "msp"),
            "BCCSP": _BCCSP,
            "tls": {"enabled": True, "rootcert": {"file": str(identities.tls_ca(org))}},
            "client": {"connTimeout": "3s"},
        }
    }


def orderer_entries(plan: Plan, identities: Identities) -> list[dict[str, str]]:
    """The orderers as the connection file has them."""
    return [
        {
            "address": plan.ports.address(f"orderer{index}/listen"),
            "host": orderer_host(plan.topology, index),
            "tls_ca": str(identities.orderer_tls_ca),
        }
        for index in range(plan.topology.orderers.count)
    ]
