"""Detect/track: one blocking local run, or a job for a worker; and the jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from apps.api.cancel import cancel_queued
from apps.api.deps import ServicesDep
from apps.api.problems import DOCUMENTED_QUEUE, Documented, documented
from apps.api.services import Services
from apps.api.streaming import NDJSON, RunResponse, wants_stream
from apps.common.contracts.manifest import Holder, RunResult
from apps.common.errors import QueueUnavailable
from apps.common.names import JobId
from apps.common.schemas import (
    ActiveRun,
    ActiveRuns,
    ActiveRunsQuery,
    DetectTrackRequest,
    JobAccepted,
    JobStatus,
)
from apps.jobs.store import JobStore, QueueJob
from apps.jobs.submit import submit
from apps.runs.lock import current_holders
from apps.runs.prepare import prepare_run
from apps.runs.spec import RunSpec
from apps.runs.store import read_progress

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


@dataclass(frozen=True)
class _Queue:
    """What Redis has of the jobs that are asked for.

    Args:
        ahead: by id, for those that wait, how many unfinished ones came before.
        workers: that listen; asked only where a job waits for one.
        problem: why nothing is known.
    """

    jobs: list[QueueJob] = field(default_factory=list)
    ahead: dict[str, int] = field(default_factory=dict)
    workers: int | None = None
    problem: str | None = None

    @classmethod
    def of(cls, store: JobStore, ep_id: str | None) -> _Queue:
        """An episode's newest jobs, or all unfinished ones; to be asked in a thread of Redis."""
        jobs = store.active() if ep_id is None else store.of_episode(ep_id)
        waiting = [job.request.job_id for job in jobs if job.state == "queued"]
        if not waiting:
            return cls(jobs)
        return cls(jobs, store.ahead(waiting), len(store.workers()))


@router.post("/detect_track", responses=_RESPONSES)
async def detect_track(
    body: DetectTrackRequest, request: Request, services: ServicesDep
) -> Response:
    """Detects and tracks the faces of an episode.

    In local mode the request *is* the run: closing the connection ends it.
    """
    spec = await prepare_run(
        body,
        body.execution_mode,
        settings=services.settings,
        host=services.host,
        fingerprint=services.code.fingerprint,
        source=services.source,
    )
    timeout_s = services.settings.local_timeout_s if body.timeout_s is None else body.timeout_s
    if body.execution_mode == "local":
        running = services.runs.running(spec, timeout_s)
        return RunResponse(running, spec.run_id, stream=wants_stream(request))
    job = await services.ask_redis(submit, spec, timeout_s, services.jobs, services.publisher)
    accepted = JobAccepted(
        job_id=job.job_id,
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        profile=spec.resolution.options.profile,
        message=f"Queued. Its state: GET /celery_jobs/{job.job_id}",
    )
    headers = {"location": f"/celery_jobs/{job.job_id}"}
    return JSONResponse(accepted.model_dump(), status_code=202, headers=headers)


@router.get("")
async def active_runs(
    services: ServicesDep, query: Annotated[ActiveRunsQuery, Query()]
) -> ActiveRuns:
    """Runs in progress on this host, whoever started them, and jobs that wait.

    With `ep_id`: the episode's newest jobs, ended ones included, so that a page that was loaded
    again finds its own.
    """
    ep_id = query.ep_id
    try:
        queue = await services.ask_redis(_Queue.of, services.jobs, ep_id)
    except QueueUnavailable as error:
        queue = _Queue(problem=error.detail)
    queued = [_line(job, queue.ahead.get(job.request.job_id)) for job in queue.jobs]
    listed = {(run.ep_id, run.run_id) for run in queued}
    direct = [
        run
        for run in await run_in_threadpool(_direct_runs, services)
        if ep_id in (None, run.ep_id) and (run.ep_id, run.run_id) not in listed
    ]
    items = [*direct, *queued]
    return ActiveRuns(
        items=items, total=len(items), queue_problem=queue.problem, workers=queue.workers
    )


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


def _direct_runs(services: Services) -> list[ActiveRun]:
    """Local runs of this server, and whatever else holds an episode on this host."""
    waiting, before = services.runs.specs(started=False), services.runs.specs(started=True)
    known: list[RunSpec | Holder] = [
        *before,
        *current_holders(services.layout),
    ]
    running = {(run.ep_id, run.run_id): run for run in known}
    return [
        *(_direct(services, run, "in_progress") for run in running.values()),
        *(
            _direct(services, spec, "queued", ahead=len(before) + place)
            for place, spec in enumerate(waiting)
        ),
    ]


def _direct(
    services: Services, run: RunSpec | Holder, state: str, *, ahead: int | None = None
) -> ActiveRun:
    return ActiveRun(
        run_id=run.run_id,
        ep_id=run.ep_id,
        execution_mode=run.execution_mode,
        state=state,
        progress=read_progress(services.layout, run.ep_id, run.run_id),
        ahead=ahead,
    )


def _line(job: QueueJob, ahead: int | None) -> ActiveRun:
    spec = job.request.spec
    return ActiveRun(
        run_id=spec.run_id,
        ep_id=spec.ep_id,
        execution_mode=spec.execution_mode,
        state=job.state,
        job_id=job.request.job_id,
        progress=job.progress,
        ahead=ahead,
    )


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
