"""The priority of the calling process, where a library changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Takes back what SVT-AV1 does for root.

    The calling thread, and every process that it starts from then on, would run before all others
    of the machine (SCHED_FIFO).
    """
    try:
        yield
    finally:
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
