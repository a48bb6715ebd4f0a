"""The same run by several paths, side by side."""

from __future__ import annotations

import os

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from apps.api.comparison import ComparisonResponse
from apps.api.deps import ServicesDep
from apps.api.problems import Documented, documented
from apps.api.streaming import NDJSON, wants_stream
from apps.common.names import EpisodeId
from apps.common.resolve import resolve
from apps.common.schemas import ComparisonList, ComparisonRequest, ComparisonSummary
from apps.comparison.process import list_comparisons
from apps.runs.episodes import find_video
from apps.runs.lock import busy_error, is_held

router = APIRouter(prefix="/episodes/{ep_id}/comparisons", tags=["comparisons"])

_RESPONSES: Documented = {
    200: {
        "model": ComparisonSummary,
        "description": "The comparison has ended. With `Accept: application/x-ndjson`: lines of "
        "`log` and `heartbeat`, at least one a second; the last one is `result` or `error`.",
        "content": {NDJSON: {}},
    },
    **documented(
        {
            404: "No such episode, or no video in it.",
            409: "The episode is running, or another comparison is.",
            500: "One of the runs failed.",
            503: "The service is stopping.",
            504: "It took too long.",
            507: "The disk is full or not writable.",
        }
    ),
}


@router.get("")
def comparisons(ep_id: EpisodeId, services: ServicesDep) -> ComparisonList:
    """Finished comparisons of the episode, newest first."""
    items = list_comparisons(services.layout, ep_id)
    return ComparisonList(items=items, total=len(items))


@router.post("", responses=_RESPONSES)
async def compare(
    ep_id: EpisodeId, body: ComparisonRequest, request: Request, services: ServicesDep
) -> Response:
    """Runs the episode by the bare command line and by each mode, one run after another.

    The request *is* the comparison: closing the connection ends it and the run that is on. A mode
    that is not there now is left out with a note.
    """
    resolve(body.options, os.environ, await services.host.facts())  # refuses what no run accepts
    await run_in_threadpool(find_video, services.layout, ep_id)
    services.runs.refuse_busy(ep_id)
    if await run_in_threadpool(is_held, services.layout, ep_id):
        raise await run_in_threadpool(busy_error, services.layout, ep_id)
    return ComparisonResponse(ep_id, body, services, stream=wants_stream(request))
