"""A place with no way out: network and mounts of its own, loopback only, look-ups are noted.

Run with `python -m`, this file is the inside: it brings loopback up, answers every look-up of a
name with "no such name", and executes one of `tests/privacy/scenarios.py` meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.paths import CHECKOUT

SCENARIOS = "tests.privacy.scenarios"
CONTROL_NAME = "control.example"
_SIOCSIFFLAGS, _IFF_UP_AND_RUNNING = 0x8914, 0x41  # netdevice(7)
_DNS_PORT, _DNS_HEADER_BYTES, _NO_SUCH_NAME = 53, 12, b"\x81\x83"  # RFC 1035, section 4.1
_ENTER = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


@dataclass(frozen=True)
class Observed:
    """Args:
    names: that were looked up.
    home: paths in the home folder afterwards, relative to it.
    checkout: files of the checkout that were written, compiled Python apart.
    """

    names: list[str]
    home: list[str]
    checkout: list[str]


def observe(scenario: str, folder: Path, *arguments: str) -> Observed:
    """Executes a scenario inside, as a user whose environment holds next to nothing.

    Skips the test where the system permits no namespaces; in CI it fails.

    Args:
        scenario: a function of `tests/privacy/scenarios.py`; it is given `folder` and `arguments`.
    """
    home, temporary, resolver = folder / "home", folder / "tmp", folder / "resolv.conf"
    for made in (home, temporary, folder / "work"):
        made.mkdir()
    resolver.write_text("nameserver 127.0.0.1\n")
    enter = [*_unshare(), "sh", "-c", _ENTER, "sh", str(resolver)]
    inside = [sys.executable, "-m", "tests.support.sealed", scenario, str(folder / "work")]
    done = subprocess.run(
        [*enter, *inside, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = json.loads(done.stdout.splitlines()[-1])
    assert CONTROL_NAME in names  # look-ups are seen
    began = resolver.stat().st_mtime
    return Observed(
        names=[name for name in names if name != CONTROL_NAME],
        home=sorted(str(path.relative_to(home)) for path in home.rglob("*")),
        checkout=[str(path) for path in _checkout_files() if path.stat().st_mtime > began],
    )


def _unshare() -> list[str]:
    for flags in ("-nm", "-rnm") if shutil.which("unshare") else ():
        command = ["unshare", flags]
        if subprocess.run([*command, "true"], check=False).returncode == 0:
            return command
    missing = "no network namespace of one's own here (needs unshare, and root or user namespaces)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def _checkout_files() -> list[Path]:
    folders = [CHECKOUT / name for name in ("apps", "config", "tools", "docs")]
    inside = [path for folder in folders for path in folder.rglob("*")]
    return [
        path
        for path in [*CHECKOUT.iterdir(), *inside]
        if path.is_file() and "__pycache__" not in path.parts
    ]


def main(scenario: str, *arguments: str) -> None:
    _bring_loopback_up()
    names = _note_look_ups()
    with contextlib.suppress(socket.gaierror):
        socket.getaddrinfo(CONTROL_NAME, 443)
    execute: Callable[..., None] = getattr(importlib.import_module(SCENARIOS), scenario)
    execute(*arguments)
    print(json.dumps(names))


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP_AND_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def _note_look_ups() -> list[str]:
    """The list that grows with every name that a program asks for."""
    names: list[str] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", _DNS_PORT))

    def serve() -> None:
        while True:
            query, sender = server.recvfrom(4096)
            names.append(_name(query))
            counts = query[4:6] + bytes(6)
            server.sendto(query[:2] + _NO_SUCH_NAME + counts + query[_DNS_HEADER_BYTES:], sender)

    threading.Thread(target=serve, name="names", daemon=True).start()
    return names


def _name(query: bytes) -> str:
    labels, place = [], _DNS_HEADER_BYTES
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii", "replace"))
        place += 1 + query[place]
    return ".".join(labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
