"""A way to a server that can be cut and mended, for one of those who use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_READ_BYTES = 1 << 16


@dataclass
class Link:
    """Passes bytes on between a port of its own and that of a server on loopback.

    Attributes:
        breaks_at: words of a client with which, once, its connection breaks.
    """

    to: int
    listener: socket.socket
    is_cut: bool = False
    breaks_at: bytes | None = None
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def cut(self) -> None:
        """All connections end, and no new one is made."""
        with self._lock:
            self.is_cut = True
            for one in self._open:
                _end(one)
            self._open.clear()

    def mend(self) -> None:
        self.is_cut = False

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                server = None if self.is_cut else self._connected()
                if server is None:
                    _end(client)
                    continue
                self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _connected(self) -> socket.socket | None:
        try:
            server = socket.create_connection(("127.0.0.1", self.to), timeout=5)
        except OSError:
            return None
        server.settimeout(None)  # it may be silent
        return server

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_READ_BYTES):
                if self.breaks_at is not None and self.breaks_at in data:
                    self.breaks_at = None
                    break
                to.sendall(data)
        _end(source)
        _end(to)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def linked(port: int) -> Iterator[Link]:
    """A way to a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(port, listener)
        thread = threading.Thread(target=link.serve, daemon=True)
        thread.start()
        try:
            yield link
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            link.cut()
