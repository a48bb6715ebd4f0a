"""Death without a word: from one moment on, nothing that a worker does reaches Redis any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import redis

from apps.common.contracts.manifest import RunResult
from apps.common.repeater import HelperThread
from apps.jobs.redis_errors import queue_unavailable
from apps.jobs.store import JobStore
from lab.scale.ledger import Ledger

Moment = Literal["at any moment", "before it noted its message", "before it said that it had ended"]


class Died(SystemExit):
    """Ends the thread of a dead worker; no code of the product catches it."""


class Mortal:
    """Whether a worker still lives, and what it is to die of."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._dead = threading.Event()
        self._to_die_of: Moment | None = None

    @property
    def is_dead(self) -> bool:
        return self._dead.is_set()

    def doom(self, moment: Moment) -> None:
        """It dies when that moment comes."""
        self._to_die_of = moment
        if moment == "at any moment":
            self._die(moment)

    def reach(self, moment: Moment) -> None:
        """The moment has come; raises `Died` where it dies of it."""
        if self._to_die_of == moment:
            self._die(moment)
        self.check()

    def check(self) -> None:
        if self.is_dead:
            raise Died

    def _die(self, moment: Moment) -> None:
        if not self.is_dead:
            self._ledger.died(moment)
            self._dead.set()


class MortalStore(JobStore):
    """The product's store, of one worker."""

    def __init__(self, url: str, lease_seconds: float, mortal: Mortal, ledger: Ledger) -> None:
        super().__init__(url, lease_seconds)
        self._mortal = mortal
        self._ledger = ledger

    @contextmanager
    def answering(self) -> Iterator[None]:
        if self._mortal.is_dead and isinstance(threading.current_thread(), HelperThread):
            raise queue_unavailable(redis.ConnectionError())  # its heartbeat goes on in vain
        self._mortal.check()
        with super().answering():
            yield

    def succeed(self, job_id: str, result: RunResult) -> bool:
        self._mortal.reach("before it said that it had ended")
        is_first = super().succeed(job_id, result)
        self._ledger.ended(job_id, is_first=is_first)
        return is_first
