"""Keeps a job while it runs: says that its worker lives, and listens for a cancel.

A thread of its own, so that neither a slow Redis nor a busy event loop lets the lease lapse.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from redis.exceptions import RedisError

from apps.common.contracts import Progress
from apps.common.errors import QueueUnavailable
from apps.common.repeater import Repeater
from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobStore

BEAT_SECONDS = 0.5
_UNACKED_INDEX = "unacked_index"  # kombu's sorted set: delivery tag by time of delivery


class JobKeeper(Repeater):
    """A context manager.

    Args:
        store: of jobs.
        job_id: the job.
        lease: of its episode; renewed here once `lease_taken` is set.
        delivery_tag: of Celery's message, whose visibility is renewed; None where there is none.
        on_cancel: called once, from this thread, when the job is to be cancelled.
    """

    def __init__(
        self,
        store: JobStore,
        job_id: str,
        lease: EpisodeLease,
        delivery_tag: str | None,
        on_cancel: Callable[[], None],
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._lease = lease
        self._tag = delivery_tag
        self._on_cancel = on_cancel
        self.progress: Progress | None = None
        self.lease_taken = False
        self._cancelled = False
        self._renewed_at = 0.0
        super().__init__("keeper", BEAT_SECONDS, self._keep)

    def _keep(self) -> None:
        try:
            wanted = self._store.beat(self._job_id, self.progress)
            if time.monotonic() - self._renewed_at > self._store.lease_seconds / 4:
                self._renew()
                self._renewed_at = time.monotonic()
        except (QueueUnavailable, RedisError):
            return  # Redis is away: the run goes on
        if wanted and not self._cancelled:
            self._cancelled = True
            self._on_cancel()

    def _renew(self) -> None:
        if self._tag is not None:
            # XX: a tag that was delivered again, or acknowledged, stays away.
            self._store.redis.zadd(_UNACKED_INDEX, {self._tag: time.time()}, xx=True)
        if self.lease_taken:
            self._lease.renew()
