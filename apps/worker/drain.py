"""How a worker that is told to stop lets go of its jobs: they go on for a while at most."""

from __future__ import annotations

import asyncio
import logging
import mmap
import signal
import struct
import time
from types import FrameType

ENDING_SECONDS = 15.0
"""After the drain: to end runs, to reach a Redis that is slow, and for Celery to end itself."""

_log = logging.getLogger("screenalytics.worker")
_POLL_SECONDS = 0.2
_NEVER = 0.0
_FORMAT = "d"


class Drain:
    """When jobs are handed back. Processes that are forked from this one see the same.

    It is memory that they share, without a lock that a killed process could hold; the clock is the
    host's.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, struct.calcsize(_FORMAT))
        self._write(_NEVER)

    @property
    def has_begun(self) -> bool:
        return self._read() != _NEVER

    @property
    def left_s(self) -> float | None:
        """Seconds for which a run may still go on, 0 where none; None where no worker stops."""
        until = self._read()
        return None if until == _NEVER else max(0.0, until - time.monotonic())

    def begin(self, seconds: float) -> None:
        """The worker is to stop; may be called by the handler of a signal.

        Args:
            seconds: for how long runs may go on.
        """
        self._write(time.monotonic() + seconds)

    def begin_by_signal(self, seconds: float) -> None:
        """The same; a further SIGTERM or SIGINT ends that time at once."""
        if self.has_begun:
            return
        self.begin(seconds)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    async def over(self) -> None:
        """Returns when runs may not go on any more, because the worker stops."""
        while (left_s := self.left_s) is None:
            await asyncio.sleep(_POLL_SECONDS)
        _log.info("the worker stops; its job may go on", extra={"seconds": round(left_s, 1)})
        while self.left_s != 0:
            await asyncio.sleep(_POLL_SECONDS)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.begin(0)

    def _read(self) -> float:
        (value,) = struct.unpack_from(_FORMAT, self._memory)
        return float(value)

    def _write(self, value: float) -> None:
        struct.pack_into(_FORMAT, self._memory, 0, value)
