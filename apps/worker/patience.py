"""Says something to a Redis that may be away: what it is about is done, and on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from apps.common.errors import QueueUnavailable
from apps.jobs.limits import SAY_SECONDS

_PAUSE_SECONDS = 1.0
T = TypeVar("T")


async def when_redis_is_back(say: Callable[[], T], stop: asyncio.Event | None = None) -> T:
    """What Redis answers.

    Args:
        say: asks it.
        stop: where it is set, nobody waits any longer.

    Raises:
        QueueUnavailable: it was away for `SAY_SECONDS`, or `stop` was set.
    """
    deadline = time.monotonic() + SAY_SECONDS
    while True:
        try:
            return say()
        except QueueUnavailable:
            if time.monotonic() > deadline or (stop is not None and stop.is_set()):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
