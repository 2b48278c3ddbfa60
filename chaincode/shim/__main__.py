"""Serve a Fabric chaincode to its peer, as a service, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from chaincode.shim.contract import Contract
from chaincode.shim.dispatch import Chaincode
from chaincode.shim.logs import configure
from chaincode.shim.server import GRACE, Server, Tls

EXIT_USAGE = 2


def main(argv: list[str] | None = None) -> int:
    """Parse, load, serve; 2 with one sentence on stderr for anything that cannot work."""
    options = _parser().parse_args(argv)
    configure(options.log_level, options.log_format, sys.stderr)
    try:
        asyncio.run(serve(load(*options.factories), options))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        logging.getLogger("chaincode.shim").debug("start-up failed", exc_info=True)
        print(f"chaincode.shim: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def load(*names: str) -> Chaincode:
    """The chaincode that MODULE:FACTORY makes, or one of the Contract classes that several name."""
    sys.path.insert(0, os.getcwd())
    made = [_made(name) for name in names]
    if len(made) == 1 and isinstance(made[0], Chaincode):
        return made[0]
    for name, each in zip(names, made, strict=True):
        if not isinstance(each, Contract):
            wanted = "a Chaincode or a Contract" if len(made) == 1 else "a Contract, as one of several"
            raise TypeError(f"{name} returned a {type(each).__name__}; it must return {wanted}")
    return Chaincode(made)


def _made(name: str) -> Any:
    module, _, factory = name.partition(":")
    if not module or not factory:
        raise ValueError(f"{name!r} is not MODULE:FACTORY")
    try:
        return getattr(importlib.import_module(module), factory)()
    except (AttributeError, ImportError, TypeError) as error:
        raise ValueError(f"cannot make a chaincode from {name}: {error}") from error


async def serve(chaincode: Chaincode, options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    if not all(options.package_id.partition(":")):
        raise ValueError(f"the package id {options.package_id!r} is not LABEL:HASH")
    if not options.grace >= 0:
        raise ValueError(f"--grace {options.grace:g} is not 0 seconds or more")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(
        chaincode,
        options.package_id,
        address=options.address,
        tls=_tls(options),
        health=options.health,
        grace=options.grace,
    )
    async with server:
        await stop.wait()


def _tls(options: argparse.Namespace) -> Tls | None:
    paths = (options.tls_key, options.tls_cert, options.tls_client_ca)
    if options.plaintext and not any(paths):
        return None
    if options.plaintext or not all(paths):
        raise ValueError("give --tls-key, --tls-cert and --tls-client-ca together, or --plaintext alone")
    try:
        return Tls(*(path.read_bytes() for path in paths))
    except OSError as error:
        raise ValueError(f"cannot read {error.filename}: {error.strerror}") from error


EXAMPLE = """example, beside the peer that installed the package:
  python -m chaincode.shim assets:Assets --address 0.0.0.0:9999 --package-id assets:5e6f... \\
    --tls-key server.key --tls-cert server.crt --tls-client-ca peer-ca.crt --health 127.0.0.1:9443

SIGTERM lets the calls in flight end, refuses new ones, and exits with 0. What cannot work ends with 2 and
one sentence on stderr."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaincode.shim",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "factories",
        nargs="+",
        metavar="MODULE:FACTORY",
        help="a Contract class, or several, or what makes a Chaincode; MODULE may lie in the working directory",
    )
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="where the peer dials in")
    parser.add_argument(
        "--package-id",
        required=True,
        metavar="LABEL:HASH",
        help="as `peer lifecycle chaincode install` printed it",
    )
    tls = parser.add_argument_group("TLS (PEM files; all three, or --plaintext)")
    tls.add_argument("--tls-key", type=Path, metavar="FILE", help="this server's key")
    tls.add_argument("--tls-cert", type=Path, metavar="FILE", help="its certificate")
    tls.add_argument("--tls-client-ca", type=Path, metavar="FILE", help="only certificates of this CA get in")
    tls.add_argument(
        "--plaintext", action="store_true", help="no TLS: whoever reaches the port can pose as the peer"
    )
    running = parser.add_argument_group("in operation")
    running.add_argument("--health", default="", metavar="HOST:PORT", help="plain HTTP: /healthz, /metrics")
    running.add_argument(
        "--grace",
        type=float,
        default=GRACE,
        metavar="SECONDS",
        help=f"for calls in flight at SIGTERM ({GRACE:g})",
    )
    running.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error"), help="to stderr (info)"
    )
    running.add_argument(
        "--log-format", default="text", choices=("text", "json"), help="a line a record (text)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
