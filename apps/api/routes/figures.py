"""A completed run's figures to draw, and its detections as files of other programs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result
from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.contracts.rows import DetectionRow, TrackRow
from apps.common.errors import RunNotFound
from apps.common.files import read_json
from apps.common.layout import Layout
from apps.common.schemas import ChartsQuery, QueryParameters, RunCharts
from apps.results.charts import chart_run
from apps.results.export import ExportedRun, ExportFormat, chunks, coco, csv, cvat, mot, readable
from apps.results.rows import read_rows
from apps.runs.store import read_completed

router = APIRouter(prefix="/episodes/{ep_id}/runs/{run_id}", tags=["runs"])

_LARGEST = 10**9  # frames and pixels; a manifest that says more is damaged
_ENDINGS: dict[ExportFormat, str] = {
    "mot": ".mot.txt",
    "coco": ".coco.json",
    "csv": ".csv",
    "cvat": ".cvat.xml",
}
_MEDIA_TYPES: dict[ExportFormat, str] = {
    "mot": "text/plain; charset=utf-8",
    "coco": "application/json",
    "csv": "text/csv; charset=utf-8",
    "cvat": "application/xml",
}


class ExportQuery(QueryParameters):
    format: ExportFormat
    untracked: bool = Field(
        False,
        description="MOT: faces of no track too, as id -1. COCO and CSV always have them, "
        "CVAT never.",
    )


class Download(StreamingResponse):
    """A generated file. Its source is closed at the end, also where the client leaves before."""

    def __init__(self, pieces: Generator[bytes], name: str, media_type: str) -> None:
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with suppress(ValueError):  # a thread is in it still: the server is being stopped
                self._pieces.close()


@router.get("/charts")
def charts(
    ep_id: str,
    run_id: str,
    services: ServicesDep,
    response: Response,
    query: Annotated[ChartsQuery, Query()],
) -> RunCharts:
    """Faces over time, confidences, face sizes and cuts: counted here, since there may be many."""
    layout = services.layout
    manifest = read_completed(layout, ep_id, run_id)
    video, stride = _grid(manifest)
    files = layout.run(ep_id, manifest.run_id)
    drawn = chart_run(
        video,
        stride,
        _cuts(layout, files.metrics),
        read_rows(_inside(layout, files.detections), DetectionRow),
        read_rows(_inside(layout, files.tracks), TrackRow),
        query.bins,
    )
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
            },
        }
    },
)
def export(
    ep_id: str,
    run_id: str,
    services: ServicesDep,
    query: Annotated[ExportQuery, Query()],
) -> Download:
    """Detections as MOT Challenge, COCO keypoints, CSV or CVAT for video; places in pixels.

    MOT frames and COCO images count from 1; `frame_idx` counts from 0 everywhere.
    """
    layout = services.layout
    manifest = read_completed(layout, ep_id, run_id)
    video, stride = _grid(manifest)
    path = _inside(layout, layout.run(ep_id, manifest.run_id).detections)

    def rows() -> Iterator[DetectionRow]:
        return readable(read_rows(path, DetectionRow), video.frames)

    run = ExportedRun(ep_id, manifest.run_id, video.width, video.height, video.frames, stride)
    text: Iterable[str]
    if query.format == "mot":
        text = mot(rows(), run, untracked=query.untracked)
    elif query.format == "coco":
        text = coco(rows, run)
    elif query.format == "cvat":
        text = cvat(rows(), run)
    else:
        text = csv(rows(), run)
    name = f"{run.ep_id}_{run.run_id}{_ENDINGS[query.format]}"  # names need no quoting
    return Download(chunks(text), name, _MEDIA_TYPES[query.format])


def _grid(manifest: RunManifest) -> tuple[VideoFacts, int]:
    """The video's facts and the stride of its processed frames.

    Raises:
        RunNotFound: the manifest does not have them, or they make no sense.
    """
    video, stride = manifest.video, manifest.effective_stride
    if video is not None and stride is not None:
        counts = (video.frames, video.width, video.height, stride)
        measures = (video.fps, video.duration_s)
        if all(1 <= count <= _LARGEST for count in counts) and all(
            0 < measure <= _LARGEST for measure in measures
        ):
            return video, stride
    raise RunNotFound(
        f"The manifest of run {manifest.run_id!r} lacks facts of its video.",
        hint="Run the episode again.",
    )


def _cuts(layout: Layout, path: Path) -> list[int]:
    """Frames that begin a shot; none where the metrics cannot be read."""
    metrics = read_json(path) if layout.contains(path) else None
    cuts = None if metrics is None else metrics.get("scene_cuts")
    if not isinstance(cuts, list):
        return []
    return [cut for cut in cuts if isinstance(cut, int)]


def _inside(layout: Layout, path: Path) -> Path:
    """Raises:
    RunNotFound: there is no such file in the data root.
    """
    if not path.is_file() or not layout.contains(path):
        raise RunNotFound("The run has no such rows.", hint="Run the episode again.")
    return path
