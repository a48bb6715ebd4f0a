"""An episode's lock across hosts: a lease in Redis that its holder renews and a dead one loses.

On one host the file lock of `apps.runs.lock` is the stronger one; hosts that share a data root but
no file locks need this one as well.
"""

from __future__ import annotations

from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from apps.jobs.store import PREFIX, JobStore


class EpisodeLease:
    """Args:
    store: connection and length of the lease.
    ep_id: the episode.
    run_id: the holder. The same run may take its own lease again, after its worker died.
    """

    def __init__(self, store: JobStore, ep_id: str, run_id: str) -> None:
        self._token = run_id
        self._lock = Lock(
            store.redis,
            f"{PREFIX}:episode:{ep_id}:lease",
            timeout=store.lease_seconds,
            blocking=False,
            thread_local=False,
        )

    def take(self) -> bool:
        """True when the episode is held now; also where Redis is away: that stops no run."""
        try:
            return self._lock.acquire(token=self._token) or self._is_ours()
        except RedisError:
            return True

    def renew(self) -> None:
        """Starts the lease anew; takes it again where Redis lost it."""
        try:
            self._lock.local.token = self._token.encode()
            self._lock.reacquire()
        except LockError:
            self.take()
        except RedisError:
            pass

    def give_back(self) -> None:
        try:
            self._lock.local.token = self._token.encode()
            self._lock.release()
        except (LockError, RedisError):
            pass

    def _is_ours(self) -> bool:
        self._lock.local.token = self._token.encode()
        return bool(self._lock.owned())
