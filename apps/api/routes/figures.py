"""A completed run's figures to draw, and its detections as files of other programs."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result
from apps.api.problems import documented
from apps.common.names import EpisodeId, ExportFormat, RunIdOrLatest
from apps.common.schemas import ChartsQuery, QueryParameters, RunCharts
from apps.results.figures import Export, charts_of, export_of
from apps.results.people_export.formats import PeopleChoice

router = APIRouter(prefix="/episodes/{ep_id}/runs/{run_id}", tags=["runs"])


class ExportQuery(QueryParameters):
    format: ExportFormat
    untracked: bool = Field(
        False,
        description="MOT: faces of no track too, as id -1. COCO and CSV always have them, "
        "CVAT never.",
    )
    hidden: bool = Field(False, description="Formats of people: hidden ones too.")
    start_timecode: str | None = Field(
        None,
        description="OTIO and EDL: timecode of the video's first picture; by default the file's "
        "own, or zero.",
        examples=["01:00:00:00"],
    )


class Download(StreamingResponse):
    """A generated file. Its source is closed at the end, also where the client leaves before."""

    def __init__(self, export: Export) -> None:
        headers = {"content-disposition": f'attachment; filename="{export.name}"'}
        super().__init__(export.pieces, media_type=export.media_type, headers=headers)
        self._pieces = export.pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with suppress(ValueError):  # a thread is in it still: the server is being stopped
                self._pieces.close()


@router.get("/charts")
def charts(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    response: Response,
    query: Annotated[ChartsQuery, Query()],
) -> RunCharts:
    """Faces over time, confidences, face sizes and cuts: counted here, since there may be many."""
    drawn = charts_of(services.layout, ep_id, run_id, query.bins)
    response.headers["cache-control"] = cache_of_result(run_id)
    return drawn


@router.get(
    "/export",
    response_class=StreamingResponse,
    response_model=None,
    responses={
        200: {
            "description": "The file.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
                "text/csv": {"schema": {"type": "string"}},
                "application/xml": {"schema": {"type": "string"}},
                "text/vtt": {"schema": {"type": "string"}},
                "application/vnd.pixar.opentimelineio+json": {"schema": {"type": "object"}},
            },
        },
        **documented({409: "A later version has written the log of corrections."}),
    },
)
def export(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    query: Annotated[ExportQuery, Query()],
) -> Download:
    """Detections, places in pixels, or people, as a file of another program.

    Detections: MOT Challenge, COCO keypoints, CSV, CVAT for video. People: seconds on the screen,
    and who is seen with whom, as CSV and JSON; timelines as OTIO and EDL; WebVTT; CVAT labelled by
    person.
    MOT frames and COCO images count from 1; `frame_idx` counts from 0 everywhere.
    """
    exported = export_of(
        services.layout,
        ep_id,
        run_id,
        query.format,
        untracked=query.untracked,
        choice=PeopleChoice(hidden=query.hidden, start_timecode=query.start_timecode),
        known=services.people,
    )
    return Download(exported)
