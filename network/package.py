"""A chaincode package: where the organisation's chaincode server is, and how its peer proves itself there.

The same content gives the same bytes, so the package id (label and SHA-256) follows from the content.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from hashlib import sha256


def connection(address: str, *, key: str, certificate: str, server_ca: str) -> bytes:
    """connection.json: dial ``address`` over mutual TLS, with these PEM texts."""
    return _json(
        {
            "address": address,
            "dial_timeout": "10s",
            "tls_required": True,
            "client_auth_required": True,
            "client_key": key,
            "client_cert": certificate,
            "root_cert": server_ca,
        }
    )


def package(label: str, connection_json: bytes) -> bytes:
    """The package file: metadata and, inside a second archive, the connection."""
    code = archive({"connection.json": connection_json})
    return archive({"metadata.json": _json({"type": "ccaas", "label": label}), "code.tar.gz": code})


def package_id(label: str, content: bytes) -> str:
    """Fabric's name of an installed package."""
    return f"{label}:{sha256(content).hexdigest()}"


def archive(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar without anything that changes from run to run: times, owners, names of hosts."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
