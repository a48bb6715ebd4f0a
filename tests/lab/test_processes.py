"""What starts servers for tests and measurements: their ports, and their end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment, exit_code, gone, wait_for

_FORKED = r"""
import os
from lab.processes.ports import free_port

for _ in range(3):
    if os.fork() == 0:
        os.write(1, " ".join(str(free_port()) for _ in range(20)).encode() + b"\n")
        os.read(0, 1)  # as long as it lives they are its own
        os._exit(0)
"""


def test_processes_that_begin_at_the_same_number_get_different_ports() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _FORKED],
        env=clean_environment(),
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        given = [process.stdout.readline().split() for _ in range(3)]
        assert process.stdin is not None
        process.stdin.close()
    assert [len(ports) for ports in given] == [20, 20, 20]
    assert len({port for ports in given for port in ports}) == 60


def is_worker(process: psutil.Process) -> bool:
    try:
        return "celery" in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_faults_that_are_stopped_leave_no_process_and_no_folder(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lab.faults", "--only", "worker_frozen", "redis_restarted"]
    command += ["--trials", "4", "--report", str(tmp_path / "report.md")]
    env = clean_environment(TMPDIR=str(tmp_path))
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=CHECKOUT, stdout=output, stderr=output, start_new_session=True
        )
    watched = psutil.Process(process.pid)
    seen: set[psutil.Process] = set()

    def runs() -> bool:
        seen.update(watched.children(recursive=True))
        return sum(is_worker(one) for one in seen) > 2

    try:
        wait_for(runs, 60, "two workers")
        process.send_signal(number)
        assert exit_code(process) == -number
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: gone(list(seen)), what="the end of all that it started")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert not (tmp_path / "report.md").exists()
