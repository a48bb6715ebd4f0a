"""Puts a run into the queue, or says at once why not."""

from __future__ import annotations

import secrets

from apps.common.batch_schemas import Priority
from apps.common.errors import EpisodeBusy, JobNotFound, JobUnreadable, QueueUnavailable
from apps.common.schemas import Segments
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore, QueueJob
from apps.runs.record import now
from apps.runs.spec import RunSpec


def new_job_id() -> str:
    return f"job-{secrets.token_hex(8)}"


def submit(
    spec: RunSpec,
    timeout_s: float,
    store: JobStore,
    publisher: Publisher,
    priority: Priority = "normal",
    job_id: str | None = None,
    batch_id: str | None = None,
    segments: Segments = "off",
) -> JobRequest:
    """Registers and sends a job.

    Args:
        job_id: for whoever has to know it before: where Redis goes away over it, nobody can say
            whether there is the job.
        batch_id: of the batch that it is one of.
        segments: into how many parts it is divided.

    Raises:
        QueueUnavailable: Redis is away or refuses, or no worker listens.
        EpisodeBusy: the episode has an unfinished job.
    """
    check_queue(store)
    request = JobRequest(
        job_id=new_job_id() if job_id is None else job_id,
        spec=spec,
        timeout_s=timeout_s,
        submitted_at=now(),
        priority=priority,
        batch_id=batch_id,
        segments=segments,
    )
    rival = store.register(request)
    if rival is not None:
        raise _busy(store, rival, spec.ep_id)
    try:
        publisher.send(request)
    except QueueUnavailable:
        store.forget(request.job_id)
        raise
    return request


def check_queue(store: JobStore) -> None:
    """Somebody may be given a job.

    Raises:
        QueueUnavailable: Redis is away, or no worker listens.
    """
    if store.worker_count() == 0:
        raise QueueUnavailable(
            "No worker listens to the queue.",
            hint="Start one: celery -A apps.worker.celery_app worker --concurrency 1 (make up "
            "starts everything).",
        )


def _busy(store: JobStore, rival: str, ep_id: str) -> EpisodeBusy:
    try:
        job: QueueJob | None = store.read(rival)
    except (JobNotFound, JobUnreadable):
        job = None
    since = "" if job is None else f" since {job.request.submitted_at}"
    return EpisodeBusy(
        f"Episode {ep_id!r} is running by a worker (queued) as job {rival}{since}.",
        hint=f"Wait until it ends, or cancel it: POST /celery_jobs/{rival}/cancel.",
        execution_mode="redis",
        job_id=rival,
        run_id=None if job is None else job.request.spec.run_id,
    )
