"""The keeper: ``python -m network.keeper DIRECTORY RUNTIME TIE_FD`` owns a network's processes.

It listens on RUNTIME/keeper.sock, a JSON line a request. It ends, and everything with it, on
``down``, on SIGTERM, and when the command at the other end of TIE_FD ends before ``detach``.
Should the keeper itself be killed, the kernel kills its children (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from network.child import Child
from network.proc import Pid
from network.processes import RECORD, ProcessSpec, Record, Restarted, Spawned, Status

log = logging.getLogger("keeper")
DOWN_SECONDS = 4.5  # all layers together; what is left then is killed


class Server:
    """One event loop in one thread: PR_SET_PDEATHSIG fires when the *thread* that forked ends."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self._path = directory / RECORD
        self._record = Record(_own_pid(), str(runtime))
        self._children: dict[str, Child] = {}
        self._stopping = asyncio.Event()
        self._attached = True

    async def run(self, tie: int) -> None:
        """Serve until it is time to go down, then take everything down."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        server = await asyncio.start_unix_server(self._serve, self._record.socket)
        self._write()
        watchers = [asyncio.create_task(self._watch_tie(tie)), asyncio.create_task(self._watch_parent())]
        await self._stopping.wait()
        for watcher in watchers:
            watcher.cancel()
        await self._down()
        server.close()
        shutil.rmtree(self._record.runtime, ignore_errors=True)
        self._path.unlink(missing_ok=True)

    async def _watch_tie(self, descriptor: int) -> None:
        """End when the command's side closes, unless it says ``detach`` first."""
        reader, _ = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
        if (await reader.readline()).strip() == b"detach":
            self._attached = False
        else:
            self._end("the command this network was tied to ended")

    async def _watch_parent(self) -> None:
        """The same by pid: a fork of the command may still hold its end of the tie open."""
        parent = Pid.of(os.getppid())
        while self._attached and parent is not None:
            if not parent.alive:
                self._end("the command this network was tied to is gone")
                return
            await asyncio.sleep(0.2)

    def _end(self, why: str) -> None:
        if self._attached:
            log.info(why)
            self._stopping.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            async for line in reader:
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except OSError:
            pass  # the other side is gone
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = msgspec.json.decode(line)
            result = await getattr(self, f"_op_{request.pop('op')}")(**request)
        except Exception as error:  # the keeper must survive any request
            log.exception("request failed")
            return {"error": f"keeper: {error}"}
        return {"result": msgspec.to_builtins(result)}

    async def _op_spawn(self, spec: Mapping[str, Any]) -> Spawned:
        wanted = msgspec.convert(spec, ProcessSpec)
        old = self._children.get(wanted.name)
        if self._stopping.is_set():
            raise RuntimeError("the network is going down")
        if old is not None and old.state != "stopped":
            raise RuntimeError(f"{wanted.name} runs already")
        child = Child(wanted, self._write)
        self._children[wanted.name] = child
        return child.start()

    async def _op_restart(self, name: str) -> Restarted:
        child = self._child(name)
        await child.stop()
        if self._stopping.is_set():
            raise RuntimeError("the network is going down")
        return Restarted(child.spec, child.start())

    async def _op_stop(self, name: str) -> None:
        await self._child(name).stop()

    async def _op_kill(self, name: str, signal: int) -> None:
        self._child(name).signal(signal)

    async def _op_status(self) -> list[Status]:
        return [child.status() for child in self._children.values()]

    async def _op_down(self) -> None:
        self._stopping.set()

    def _child(self, name: str) -> Child:
        if name not in self._children:
            raise LookupError(f"there is no process {name}; there are {', '.join(self._children)}")
        return self._children[name]

    def _reap(self) -> None:
        for child in self._children.values():
            child.reap()

    async def _down(self) -> None:
        """Layer by layer from the top, in parallel within a layer."""
        end = time.monotonic() + DOWN_SECONDS
        for layer in sorted({child.spec.layer for child in self._children.values()}, reverse=True):
            left = max(0.05, end - time.monotonic())
            members = [child for child in self._children.values() if child.spec.layer == layer]
            results = await asyncio.gather(*(child.stop(left) for child in members), return_exceptions=True)
            for child, result in zip(members, results, strict=True):
                if isinstance(result, BaseException):  # the others go down all the same
                    log.error("%s could not be stopped: %r", child.spec.name, result)

    def _write(self) -> None:
        """Keep ``keeper.json`` true: replaced whole, so that a reader never sees half of it."""
        self._record.children = {name: c.pid for name, c in self._children.items() if c.pid}
        scratch = self._path.with_suffix(".tmp")
        scratch.write_bytes(msgspec.json.encode(self._record))
        os.replace(scratch, self._path)


def _own_pid() -> Pid:
    pid = Pid.of(os.getpid())
    assert pid is not None, "/proc is needed"
    return pid


def main(arguments: list[str]) -> None:
    """Run the keeper; its arguments are in the module's docstring."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    directory, runtime, tie = Path(arguments[0]), Path(arguments[1]), int(arguments[2])

    async def serve() -> None:
        await Server(directory, runtime).run(tie)

    asyncio.run(serve())


if __name__ == "__main__":
    main(sys.argv[1:])
