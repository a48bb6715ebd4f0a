"""Episodes held against other hosts while this server runs them, and the way to ask Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from apps.common.errors import EpisodeBusy
from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobStore
from apps.runs.spec import RunSpec

_REDIS_THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")


class RedisThreads:
    """Threads that do nothing else than wait for Redis.

    So whoever needs no Redis does not wait for one that hangs.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_REDIS_THREADS)

    async def __call__(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what waits for Redis, in one of them."""
        return await anyio.to_thread.run_sync(
            partial(ask, *args, **kwargs), limiter=self._limiter, abandon_on_cancel=True
        )


class EpisodeLeases:
    """Holds the episodes of local runs across hosts, where Redis is there.

    Args:
        jobs: the Redis to hold episodes in, where it is there.
        ask_redis: how it is asked.
    """

    def __init__(self, jobs: JobStore, ask_redis: RedisThreads) -> None:
        self._jobs = jobs
        self._ask_redis = ask_redis
        self._giving_back: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def held(self, spec: RunSpec) -> AsyncIterator[None]:
        """Holds a run's episode for the time of the block.

        Raises:
            EpisodeBusy: it runs on another host.
        """
        lease = EpisodeLease(self._jobs, spec.ep_id, spec.run_id)
        if not await self._ask_redis(lease.take):
            raise EpisodeBusy(
                f"Episode {spec.ep_id!r} is running on another host.",
                hint="Wait until that run ends, or stop it, then try again.",
            )
        renewal = asyncio.create_task(self._renew(lease))
        try:
            yield
        finally:
            renewal.cancel()
            # Not waited for: the run is gone, and a Redis that hangs must not keep its episode.
            giving = asyncio.create_task(self._ask_redis(lease.give_back))
            self._giving_back.add(giving)
            giving.add_done_callback(self._giving_back.discard)

    async def _renew(self, lease: EpisodeLease) -> None:
        while True:
            await asyncio.sleep(self._jobs.lease_seconds / 4)
            await self._ask_redis(lease.renew)
