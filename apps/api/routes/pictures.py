"""Pictures of episodes and tracks, and a run's preview made on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result, run_file
from apps.api.problems import DOCUMENTED_PARTS, Documented, documented
from apps.api.services import Services
from apps.api.streaming import NDJSON, RunResponse, ended_answer, wants_stream
from apps.common.contracts.events import PreviewEvent, PreviewResult, PreviewResultEvent
from apps.common.contracts.rows import TrackRow
from apps.common.layout import Layout, RunFiles
from apps.common.names import EpisodeId, RunIdOrLatest, TrackId, thumb_name
from apps.common.open_result import result_rows
from apps.runs.preview import existing_preview, prepare_preview
from apps.runs.spec import PreviewSpec
from apps.runs.store import read_completed
from apps.runs.supervise import SupervisedProcess

Preview = SupervisedProcess[PreviewEvent]

router = APIRouter(prefix="/episodes/{ep_id}", tags=["pictures"])

_EPISODE_CACHE = "private, max-age=300"  # a video may be replaced
_JPEG: Documented = {
    **DOCUMENTED_PARTS,
    200: {
        "description": "The picture.",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
}
_PREVIEW: Documented = {
    200: {
        "model": PreviewResult,
        "description": "The preview is there. With `Accept: application/x-ndjson`: events, a line "
        "each; the last one is `result` or `error`.",
        "content": {NDJSON: {}},
    },
    **documented(
        {
            404: "No such completed run, or its video is gone.",
            409: "It is being made already, or the video was replaced.",
            422: "The video cannot be read, or not be encoded.",
            500: "It failed.",
            503: "The service is stopping.",
            504: "It took too long.",
            507: "The disk is full or not writable.",
        }
    ),
}
_MADE = documented({503: "The service is stopping.", 507: "The disk is full or not writable."})


@router.get("/thumbnail", response_class=FileResponse, responses={**_JPEG, **_MADE})
async def episode_thumbnail(ep_id: EpisodeId, services: ServicesDep) -> Response:
    """A frame from about a tenth into the video, at most 320 pixels wide; made once."""
    path = await services.pictures.find(ep_id)
    return await run_in_threadpool(
        run_file,
        services.layout,
        path,
        "image/jpeg",
        "The episode's picture is gone.",
        hint="Ask again.",
        cache=_EPISODE_CACHE,
    )


@router.get(
    "/runs/{run_id}/tracks/{track_id}/thumbnail", response_class=FileResponse, responses=_JPEG
)
def track_thumbnail(
    ep_id: EpisodeId, run_id: RunIdOrLatest, track_id: TrackId, services: ServicesDep
) -> Response:
    """The track's best face, about 96 pixels; of an older run its best crop."""
    layout = services.layout
    files = layout.run(ep_id, read_completed(layout, ep_id, run_id).run_id)
    path = files.thumbs / thumb_name(track_id)
    if not path.is_file():
        path = _best_crop(layout, files, track_id) or path
    return run_file(
        layout,
        path,
        "image/jpeg",
        f"The run has no picture of {track_id}.",
        hint="See GET /tracks for its tracks; runs of older versions have none without save_crops.",
        cache=cache_of_result(run_id),
    )


@router.post("/runs/{run_id}/preview", response_model=None, responses=_PREVIEW)
async def make_preview(
    ep_id: EpisodeId, run_id: RunIdOrLatest, request: Request, services: ServicesDep
) -> Response:
    """Draws boxes and track numbers on the video, for a completed run that has no preview.

    The request *is* the work: closing the connection ends it. Where there is a preview already, it
    answers at once.
    """
    layout = services.layout
    manifest = await run_in_threadpool(read_completed, layout, ep_id, run_id)
    done = await run_in_threadpool(existing_preview, layout, ep_id, manifest.run_id)
    if done is None:
        spec = await run_in_threadpool(prepare_preview, layout, manifest, services.settings)
        making = _stored_again(services, services.runs.previewing(spec), spec)
        return RunResponse(making, spec.run_id, stream=wants_stream(request))
    return ended_answer(request, PreviewResultEvent(**done.model_dump()))


def _best_crop(layout: Layout, files: RunFiles, track_id: str) -> Path | None:
    """The first of a track's sample crops, where its row names one."""
    rows = result_rows(layout, files.tracks, TrackRow)
    track = next((row for row in rows if row is not None and row.track_id == track_id), None)
    samples = None if track is None else track.sample_thumbs
    return files.sample(samples[0]) if samples else None


@asynccontextmanager
async def _stored_again(
    services: Services, making: AbstractAsyncContextManager[Preview], spec: PreviewSpec
) -> AsyncIterator[Preview]:
    """The same, and what is in a storage gets the preview too."""
    async with making as preview:
        yield preview
    layout = services.layout
    if layout.remote is not None and layout.run(spec.ep_id, spec.run_id).preview.is_file():
        await run_in_threadpool(
            layout.remote.changed, layout, spec.ep_id, spec.run_id, at_once=False
        )
