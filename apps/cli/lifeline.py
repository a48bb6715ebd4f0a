"""The standard input as a lifeline: its end of file means that the launcher is gone.

Works on Linux and macOS, and also where the launcher was killed with SIGKILL; unlike
PR_SET_PDEATHSIG it is not bound to a thread and reaches the whole group.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from apps.common.repeater import HelperThread

STDIN = 0
_GRACE_SECONDS = 1.0  # for an orderly stop, before the whole group is killed
_LONGEST_LINE = 1_000_000  # bytes


def read_line() -> bytes:
    """One line from standard input, read without a buffer that could swallow the rest."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        byte = os.read(STDIN, 1)
        if byte == b"":
            break
        line += byte
    return bytes(line)


def watch(on_end: Callable[[], None]) -> None:
    """Calls `on_end` when standard input ends, and kills the process group soon after."""

    def wait_for_end() -> None:
        while True:
            try:
                if os.read(STDIN, 4096) == b"":
                    break
            except OSError:
                break
        on_end()
        time.sleep(_GRACE_SECONDS)
        if os.getpgrp() == os.getpid():  # a group of our own: nobody else is hit
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    HelperThread(target=wait_for_end, name="lifeline", daemon=True).start()
