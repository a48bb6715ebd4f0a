"""What happened to each job, as those saw it that did it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apps.common.batch_schemas import Priority


@dataclass
class Story:
    """One job; times are of the monotonic clock.

    Args:
        begun: when each try of it began.
        done: how many tries did all of the work.
    """

    priority: Priority
    submitted: float
    begun: list[float] = field(default_factory=list)
    done: int = 0
    ended: float | None = None


class Ledger:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.jobs: dict[str, Story] = {}
        self.second_endings = 0
        self.at_once = 0  # works on an episode beside another one of the same
        self.deaths: Counter[str] = Counter()
        self._working: Counter[str] = Counter()
        self._lock = threading.Lock()

    def submitted(self, job_id: str, priority: Priority) -> None:
        with self._lock:
            self.jobs[job_id] = Story(priority, time.monotonic())

    @contextmanager
    def work(self, job_id: str, ep_id: str) -> Iterator[None]:
        """A try of a job; a block that raises did not do all of it."""
        with self._lock:
            self.jobs[job_id].begun.append(time.monotonic())
            self.at_once += self._working[ep_id] > 0
            self._working[ep_id] += 1
        try:
            yield
            with self._lock:
                self.jobs[job_id].done += 1
        finally:
            with self._lock:
                self._working[ep_id] -= 1

    def ended(self, job_id: str, *, is_first: bool) -> None:
        with self._lock:
            self.second_endings += not is_first
            if is_first:
                self.jobs[job_id].ended = time.monotonic()

    def died(self, moment: str) -> None:
        with self._lock:
            self.deaths[moment] += 1

    def count_ended(self) -> int:
        with self._lock:
            return sum(job.ended is not None for job in self.jobs.values())
