"""Keeps a job while it runs: says that its worker lives, and listens for a cancel.

A thread of its own, so that neither a slow Redis nor a busy event loop lets the lease lapse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from apps.common.contracts.manifest import Progress
from apps.common.errors import QueueUnavailable
from apps.common.repeater import Repeater
from apps.jobs.lease import EpisodeLease
from apps.jobs.queue import renew_delivery
from apps.jobs.store import Beat, JobStore

_log = logging.getLogger("screenalytics.worker")
BEAT_SECONDS = 0.5
_WARNINGS: dict[Beat, str] = {
    "taken": "another worker has taken the job; whichever ends it first says how",
    "lost": "Redis has lost the job; its run goes on, and its results are published",
}


class JobHeartbeat(Repeater):
    """A context manager.

    Args:
        store: records of all jobs, in Redis.
        job_id: the job.
        token: names this delivery; another one of the same job has another.
        lease: holds the job's episode; renewed here once `lease_taken` is set.
        delivery_tag: names Celery's message, whose visibility is renewed; None where there is none.
        on_cancel: called once, from this thread, when the job is to be cancelled, or has been
            ended.
    """

    def __init__(
        self,
        store: JobStore,
        job_id: str,
        token: str,
        lease: EpisodeLease,
        delivery_tag: str | None,
        on_cancel: Callable[[], None],
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._token = token
        self._lease = lease
        self._tag = delivery_tag
        self._on_cancel = on_cancel
        self.progress: Progress | None = None
        self.lease_taken = False
        self._last: Beat = "ok"
        self._renewed_at = 0.0
        super().__init__("heartbeat", BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        try:
            beat = self._store.beat(self._job_id, self._token, self.progress)
            if time.monotonic() - self._renewed_at > self._store.lease_seconds / 4:
                self._renew()
                self._renewed_at = time.monotonic()
        except QueueUnavailable:
            return  # Redis is away: the run goes on
        previous, self._last = self._last, beat
        if beat != previous:
            self._on_news(beat)

    def _on_news(self, beat: Beat) -> None:
        if beat in _WARNINGS:
            _log.warning(_WARNINGS[beat], extra={"job_id": self._job_id})
        elif beat in ("cancel", "ended"):
            self._on_cancel()

    def _renew(self) -> None:
        if self._tag is not None:
            renew_delivery(self._store, self._tag)
        if self.lease_taken:
            self._lease.renew()
