"""A run of the tests that is interrupted, or killed, leaves no process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment, exit_code, gone, wait_for


@pytest.mark.parametrize(
    ("number", "workers", "test", "programs"),
    [
        (signal.SIGINT, 1, "test_waits_and_its_fixture_does", ("redis", "celery", "SIG_IGN")),
        (signal.SIGTERM, 0, "test_waits", ("redis", "celery")),
    ],
    ids=["interrupted", "terminated"],
)
def test_nothing_is_left(
    tmp_path: Path, number: signal.Signals, workers: int, test: str, programs: tuple[str, ...]
) -> None:
    waits, said = tmp_path / "waits", tmp_path / "said"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    command += ["--basetemp", str(tmp_path / "run"), f"tests/support/unfinished.py::{test}"]
    with said.open("wb") as output:
        run = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=clean_environment(UNFINISHED=str(waits)),
            stdout=output,
            stderr=output,
        )
    started: list[psutil.Process] = []
    try:
        wait_for(lambda: waits.exists() or run.poll() is not None, 60, "the run's test")
        assert run.poll() is None, said.read_text()
        started = psutil.Process(run.pid).children(recursive=True)
        names = " ".join(word for process in started for word in process.cmdline())
        assert all(program in names for program in programs), said.read_text()
        run.send_signal(number)
        assert exit_code(run) == pytest.ExitCode.INTERRUPTED
        wait_for(lambda: gone(started), 5, "the end of all")
    finally:
        for process in started:
            if process.is_running():
                process.kill()
        run.kill()
        run.wait()
