"""Ports of loopback for servers that are about to be started."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from pathlib import Path

# Below those that outgoing connections get (32768 and more on Linux), which would take a port
# before its server has it. Processes begin far from each other.
_PORTS = range(12_000, 32_000)


class _Ports:
    """Gives each port once; what it gave is this process's own as long as it lives.

    A byte of one file stands for each port: the system holds its lock for one process, also beside
    one that was forked from it and counts on from the same number.
    """

    def __init__(self, held: Path) -> None:
        self._held = held
        self._file: int | None = None  # open to the end: to close it would free all
        self._turns = itertools.count(os.getpid() * 3571)

    def free(self, above: int) -> int:
        if self._file is None:
            self._file = os.open(self._held, os.O_RDWR | os.O_CREAT, 0o600)
        for turn in self._turns:
            port = _PORTS[turn % len(_PORTS)]
            if all(self._takes(each) for each in {port, port + above}):
                return port
        raise AssertionError("it counts for ever")

    def _takes(self, port: int) -> bool:
        assert self._file is not None
        return port in _PORTS and not _is_held(self._file, port) and not _is_bound(port)


def _is_held(file: int, port: int) -> bool:
    """Holds it, unless another process does."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return True
    return False


def _is_bound(port: int) -> bool:
    """Whether a server has it, or a connection that has just ended: Redis would not take it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


_ports = _Ports(Path(tempfile.gettempdir()) / f"screenalytics-ports-{os.getuid()}")


def free_port(above: int = 0) -> int:
    """A port of loopback for a server that is about to be started; no process gets the same.

    Args:
        above: the port that much higher is the server's as well.
    """
    return _ports.free(above)
