"""Whether a process is still there."""

from __future__ import annotations

import psutil


def is_alive(process: psutil.Process) -> bool:
    """True as long as a thread of the process lives.

    A zombie's other threads may live a moment longer, and with them the locks that it held.
    """
    try:
        return process.is_running() and (
            process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        )
    except psutil.NoSuchProcess:  # it went between the two questions
        return False
