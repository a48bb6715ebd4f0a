"""Parts of an episode's video to take away: clips with sound, and single pictures."""

from __future__ import annotations

import os
import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.api.file_responses import CACHE_OF_VIDEO, VIDEO_FILE, HeldFile
from apps.api.problems import Documented, documented
from apps.api.streaming import NDJSON, RunResponse, ended_answer, wants_stream
from apps.common.contracts.events import ClipResult, ClipResultEvent
from apps.common.errors import EpisodeNotFound
from apps.common.files import TEMPORARY, storage_errors
from apps.common.names import EpisodeId
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.common.schemas import ClipQuery, StillQuery
from apps.results.clips import clip_result, clip_spec, find_part
from apps.runs.playable import own_video
from apps.runs.probe import write_still
from apps.runs.spec import CLIP_RUN

router = APIRouter(prefix="/episodes/{ep_id}", tags=["playable"])

_MADE: Documented = {
    200: {
        "model": ClipResult,
        "description": "The clip is there. With `Accept: application/x-ndjson`: events, a line "
        "each; the last one is `result` or `error`.",
        "content": {NDJSON: {}},
    },
    **documented(
        {
            404: "No such episode, run or track, or its video is gone.",
            409: "It is being made already, or the video was replaced.",
            500: "It failed.",
            503: "The service is stopping.",
            504: "It took too long.",
            507: "The disk is full or not writable.",
        }
    ),
}
_PICTURE: Documented = {
    200: {"description": "The picture.", "content": {"image/png": {}, "image/jpeg": {}}},
    **documented({507: "The disk is full or not writable."}),
}


@router.get("/clip", response_class=FileResponse, responses=VIDEO_FILE)
def clip(ep_id: EpisodeId, services: ServicesDep, query: Annotated[ClipQuery, Query()]) -> Response:
    """A clip that `POST` to this address has made; answers Range requests."""
    part = find_part(services.layout, ep_id, query)
    if part.made is None:
        raise EpisodeNotFound("This clip is not made yet.", hint="Make it with POST there.")
    kind = part.made.note.mime.partition(";")[0]
    return HeldFile(
        part.made.path,
        media_type=kind,
        filename=f"{part.title}{part.made.path.suffix}",
        headers={"cache-control": CACHE_OF_VIDEO},
    )


@router.post("/clip", response_model=None, responses=_MADE)
async def make_clip(
    ep_id: EpisodeId,
    request: Request,
    services: ServicesDep,
    query: Annotated[ClipQuery, Query()],
) -> Response:
    """Makes a clip, where it is not there: whole pictures, and the sound of their time.

    Its pictures are the source's own where the clip begins and ends between groups of pictures,
    else they are encoded. The request *is* the work: closing the connection ends it.
    """
    part = await run_in_threadpool(find_part, services.layout, ep_id, query)
    if part.made is None:
        options = resolve(RunRequest(), os.environ, await services.host.facts()).options
        spec = await clip_spec(part, services.layout, services.videos, options, services.settings)
        making = services.runs.making_clip(spec)
        return RunResponse(making, CLIP_RUN, stream=wants_stream(request))
    done = clip_result(ep_id, part.made, 0.0)
    return ended_answer(request, ClipResultEvent(**done.model_dump()))


@router.get("/still", response_class=Response, responses=_PICTURE)
async def still(
    ep_id: EpisodeId, services: ServicesDep, query: Annotated[StillQuery, Query()]
) -> Response:
    """The picture that is shown at a time: upright, with square pixels, as large as it is."""
    video = await run_in_threadpool(own_video, services.layout, ep_id)
    target = services.layout.stills / f".{uuid.uuid4().hex}{TEMPORARY}"
    async with services.stills:
        try:
            with storage_errors():
                await run_in_threadpool(target.parent.mkdir, parents=True, exist_ok=True)
            await write_still(video, query.t, target, query.format)
            picture = await run_in_threadpool(target.read_bytes)
        finally:
            await run_in_threadpool(target.unlink, missing_ok=True)
    name = f"{ep_id}_{query.t:.3f}s.{'png' if query.format == 'png' else 'jpg'}"
    return Response(
        picture,
        media_type=f"image/{query.format}",
        headers={
            "content-disposition": f'attachment; filename="{name}"',
            "cache-control": "no-store",
        },
    )
