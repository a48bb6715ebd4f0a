"""Whether a job is divided, into how many parts, and whom that calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from apps.common.schemas import Segments
from apps.jobs.store import JobStore, WorkerFacts

PARTS_A_WORKER = 3  # so that none waits long for the last one of another
MIN_SAMPLES = 300  # of a part, where nobody says how many: its start costs as much as ten


@dataclass(frozen=True)
class Division:
    """How a job is to be divided.

    Args:
        count: parts, at most.
        min_samples: processed frames of each, about.
        helpers: workers that are called.
        makers_a_host: how many may make parts on one host at once; 0 for any number.
    """

    count: int
    min_samples: int
    helpers: int
    makers_a_host: int


def division(segments: Segments, store: JobStore, host: str) -> Division | None:
    """None where the job is not divided.

    Args:
        segments: as the job's request has it.
        host: this worker's.

    Raises:
        QueueUnavailable: nobody knows which workers there are.
    """
    if segments == "off":
        return None
    if segments != "auto":
        slots = sum(worker.concurrency for worker in store.workers())
        # Where Redis has just begun anew it knows none of them: one call too many is harmless.
        return Division(segments, 1, min(segments, max(slots, 2)) - 1, 0)
    helpers = _idle_hosts(store, host)
    if helpers == 0:
        return None
    # A host is to run no hotter than by one undivided run: its budget is that of one process.
    return Division(PARTS_A_WORKER * (helpers + 1), MIN_SAMPLES, helpers, 1)


def _idle_hosts(store: JobStore, host: str) -> int:
    """Other hosts with a worker that has nothing to do, beyond those for which jobs wait."""
    others = [worker for worker in store.workers() if worker.host != host]
    if not others:
        return 0
    jobs = store.running()
    busy = Counter(job.worker for job in jobs if job.state == "in_progress")
    waiting = store.queue_figures().waiting + sum(job.state != "in_progress" for job in jobs)
    idle = {worker.host for worker in others if _is_idle(worker, busy)}
    return max(0, len(idle) - waiting)


def _is_idle(worker: WorkerFacts, busy: Counter[str | None]) -> bool:
    return busy[worker.name] < worker.concurrency
