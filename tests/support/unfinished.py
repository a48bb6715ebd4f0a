"""Tests that wait for ever; `tests.test_interrupted_run` runs and interrupts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.processes.queue import redis_server, worker

_STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[None]:
    """Redis and a worker, the way all tests start them."""
    root = tmp_path / "data"
    root.mkdir()
    with redis_server(tmp_path / "redis") as redis, worker(root, redis.url):
        yield


@pytest.fixture
def stubborn() -> Iterator[None]:
    """A process that has its own session and ignores SIGTERM, and a fixture that waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STUBBORN], start_new_session=True, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.terminate()


def test_waits(queue: None) -> None:
    Path(os.environ["UNFINISHED"]).touch()
    time.sleep(600)


def test_waits_and_its_fixture_does(queue: None, stubborn: None) -> None:
    Path(os.environ["UNFINISHED"]).touch()
    time.sleep(600)
