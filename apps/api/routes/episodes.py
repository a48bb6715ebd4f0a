"""Episodes: list, look, upload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.api.upload import receive_upload, store_video
from apps.common.errors import EpisodeExists, RunNotFound, VideoUnreadable
from apps.common.layout import Layout
from apps.common.names import EpisodeId
from apps.common.remote import noted_video
from apps.common.schemas import EpisodeDetail, EpisodeList, EpisodesQuery, EpisodeSummary
from apps.runs.episodes import check_episode, has_video, list_episodes, video_files
from apps.runs.lock import is_held
from apps.runs.store import count_runs, latest_run_id

router = APIRouter(prefix="/episodes", tags=["episodes"])

_REFUSED = documented(
    {409: "The episode has a video already.", 507: "The disk is full or not writable."}
)
_MULTIPART: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["ep_id", "file"],
                    "properties": {
                        "ep_id": {"type": "string"},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}


@router.get("")
def episodes(services: ServicesDep, query: Annotated[EpisodesQuery, Query()]) -> EpisodeList:
    """Episodes by name, a page at a time; `total` counts all that match.

    One that ran a video from elsewhere (`episode_run.py --video`) has none of its own: `video` is
    null then.

    `runs` counts manifests without reading them: one that is damaged is among them.
    """
    layout, part = services.layout, query.q.lower()
    names = [ep_id for ep_id in list_episodes(layout) if part in ep_id.lower()]
    page = names[query.offset : query.offset + query.limit]
    items = [_summary(layout, ep_id) for ep_id in page]
    return EpisodeList(items=items, total=len(names))


@router.get("/{ep_id}")
async def episode(ep_id: EpisodeId, services: ServicesDep) -> EpisodeDetail:
    """One episode, with what the decoder finds in its video."""
    layout = services.layout
    await run_in_threadpool(check_episode, layout, ep_id)
    summary = await run_in_threadpool(_summary, layout, ep_id)
    videos = video_files(layout.episode(ep_id))
    facts, problem = None, None
    if videos:
        try:
            facts = await services.videos.facts(videos[0])
        except VideoUnreadable as error:
            problem = error.detail
    return EpisodeDetail(
        **summary.model_dump(),
        facts=facts,
        problem=problem,
        other_videos=[path.name for path in videos[1:]],
    )


@router.post("", status_code=201, openapi_extra=_MULTIPART, responses=_REFUSED)
async def upload(request: Request, services: ServicesDep, response: Response) -> EpisodeDetail:
    """Takes a video: form fields `ep_id` and `file`. It is streamed to disk and must decode."""
    layout = services.layout
    async with receive_upload(request, layout, services.settings.upload_max_mb) as received:
        ep_id = received.ep_id
        if has_video(layout, ep_id):
            raise EpisodeExists(
                f"Episode {ep_id!r} has a video already.", hint="Choose another ep_id."
            )
        facts = await services.videos.facts(received.path)
        await run_in_threadpool(store_video, received, layout, ep_id)
    response.headers["location"] = f"/episodes/{ep_id}"
    summary = await run_in_threadpool(_summary, layout, ep_id)
    return EpisodeDetail(**summary.model_dump(), facts=facts)


def _summary(layout: Layout, ep_id: str) -> EpisodeSummary:
    videos = video_files(layout.episode(ep_id))
    stored = None if videos else noted_video(layout.remote_video(ep_id))
    name, size = None, None
    if videos:
        name, size = videos[0].name, _size(videos[0])
    elif stored is not None:
        name, size = stored.name, stored.size_bytes
    try:
        latest = latest_run_id(layout, ep_id)
    except RunNotFound:
        latest = None
    return EpisodeSummary(
        ep_id=ep_id,
        video=name,
        size_bytes=size,
        running=is_held(layout, ep_id),
        runs=count_runs(layout, ep_id),
        latest_run_id=latest,
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # removed since it was found
        return None
