"""Ends a run that was started through this service: by a waiting request, a job, the old path."""

from __future__ import annotations

import asyncio
import time

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from apps.api.services import Services
from apps.common.contracts.manifest import ExecutionMode, RunManifest
from apps.common.errors import QueueUnavailable, RunCancelled, RunElsewhere
from apps.common.layout import Layout
from apps.jobs.store import QueueJob
from apps.legacy.background import cancel_job
from apps.legacy.records import LegacyJob, list_jobs
from apps.runs.lock import current_holder
from apps.runs.record import record_unbegun
from apps.runs.spec import RunSpec
from apps.runs.store import close_unfinished, read_manifest
from apps.runs.supervise import STOPPED_ELSEWHERE

_POLL_SECONDS = 0.1
_WAIT_SECONDS = 3.0  # a worker hears of a cancel within half a second, and kills within 1.2
_STARTED: dict[ExecutionMode, tuple[str, str]] = {
    "cli": (
        "from the command line",
        "Stop it where it was started: press Ctrl-C there, or end its process with SIGTERM.",
    ),
    "local": ("by another server", "Cancel it at that server, or stop that server."),
    "sse": ("by another server", "Cancel it at that server, or stop that server."),
    "redis": (
        "by a worker that the queue does not reach",
        "Start Redis, if it is away, and try again; or stop the worker.",
    ),
}


async def cancel_run(services: Services, ep_id: str, run_id: str) -> RunManifest:
    """Ends a run with its whole process tree. A run that has ended stays as it is.

    Returns:
        Its manifest, which says `cancelled` unless the run ended by itself.

    Raises:
        RunNotFound: there is no such run.
        RunElsewhere: it was not started through this service; says where it runs.
    """
    layout = services.layout
    spec = (
        await services.runs.stop_run(ep_id, run_id)
        or await run_in_threadpool(_end_background, layout, ep_id, run_id)
        or await _end_queued(services, ep_id, run_id)  # last: Redis may not answer for seconds
    )
    if spec is not None:
        await run_in_threadpool(_close, layout, spec)
    manifest = await run_in_threadpool(read_manifest, layout, ep_id, run_id)
    if manifest.status == "running" and spec is None:
        raise await run_in_threadpool(_elsewhere, layout, manifest)
    return manifest


async def cancel_queued(services: Services, job_id: str) -> QueueJob:
    """Ends a job: a waiting one at once, a running one by its worker, which is waited for.

    Raises:
        JobNotFound: there is no such job.
        JobUnreadable: what Redis has of it is no job.
        QueueUnavailable: Redis does not answer, or refuses.
    """
    job = await services.ask_redis(services.jobs.read, job_id)
    answer = await services.ask_redis(services.jobs.ask_cancel, job_id)
    if answer == "end":
        ended = RunCancelled("The job was cancelled.", hint="Submit it again to run it.")
        await services.ask_redis(services.jobs.cancel_now, job_id, ended.to_dict())
    deadline = time.monotonic() + _WAIT_SECONDS
    while not job.is_finished and time.monotonic() < deadline:
        job = await services.ask_redis(services.jobs.read, job_id)
        if not job.is_finished:
            await asyncio.sleep(_POLL_SECONDS)
    return job


async def _end_queued(services: Services, ep_id: str, run_id: str) -> RunSpec | None:
    """What the run's job was to run; None where the queue cannot end it: the refusal says so."""
    try:
        jobs = await services.ask_redis(services.jobs.of_episode, ep_id)
        for job in jobs:
            if job.request.spec.run_id == run_id and not job.is_finished:
                job = await cancel_queued(services, job.request.job_id)
                return job.request.spec if job.is_finished else None
    except QueueUnavailable:
        pass
    return None


def _end_background(layout: Layout, ep_id: str, run_id: str) -> RunSpec | None:
    """What the run's job of the old path was to run; None where no such job is running."""
    for record in list_jobs(layout):
        if (record.ep_id, record.run_id) == (ep_id, run_id) and record.process.is_alive():
            cancel_job(layout, record)
            return _spec_of(layout, record)
    return None


def _spec_of(layout: Layout, record: LegacyJob) -> RunSpec | None:
    try:
        text = layout.job(record.job_id).spec.read_text(encoding="utf-8")
        spec = RunSpec.model_validate_json(text)
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return spec if (spec.ep_id, spec.run_id) == (record.ep_id, record.run_id) else None


def _close(layout: Layout, spec: RunSpec) -> None:
    """A run that was ended too early, or too hard, to say so itself."""
    record_unbegun(layout, spec, STOPPED_ELSEWHERE)
    if read_manifest(layout, spec.ep_id, spec.run_id).status == "interrupted":
        close_unfinished(layout, spec.ep_id, spec.run_id, "cancelled", STOPPED_ELSEWHERE)


def _elsewhere(layout: Layout, manifest: RunManifest) -> RunElsewhere:
    holder = current_holder(layout, manifest.ep_id)
    host, since = (
        (manifest.host, manifest.started_at) if holder is None else (holder.host, holder.since)
    )
    how, hint = _STARTED[manifest.execution_mode]
    return RunElsewhere(
        f"Run {manifest.run_id} was started {how}, on host {host}, since {since}.",
        hint=hint,
        execution_mode=manifest.execution_mode,
        host=host,
        since=since,
        run_id=manifest.run_id,
    )
