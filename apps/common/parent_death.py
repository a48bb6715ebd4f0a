"""The kernel ends a process when its parent dies: prctl(2), PR_SET_PDEATHSIG. Linux only."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def parent_death_signal(number: signal.Signals) -> Callable[[], None]:
    """Returns what a process calls to be sent a signal when the thread that started it ends.

    It stands for the calling thread, and other processes do not inherit it. What is returned only
    makes the system call, so that a child may call it between fork and exec.

    Args:
        number: the signal.
    """
    if sys.platform != "linux":
        return lambda: None
    library, zero = ctypes.CDLL(None), ctypes.c_ulong(0)
    wanted = ctypes.c_ulong(number)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, wanted, zero, zero, zero)
