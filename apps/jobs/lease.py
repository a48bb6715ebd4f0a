"""An episode's lock across hosts: a lease in Redis that its holder renews and a dead one loses.

On one host the file lock of `apps.runs.lock` decides, and a lease of the same host never stands in
its way. Hosts that share a data root without sharing file locks need the lease.
"""

from __future__ import annotations

import socket

from redis.exceptions import LockError
from redis.lock import Lock

from apps.common.errors import QueueUnavailable
from apps.jobs.store import PREFIX, JobStore


class EpisodeLease:
    """Holds an episode across hosts, for as long as it is renewed.

    Args:
        store: connection and length of the lease.
        ep_id: the episode.
        run_id: the holder.
        host: name of the holder's host; this one by default.
    """

    def __init__(self, store: JobStore, ep_id: str, run_id: str, host: str | None = None) -> None:
        self._host = socket.gethostname() if host is None else host
        self._token = f"{self._host}/{run_id}"
        self._store = store
        self._name = f"{PREFIX}:episode:{ep_id}:lease"
        self._milliseconds = round(store.lease_seconds * 1000)
        self._lock = Lock(
            store.redis,
            self._name,
            timeout=store.lease_seconds,
            blocking=False,
            thread_local=False,
        )

    def take(self) -> bool:
        """False where another host holds the episode.

        Call it after the file lock was found free. True also where Redis is away: that stops no
        run.
        """
        try:
            with self._store.answering():
                return self._take()
        except QueueUnavailable:
            return True

    def renew(self) -> None:
        """Starts the lease again; takes it again where Redis lost it."""
        try:
            with self._store.answering():
                self._lock.local.token = self._token.encode()
                self._lock.reacquire()
        except LockError:
            self.take()
        except QueueUnavailable:
            pass

    def give_back(self) -> None:
        try:
            with self._store.answering():
                self._lock.local.token = self._token.encode()
                self._lock.release()
        except (LockError, QueueUnavailable):
            pass

    def _take(self) -> bool:
        if self._lock.acquire(token=self._token):
            return True
        holder = str(self._store.redis.get(self._name) or "")
        if holder != "" and not holder.startswith(f"{self._host}/"):
            return False
        # Of this host, where the file lock says that its run is gone; or just expired.
        self._store.redis.set(self._name, self._token, px=self._milliseconds)
        return True
