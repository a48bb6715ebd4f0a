"""Detect/track: one blocking local run, or a job for a worker; and the jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from apps.api.active_runs import Queue, direct_runs
from apps.api.cancel import cancel_queued
from apps.api.deps import ServicesDep
from apps.api.idempotent import IdempotencyKey, answered_once
from apps.api.problems import DOCUMENTED_QUEUE, Documented, documented
from apps.api.services import Services
from apps.api.streaming import NDJSON, RunResponse, wants_stream
from apps.common.contracts.manifest import RunResult
from apps.common.errors import QueueUnavailable
from apps.common.names import JobId
from apps.common.schemas import (
    ActiveRuns,
    ActiveRunsQuery,
    DetectTrackRequest,
    JobAccepted,
    JobStatus,
)
from apps.jobs.idempotency import Answer
from apps.jobs.store import QueueJob
from apps.jobs.submit import submit

router = APIRouter(prefix="/celery_jobs", tags=["detect/track"])

_POLL_SECONDS = 0.5
_RESPONSES: Documented = {
    200: {
        "model": RunResult,
        "description": "The local run has ended. With `Accept: application/x-ndjson`: its events, "
        "a line each, one at least every second, while it waits as well; the last one is `result` "
        "or `error`.",
        "content": {NDJSON: {}},
    },
    202: {"model": JobAccepted, "description": "The job is queued."},
    **documented(
        {
            404: "No such episode, or no video in it.",
            409: "The episode is running already, or the run id is taken.",
            422: "Bad input, or an accelerator that is missing.",
            500: "The run failed; with exit code and last log lines.",
            503: "Queue not available, or the service is stopping.",
            504: "The run took longer than `timeout_s`.",
            507: "The disk is full or not writable.",
        }
    ),
}


@router.post("/detect_track", responses=_RESPONSES)
async def detect_track(
    body: DetectTrackRequest,
    request: Request,
    services: ServicesDep,
    key: IdempotencyKey = None,
) -> Response:
    """Detects and tracks the faces of an episode.

    In local mode the request *is* the run: closing the connection ends it. An Idempotency-Key is
    for queued mode.
    """
    if body.execution_mode == "local":
        spec = await services.prepare(body, "local")
        running = services.runs.running(spec, services.time_limit_s(body.timeout_s))
        return RunResponse(running, spec.run_id, stream=wants_stream(request))

    async def make() -> Answer:
        return await _queued(body, services)

    return await answered_once(services, key, f"detect_track {body.model_dump_json()}", make)


async def _queued(body: DetectTrackRequest, services: Services) -> Answer:
    spec = await services.prepare(body, "redis")
    limit_s = services.time_limit_s(body.timeout_s)
    job = await services.ask_redis(
        submit, spec, limit_s, services.jobs, services.publisher, segments=body.segments
    )
    accepted = JobAccepted(
        job_id=job.job_id,
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        profile=spec.resolution.options.profile,
        message=f"Queued. Its state: GET /celery_jobs/{job.job_id}",
    )
    location = f"/celery_jobs/{job.job_id}"
    return Answer(status=202, body=accepted.model_dump(), location=location)


@router.get("")
async def active_runs(
    services: ServicesDep, query: Annotated[ActiveRunsQuery, Query()]
) -> ActiveRuns:
    """Runs in progress on this host, whoever started them, and jobs that wait.

    With `ep_id`: the episode's newest jobs, ended ones included, so that a page that was loaded
    again finds its own.
    """
    try:
        queue = await services.ask_redis(Queue.of, services.jobs, query.ep_id)
    except QueueUnavailable as error:
        queue = Queue(problem=error.detail)
    direct = await run_in_threadpool(direct_runs, services.layout, services.runs)
    return queue.with_direct(direct, query.ep_id)


@router.get("/{job_id}", responses=DOCUMENTED_QUEUE)
async def job_status(job_id: JobId, services: ServicesDep) -> JobStatus:
    """A job's state, progress and, at the end, its result or error."""
    return _status(await services.ask_redis(services.jobs.read, job_id))


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=DOCUMENTED_QUEUE)
async def job_events(job_id: JobId, services: ServicesDep) -> EventSourceResponse:
    """The job as server-sent events: `progress` while it runs, then `result` or `error`."""
    job = await services.ask_redis(services.jobs.read, job_id)
    return EventSourceResponse(_events(services, job), ping=5)


@router.post("/{job_id}/cancel", responses=DOCUMENTED_QUEUE)
async def cancel_job(job_id: JobId, services: ServicesDep) -> JobStatus:
    """Ends a job: a waiting one at once, a running one with its whole process tree."""
    return _status(await cancel_queued(services, job_id))


async def _events(services: Services, job: QueueJob) -> AsyncIterator[ServerSentEvent]:
    last_sent = ""
    while not job.is_finished:
        status = _status(job).model_dump_json()
        if status != last_sent:
            last_sent = status
            yield ServerSentEvent(data=status, event="progress")
        await asyncio.sleep(_POLL_SECONDS)
        job = await services.ask_redis(services.jobs.read, job.request.job_id)
    if job.result is not None:
        yield ServerSentEvent(data=job.result.model_dump_json(), event="result")
    else:
        yield ServerSentEvent(data=json.dumps(job.problem), event="error")


def _status(job: QueueJob) -> JobStatus:
    spec = job.request.spec
    return JobStatus(
        job_id=job.request.job_id,
        state=job.state,
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        profile=spec.resolution.options.profile,
        submitted_at=job.request.submitted_at,
        attempts=job.attempts,
        worker=job.worker,
        progress=job.progress,
        result=job.result,
        error=job.problem,
    )
