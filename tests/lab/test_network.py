"""Hosts in namespaces: they reach each other and what measures them, and nothing reaches them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from lab.processes.service import clean_environment

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="namespaces are made by root, on Linux, with iproute2",
)

_PROGRAM = """
import socket, subprocess, sys
from lab.processes.network import BRIDGE, hosts
LOOK = (
    "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close();"
    "print(socket.gethostname())"
)
with hosts("one", "two") as made, socket.create_server((BRIDGE, 0)) as server:
    port = str(server.getsockname()[1])
    for host in made:
        subprocess.run([*host.command, sys.executable, "-c", LOOK, BRIDGE, port], check=True)
        print(server.accept()[1][0], flush=True)
"""


def links() -> str:
    return subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout


def test_each_has_a_name_and_an_address_and_this_machine_sees_none_of_it() -> None:
    before = links()
    program = "from lab.processes.network import enter_own_network; import sys;"
    program += "enter_own_network([sys.executable, '-c', sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", program, _PROGRAM],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    if "unshare failed" in done.stderr:
        pytest.skip("this machine allows no namespaces")
    assert done.stdout.split() == ["one", "10.77.0.11", "two", "10.77.0.12"], done.stderr
    assert links() == before
