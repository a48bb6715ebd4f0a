"""Hosts of a network of their own on one machine: Linux, as root; nothing outside of it is reached.

Each is a network namespace and a name (UTS namespace) that a process holds, behind a bridge in the
namespace of whoever makes them. That one must be one of its own (`enter_own_network`), so nothing
here changes the machine's network. Namespaces end with their last process, so none is left over.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

BRIDGE = "10.77.0.1"  # address of who measures, and of Redis
_NETWORK = "10.77.0."
_FIRST = 11
_HOLD = 'hostname "$1" && ip link set lo up && echo && exec cat'


@dataclass(frozen=True)
class Host:
    """A name, an address, and the process that holds both until its input ends."""

    name: str
    address: str
    pid: int

    @property
    def command(self) -> tuple[str, ...]:
        """Before a command, which then is executed on that host, as the same process."""
        return ("nsenter", "--target", str(self.pid), "--net", "--uts")


def enter_own_network(command: Sequence[str]) -> None:
    """Goes on as that command, in a network namespace that has nothing but itself."""
    os.execvp("unshare", ["unshare", "--net", *command])


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts that reach each other, and the bridge at `BRIDGE`."""
    for command in (
        "link set lo up",
        "link add bridge type bridge",
        f"address add {BRIDGE}/24 dev bridge",
        "link set bridge up",
    ):
        _ip(command)
    holders: list[subprocess.Popen[bytes]] = []
    try:
        made = []
        for number, name in enumerate(names):
            holder = subprocess.Popen(
                ["unshare", "--net", "--uts", "sh", "-c", _HOLD, "sh", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            holders.append(holder)
            assert holder.stdout is not None
            if not holder.stdout.readline():
                raise RuntimeError("no network namespace: that needs Linux, root and iproute2")
            host = Host(name, f"{_NETWORK}{_FIRST + number}", holder.pid)
            _connect(host, f"host{number}")
            made.append(host)
        yield made
    finally:
        for holder in holders:
            holder.communicate()  # its input ends, and so does it
        _ip("link delete bridge")


def _connect(host: Host, port: str) -> None:
    _ip(f"link add {port} type veth peer name eth0 netns {host.pid}")
    _ip(f"link set {port} master bridge up")
    _ip(f"address add {host.address}/24 dev eth0", *host.command)
    _ip("link set eth0 up", *host.command)


def _ip(command: str, *before: str) -> None:
    subprocess.run([*before, "ip", *command.split()], check=True)
