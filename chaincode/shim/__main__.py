"""python -m chaincode.shim MODULE:FACTORY: serve a chaincode until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from pathlib import Path

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
        asyncio.run(serve(load(options.factory), options))
    except (OSError, ValueError, ImportError, TypeError, RuntimeError) as error:
        logging.getLogger("chaincode.shim").debug("start-up failed", exc_info=True)
        print(f"chaincode.shim: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def load(name: str) -> Chaincode:
    """The chaincode that MODULE:FACTORY makes; FACTORY may be a Contract class."""
    module, _, factory = name.partition(":")
    if not module or not factory:
        raise ValueError(f"{name!r} is not MODULE:FACTORY")
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(module), factory)()
    except AttributeError as error:
        raise ValueError(f"cannot make a chaincode from {name}: {error}") from error
    if isinstance(made, Contract):
        return Chaincode([made])
    if not isinstance(made, Chaincode):
        raise TypeError(f"{name} returned a {type(made).__name__}; it must return a Chaincode or a Contract")
    return made


async def serve(chaincode: Chaincode, options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
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
    return Tls(*(path.read_bytes() for path in paths))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaincode.shim", description=__doc__)
    parser.add_argument("factory", metavar="MODULE:FACTORY", help="makes the Chaincode, without arguments")
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="where peers dial in")
    parser.add_argument("--package-id", required=True, help="label:hash, as the peer installed it")
    parser.add_argument("--tls-key", type=Path, metavar="FILE")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE")
    parser.add_argument("--tls-client-ca", type=Path, metavar="FILE", help="signs the peers' certificates")
    parser.add_argument("--plaintext", action="store_true", help="serve without TLS (tests, sealed networks)")
    parser.add_argument("--health", default="", metavar="HOST:PORT", help="plain HTTP: /healthz, /metrics")
    parser.add_argument("--grace", type=float, default=GRACE, metavar="SECONDS", help="for calls in flight")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument(
        "--log-format", default="text", choices=("text", "json"), help="of stderr: a line a record"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
