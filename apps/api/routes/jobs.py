"""The old path, kept for comparison: a background run under a CPU limiter, or one as SSE."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.api.problems import Documented, documented
from apps.api.sse import SseRunResponse
from apps.common.names import JobId
from apps.common.schemas import LegacyJobAccepted, LegacyRequest
from apps.legacy.background import cancel_job, start_job
from apps.legacy.records import LegacyJobStatus, find_job, job_status

router = APIRouter(prefix="/jobs", tags=["old path"])

_REFUSED = documented(
    {
        404: "No such episode, or no video in it.",
        409: "The episode is running already, or the run id is taken.",
        422: "Bad input, or an accelerator that is missing.",
        507: "The disk is full or not writable.",
    }
)
_STREAM: Documented = {
    200: {
        "description": "Events `progress` and `log`; the last one is `done` or `error`.",
        "content": {"text/event-stream": {}},
    },
    **_REFUSED,
    **documented({503: "The service is stopping.", 504: "The run took too long."}),
}
_UNKNOWN = documented({404: "No such job."})


@router.post("/detect_track", status_code=202, responses=_REFUSED)
async def start(
    body: LegacyRequest, services: ServicesDep, response: Response
) -> LegacyJobAccepted:
    """Starts a run in the background; it goes on when the server is started again."""
    record = await run_in_threadpool(start_job, await services.prepare(body, "sse"))
    response.headers["location"] = f"/jobs/{record.job_id}"
    return LegacyJobAccepted(
        job_id=record.job_id,
        ep_id=record.ep_id,
        run_id=record.run_id,
        profile=record.profile,
        message=f"Running in the background; see /jobs/{record.job_id}.",
    )


@router.post("/detect_track/stream", responses=_STREAM, response_class=Response)
async def stream(body: LegacyRequest, services: ServicesDep) -> Response:
    """The same run as server-sent events; closing the connection ends it."""
    return SseRunResponse(await services.prepare(body, "sse"), services)


@router.get("/{job_id}", responses=_UNKNOWN)
def status(job_id: JobId, services: ServicesDep) -> LegacyJobStatus:
    """The job's state, its progress, and its result or problem at the end."""
    return job_status(services.layout, find_job(services.layout, job_id))


@router.post("/{job_id}/cancel", responses=_UNKNOWN)
def cancel(job_id: JobId, services: ServicesDep) -> LegacyJobStatus:
    """Ends the job with all its processes. A job that has ended already stays as it is."""
    return cancel_job(services.layout, find_job(services.layout, job_id))
