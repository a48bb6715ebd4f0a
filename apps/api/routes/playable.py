"""An episode's video, and what browsers play of it where they do not play the video itself."""

from __future__ import annotations

import os

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.api.file_responses import CACHE_OF_VIDEO, VIDEO_FILE, HeldFile
from apps.api.problems import Documented, documented
from apps.api.streaming import NDJSON, RunResponse, ended_answer, wants_stream
from apps.common.contracts.events import PlayableResult, PlayableResultEvent
from apps.common.names import EpisodeId
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.common.schemas import Playable
from apps.results.playable import find_playable, playable_file, spec_of
from apps.runs.playable import media_type_of, own_video
from apps.runs.spec import PLAYABLE_RUN

router = APIRouter(prefix="/episodes/{ep_id}", tags=["playable"])

_MADE: Documented = {
    200: {
        "model": PlayableResult,
        "description": "The file is there. With `Accept: application/x-ndjson`: events, a line "
        "each; the last one is `result` or `error`.",
        "content": {NDJSON: {}},
    },
    **documented(
        {
            404: "No such episode, or its video is gone.",
            409: "It is being made already, or the video was replaced meanwhile.",
            422: "The video cannot be read, or not be encoded.",
            500: "It failed.",
            503: "The service is stopping.",
            504: "It took too long.",
            507: "The disk is full or not writable, or the file would be too large.",
        }
    ),
}


@router.get("/video", response_class=FileResponse, responses=VIDEO_FILE)
def video(ep_id: EpisodeId, services: ServicesDep) -> Response:
    """The episode's video as it is; answers Range requests.

    Its media type is that of its content, whatever its name is.
    """
    path = own_video(services.layout, ep_id)
    return HeldFile(path, media_type=media_type_of(path), headers={"cache-control": CACHE_OF_VIDEO})


@router.get("/playable")
async def playable(ep_id: EpisodeId, services: ServicesDep) -> Playable:
    """What a browser is to play: the video itself where all play it, else what is made of it."""
    return (await find_playable(services.layout, services.videos, ep_id)).answer()


@router.get("/playable/file", response_class=FileResponse, responses=VIDEO_FILE)
def file(ep_id: EpisodeId, services: ServicesDep) -> Response:
    """The file that was made for browsers; answers Range requests."""
    made = playable_file(services.layout, ep_id)
    kind = made.note.mime.partition(";")[0]
    return HeldFile(made.path, media_type=kind, headers={"cache-control": CACHE_OF_VIDEO})


@router.post("/playable", response_model=None, responses=_MADE)
async def make_playable(ep_id: EpisodeId, request: Request, services: ServicesDep) -> Response:
    """Makes the file for browsers, where it is needed and not there.

    The request *is* the work: closing the connection ends it. It has the threads and the CPU
    budget of a run that names no options.
    """
    layout = services.layout
    found = await find_playable(layout, services.videos, ep_id)
    answer = found.answer()
    if not answer.ready:
        options = resolve(RunRequest(), os.environ, await services.host.facts()).options
        spec = await run_in_threadpool(spec_of, found, layout, options, services.settings)
        making = services.runs.making_playable(spec)
        return RunResponse(making, PLAYABLE_RUN, stream=wants_stream(request))
    done = PlayableResult(
        ep_id=ep_id,
        kind=answer.kind,
        path=answer.path,
        mime=answer.mime,
        size_bytes=answer.size_bytes or 0,
        elapsed_seconds=0.0,
    )
    return ended_answer(request, PlayableResultEvent(**done.model_dump()))
