"""Wait strategies: what makes a started process ready. Each is asked until it says yes."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import stat
from urllib.parse import urlsplit

import msgspec


class Wait(msgspec.Struct, frozen=True, tag=True):
    """A condition of readiness; ``met`` never raises and returns at once or within a second."""

    def met(self, log: str, offset: int) -> bool:
        """Whether it holds now; the process's log file counts from byte ``offset``."""
        raise NotImplementedError


class PortOpen(Wait, frozen=True, tag=True):
    """Something accepts connections on ``address`` (``host:port``)."""

    address: str

    def met(self, log: str, offset: int) -> bool:
        """Whether a connection can be made."""
        host, port = self.address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True


class Listening(Wait, frozen=True, tag=True):
    """Something listens on the port of ``address``; it sees no connection (TLS servers log a lost one)."""

    address: str

    def met(self, log: str, offset: int) -> bool:
        """Whether the kernel lists a listener."""
        port = f":{int(self.address.rsplit(':', 1)[1]):04X}"
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError), open(table) as lines:
                rows = (line.split()[1:4] for line in lines)
                if any(local.endswith(port) and state == "0A" for local, _, state in rows):
                    return True
        return False


class HttpOk(Wait, frozen=True, tag=True):
    """A GET of a plain ``http://`` address answers with status 200."""

    url: str

    def met(self, log: str, offset: int) -> bool:
        """Whether the answer is 200; no proxy from the environment is asked."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=1)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class LogLine(Wait, frozen=True, tag=True):
    """The process wrote something that matches ``pattern`` since this start."""

    pattern: str

    def met(self, log: str, offset: int) -> bool:
        """Whether the log matches."""
        try:
            with open(log, "rb") as file:
                file.seek(offset)
                return re.search(self.pattern, file.read().decode(errors="replace")) is not None
        except OSError:
            return False


class FileExists(Wait, frozen=True, tag=True):
    """A file is there."""

    path: str

    def met(self, log: str, offset: int) -> bool:
        """Whether it exists."""
        return os.path.exists(self.path)


class UnixSocket(Wait, frozen=True, tag=True):
    """A unix socket at ``path`` accepts connections."""

    path: str

    def met(self, log: str, offset: int) -> bool:
        """Whether a connection can be made (a file left by a killed process refuses)."""
        try:
            if not stat.S_ISSOCK(os.stat(self.path).st_mode):
                return False
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(self.path)
        except OSError:
            return False
        return True


AnyWait = PortOpen | Listening | HttpOk | LogLine | FileExists | UnixSocket
