"""Sends jobs again that nobody works on though they were accepted.

A message gets lost between a job's registration and its sending, or between a worker's taking and
noting it. Every API and every worker looks for such jobs, in turn. Sending one too many is
harmless: a job begins once (`apps.jobs.store`).
"""

from __future__ import annotations

import logging

from apps.common.errors import JobUnreadable, QueueUnavailable
from apps.jobs.batches import BatchStore
from apps.jobs.queue import Publisher, next_jobs, put_first, sent_jobs
from apps.jobs.store import JobStore, QueueJob

_log = logging.getLogger("screenalytics.jobs")
_TURN = "reconcile"


def turn_seconds(store: JobStore) -> float:
    """How often somebody looks: an accepted job is worked on, or final, within three leases."""
    return store.lease_seconds / 3


def reconcile(store: JobStore, publisher: Publisher) -> None:
    """Looks once, where no other program has looked just now; never raises."""
    try:
        if store.take_turn(_TURN, turn_seconds(store)):
            _look(store, publisher)
            BatchStore(store).prune()
    except QueueUnavailable:
        return  # said by whoever needs it
    except Exception:
        _log.exception("jobs could not be looked after")


def _look(store: JobStore, publisher: Publisher) -> None:
    next_ones = next_jobs(store)
    jobs = store.whose_turn_it_is(next_ones)
    for job_id, job in jobs.items():
        if job is None:
            store.drop(job_id)
            _log.error("job lost by Redis", extra={"job_id": job_id})
        elif isinstance(job, JobUnreadable):
            store.fail(job_id, job.to_dict())
            _log.error("job ended: its record cannot be read", extra={"job_id": job_id})
    overdue = [job for job in jobs.values() if isinstance(job, QueueJob) and _is_silent(job, store)]
    if not overdue:
        return
    sent = sent_jobs(store, newest_s=2 * store.lease_seconds)
    lost = [job for job in overdue if job.request.job_id not in sent]
    for job in lost:
        if not next_ones[job.request.priority]:
            _send(job, store, publisher)
    for job in reversed(lost):  # their turn has come: before all that wait, in their order
        if next_ones[job.request.priority]:
            _send(job, store, publisher)
            put_first(store, job.request)


def _send(job: QueueJob, store: JobStore, publisher: Publisher) -> None:
    job_id = job.request.job_id
    publisher.send(job.request)
    store.sent(job_id)
    _log.warning("job sent again", extra={"job_id": job_id, "silent_s": job.silent_s})


def _is_silent(job: QueueJob, store: JobStore) -> bool:
    return job.silent_s >= store.lease_seconds
