"""Ends what a run of the tests has started, when the run is interrupted or its main process dies.

pytest-xdist tells its workers of an interrupt after five seconds, and kills them after another
five, whatever their fixtures still have to end; SIGTERM ends the main process with nothing put in
order. So SIGTERM is an interrupt, workers are interrupted at once, and the main process has a guard
(`tests.support.end_of_run`), a process that ends what is left.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from lab.paths import CHECKOUT
from tests.support import end_of_run


class RunGuard:
    """Plugin of the main process.

    Args:
        has_workers: whether its children are pytest-xdist's workers.
    """

    def __init__(self, *, has_workers: bool) -> None:
        self._has_workers = has_workers
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        os.environ[end_of_run.MARK] = mark = secrets.token_hex(8)
        self._process = subprocess.Popen(
            [sys.executable, "-m", end_of_run.__name__, str(os.getpid()), mark],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's interrupt is not for it
        )

    def pytest_keyboard_interrupt(self) -> None:
        """Starts the guard's clock, and interrupts the workers now."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(end_of_run.INTERRUPTED)
            self._process.stdin.flush()
        for worker in psutil.Process().children() if self._has_workers else []:
            if worker.pid != self._process.pid:
                with suppress(psutil.NoSuchProcess):
                    worker.send_signal(signal.SIGINT)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Waits until nothing is left."""
        self._process.communicate()


def take_one_interrupt() -> None:
    """Has this process pass over all interrupts but the first.

    A worker gets it from the terminal, from the main process and from pytest-xdist; the second one
    would break off what the fixtures do after the first.
    """

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: None)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
