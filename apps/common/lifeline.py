"""What ties a process to the one that started it: it never outlives it, from its first instruction.

The standard input is a pipe whose other end the launcher holds. Its end of file means that the
launcher is gone or wants this process to end; a line before that says why. A thread waits for it.

While heavy modules are imported no thread gets its turn, and a process that was stopped sees
nothing. So on Linux the kernel sends a signal as well when the launcher dies (PR_SET_PDEATHSIG):
SIGKILL until there is something to put in order, then SIGCONT, so that a stopped process wakes and
sees the end of its input. Elsewhere the kernel helps with stopped ones only: see `apps.runs.child`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from apps.common.parent_death import parent_death_signal
from apps.common.repeater import HelperThread

STDIN = 0
_LONGEST_LINE = 1_000_000  # bytes


class Lifeline:
    """Make one before anything else is imported, in the main thread.

    Args:
        reads_line: whether the launcher's first line says what to do; it is read here.
        grace_s: for an orderly stop, before the whole group is killed; seconds.

    Attributes:
        line: that line; empty where none is read.
    """

    def __init__(self, *, reads_line: bool = True, grace_s: float = 1.0) -> None:
        self._grace_s = grace_s
        self._on_end: Callable[[bytes], object] | None = None
        parent_death_signal(signal.SIGKILL)()
        self.line = _read_line() if reads_line else b""
        if reads_line and not self.line.endswith(b"\n"):
            _end_group()  # the launcher died before the kernel was asked
        HelperThread(target=self._wait_for_end, name="lifeline", daemon=True).start()

    def watch(self, on_end: Callable[[bytes], object]) -> None:
        """From here on the process is given a moment to put things in order.

        Args:
            on_end: called in another thread when the input ends, with the launcher's last word:
                a line, or nothing where the launcher died. Soon after it the group is killed.
        """
        self._on_end = on_end
        parent_death_signal(signal.SIGCONT)()

    def _wait_for_end(self) -> None:
        word = _read_line()
        if self._on_end is not None:
            self._on_end(word)
            time.sleep(self._grace_s)
        _end_group()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():  # a group of our own: nobody else is hit
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _read_line() -> bytes:
    """One line, or what there is before the end; without a buffer that could swallow the rest."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        try:
            byte = os.read(STDIN, 1)
        except OSError:
            break
        if byte == b"":
            break
        line += byte
    return bytes(line)
