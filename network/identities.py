"""Keys and certificates: Fabric's own through cryptogen, chaincode servers' from each organisation's CA."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from network.steps import command, private_directory, write_private
from network.topology import Organisation, Topology

_LOCAL = ["127.0.0.1", "localhost"]
_VALID = datetime.timedelta(days=3650)  # as long as cryptogen's


class Identities:
    """Where everybody's keys and certificates are, below ``directory``."""

    def __init__(self, directory: Path, topology: Topology) -> None:
        self._topology = topology
        self.root = directory / "crypto"
        self._chaincode = directory / "chaincode"

    def create(self, cryptogen: str) -> None:
        """Make all of them."""
        config = private_directory(self.root) / "cryptogen.yaml"
        config.write_text(yaml.safe_dump(cryptogen_config(self._topology), sort_keys=False))
        command([cryptogen, "generate", "--config", config, "--output", self.root])
        for org in self._topology.organisations:
            self._certify(org, "server", ExtendedKeyUsageOID.SERVER_AUTH)
            self._certify(org, "client", ExtendedKeyUsageOID.CLIENT_AUTH)

    @property
    def ordering(self) -> Path:
        """The directory of the ordering organisation."""
        return self.root / "ordererOrganizations" / self._topology.orderers.domain

    def orderer(self, index: int) -> Path:
        """The directory (msp/, tls/) of an orderer."""
        return self.ordering / "orderers" / orderer_host(self._topology, index)

    @property
    def orderer_tls_ca(self) -> Path:
        """The CA certificate of all orderers' TLS."""
        return self.ordering / "tlsca" / f"tlsca.{self._topology.orderers.domain}-cert.pem"

    def organisation(self, org: Organisation) -> Path:
        """The directory of an organisation."""
        return self.root / "peerOrganizations" / org.domain

    def peer(self, org: Organisation) -> Path:
        """The directory (msp/, tls/) of its peer."""
        return self.organisation(org) / "peers" / org.peer_host

    def user(self, org: Organisation, name: str) -> Path:
        """The directory (msp/, tls/) of one of its users: ``Admin`` or ``User1``."""
        return self.organisation(org) / "users" / f"{name}@{org.domain}"

    def tls_ca(self, org: Organisation) -> Path:
        """The CA certificate of its TLS."""
        return self.organisation(org) / "tlsca" / f"tlsca.{org.domain}-cert.pem"

    def chaincode(self, org: Organisation) -> Path:
        """The directory of its chaincode server: server.key/.crt, and client.key/.crt for its peer."""
        return self._chaincode / org.name

    def entry(self, org: Organisation, name: str) -> dict[str, str]:
        """A user as the connection file has it: name, and the files of key and certificate."""
        msp = self.user(org, name) / "msp"
        certificate = msp / "signcerts" / f"{name}@{org.domain}-cert.pem"
        return {
            "name": f"{name}@{org.domain}",
            "key": str(msp / "keystore" / "priv_sk"),
            "certificate": str(certificate),
        }

    def _certify(self, org: Organisation, role: str, usage: x509.ObjectIdentifier) -> None:
        """A key and a certificate for one end of the peer's connection to its chaincode server."""
        authority = self.tls_ca(org)
        signer = serialization.load_pem_private_key((authority.parent / "priv_sk").read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(authority.read_bytes())
        certificate = _certificate(f"chaincode-{role}.{org.domain}", usage, key.public_key(), issuer, signer)
        target = private_directory(self.chaincode(org))
        write_private(target / f"{role}.key", _pem(key))
        write_private(target / f"{role}.crt", certificate.public_bytes(serialization.Encoding.PEM).decode())


def orderer_host(topology: Topology, index: int) -> str:
    """The host name in an orderer's certificate."""
    return f"orderer{index}.{topology.orderers.domain}"


def cryptogen_config(topology: Topology) -> dict[str, Any]:
    """What cryptogen is to make: node and client identities told apart by NodeOUs."""
    ordering = topology.orderers
    hosts = [{"Hostname": f"orderer{index}", "SANS": _LOCAL[:]} for index in range(ordering.count)]
    return {
        "OrdererOrgs": [
            {"Name": "Orderer", "Domain": ordering.domain, "EnableNodeOUs": True, "Specs": hosts},
        ],
        "PeerOrgs": [
            {
                "Name": org.msp_id,
                "Domain": org.domain,
                "EnableNodeOUs": True,
                "Template": {"Count": 1, "SANS": _LOCAL[:]},
                "Users": {"Count": org.clients},
            }
            for org in topology.organisations
        ],
    }


def _certificate(
    name: str,
    usage: x509.ObjectIdentifier,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
