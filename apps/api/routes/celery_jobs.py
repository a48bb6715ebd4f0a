"""Detect/track: one blocking local run, or a job for a worker."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from apps.api.deps import ServicesDep
from apps.api.schemas import ActiveRun, ActiveRuns, DetectTrackRequest
from apps.api.streaming import NDJSON, RunResponse, wants_stream
from apps.common.contracts import RunResult
from apps.common.errors import QueueUnavailable
from apps.common.options import RunRequest
from apps.runs.prepare import prepare_run

router = APIRouter(prefix="/celery_jobs", tags=["detect/track"])

_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RunResult,
        "description": "The local run has ended. With `Accept: application/x-ndjson`: its events, "
        "a line each; the last one is `result` or `error`.",
        "content": {NDJSON: {}},
    },
    404: {**_PROBLEM, "description": "No such episode, or no video in it."},
    409: {**_PROBLEM, "description": "The episode is running already."},
    422: {**_PROBLEM, "description": "Bad input, or an accelerator that is missing."},
    500: {**_PROBLEM, "description": "The run failed; with exit code and last log lines."},
    503: {**_PROBLEM, "description": "Queue not available, or the service is stopping."},
    504: {**_PROBLEM, "description": "The run took longer than `timeout_s`."},
}


@router.post("/detect_track", responses=_RESPONSES)
async def detect_track(
    body: DetectTrackRequest, request: Request, services: ServicesDep
) -> Response:
    """Detects and tracks the faces of an episode.

    In local mode the request *is* the run: closing the connection ends it.
    """
    if body.execution_mode == "redis":
        raise QueueUnavailable("This version has no queue yet.", hint="Use execution_mode 'local'.")
    spec = await prepare_run(
        ep_id=body.ep_id,
        run_id=body.run_id,
        request=RunRequest(**body.model_dump(include=set(RunRequest.model_fields))),
        mode="local",
        settings=services.settings,
        host=services.host,
        fingerprint=services.code.fingerprint,
    )
    timeout_s = services.settings.local_timeout_s if body.timeout_s is None else body.timeout_s
    return RunResponse(spec, services, timeout_s, stream=wants_stream(request))


@router.get("")
def active_runs(services: ServicesDep) -> ActiveRuns:
    """Runs in progress."""
    items = [
        ActiveRun(
            run_id=run.spec.run_id,
            ep_id=run.spec.ep_id,
            execution_mode=run.spec.execution_mode,
            state="in_progress",
        )
        for run in services.active.values()
    ]
    return ActiveRuns(items=items, total=len(items))
