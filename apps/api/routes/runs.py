"""Runs of an episode and their files, read only."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from pydantic import ValidationError

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result, run_file
from apps.api.problems import DOCUMENTED_PARTS, Documented
from apps.api.streaming import NDJSON, wants_stream
from apps.common.contracts.manifest import Progress, RunManifest, TrackMetrics
from apps.common.errors import InvalidInput, RunNotFound
from apps.common.layout import Layout, RunFiles
from apps.common.names import EpisodeId, RunIdOrLatest, is_comparison_run, is_crop_name
from apps.common.open_result import result_json
from apps.common.schemas import Diagnosis, PageQuery, Rows, RunList, RunSummary, TracksQuery
from apps.people.corrected import ASK_FOR_PEOPLE, NO_PEOPLE
from apps.results.diagnosis import diagnose
from apps.results.files import NO_ROWS, sendable_rows
from apps.results.rows import sorted_tracks
from apps.results.track_filter import check_filter, is_filtered, wanted_tracks
from apps.runs.about import about_run
from apps.runs.store import (
    bring_files,
    list_runs,
    read_completed,
    read_manifest,
    read_progress,
    read_runs,
)

router = APIRouter(prefix="/episodes/{ep_id}/runs", tags=["runs"])

_AS_LINES: Documented = {
    200: {"description": "A page; or the file, a line each.", "content": {NDJSON: {}}},
    **DOCUMENTED_PARTS,
}


@router.get("")
def runs(ep_id: EpisodeId, services: ServicesDep, query: Annotated[PageQuery, Query()]) -> RunList:
    """Runs of the episode, newest first, a page at a time; `total` counts all.

    A run whose manifest turns out to be damaged is counted, and missing from its page.
    """
    layout = services.layout
    names = list_runs(layout, ep_id)
    page = names[query.offset : query.offset + query.limit]
    items = [
        summary(manifest, about_run(layout, ep_id, manifest.run_id).title)
        for manifest in read_runs(layout, ep_id, page)
    ]
    return RunList(items=items, total=len(names))


@router.get("/{run_id}")
def run(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> RunManifest:
    """The run's manifest; `latest` is the newest completed run."""
    return read_manifest(services.layout, ep_id, run_id)


@router.get("/{run_id}/diagnosis")
def diagnosis(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> Diagnosis:
    """Why the run was slow or hot, from its manifest."""
    return diagnose(read_manifest(services.layout, ep_id, run_id))


@router.get("/{run_id}/progress")
def progress(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> Progress:
    manifest = read_manifest(services.layout, ep_id, run_id)
    bring_files(services.layout, ep_id, manifest.run_id)
    found = read_progress(services.layout, ep_id, manifest.run_id)
    if found is None:
        raise RunNotFound("The run has not reported progress yet.", hint="Ask again in a second.")
    return found


@router.get("/{run_id}/tracks", response_model=Rows, responses=_AS_LINES)
def tracks(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    request: Request,
    query: Annotated[TracksQuery, Query()],
) -> Rows | Response:
    """Tracks (`track_v1`), a page at a time; as NDJSON, all of them in the file's order.

    `total` counts those that pass the filters.
    """
    path = _results(services.layout, ep_id, run_id).tracks
    check_filter(query)
    filtered = is_filtered(query)
    if wants_stream(request) or not (filtered or query.descending or query.sort is not None):
        return _rows(services.layout, path, request, query)
    found = sendable_rows(services.layout, path)
    if filtered:
        found = wanted_tracks(found, query, services.reviews.review(ep_id, run_id).tracks)
    rows = sorted_tracks(found, query.sort, descending=query.descending)
    page = rows[query.offset : query.offset + query.limit]
    return Rows(items=page, total=len(rows), offset=query.offset)


@router.get("/{run_id}/detections", response_model=Rows, responses=_AS_LINES)
def detections(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    request: Request,
    query: Annotated[PageQuery, Query()],
) -> Rows | Response:
    """Detections (`det_v1`), a page at a time; as NDJSON, all of them."""
    path = _results(services.layout, ep_id, run_id).detections
    return _rows(services.layout, path, request, query)


@router.get("/{run_id}/embeddings", response_class=FileResponse, responses=DOCUMENTED_PARTS)
def embeddings(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> Response:
    """What the run's tracks look like, as arrays for NumPy."""
    path = _results(services.layout, ep_id, run_id).embeddings
    return run_file(
        services.layout,
        path,
        "application/x-npz",
        NO_PEOPLE,
        hint=ASK_FOR_PEOPLE,
        cache=cache_of_result(run_id),
    )


@router.get("/{run_id}/metrics")
def metrics(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> TrackMetrics:
    layout = services.layout
    body = result_json(layout, _results(layout, ep_id, run_id).metrics)
    try:
        return TrackMetrics.model_validate(body)
    except ValidationError:
        raise RunNotFound("The run has no readable metrics.", hint="Look at its log.") from None


@router.get("/{run_id}/log", response_class=PlainTextResponse, responses=DOCUMENTED_PARTS)
def log(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> Response:
    path = _files(services.layout, ep_id, run_id).log
    return run_file(services.layout, path, "text/plain; charset=utf-8", "The run has no log yet.")


@router.get("/{run_id}/preview", response_class=FileResponse, responses=DOCUMENTED_PARTS)
def preview(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> Response:
    """The annotated video; answers Range requests."""
    path = _results(services.layout, ep_id, run_id).preview
    return run_file(
        services.layout,
        path,
        "video/mp4",
        "The run has no preview; it was made without save_preview.",
        hint="Make it with POST to this address.",
        cache=cache_of_result(run_id),
    )


@router.get("/{run_id}/crops/{crop:path}", response_class=FileResponse, responses=DOCUMENTED_PARTS)
def crop(ep_id: EpisodeId, run_id: RunIdOrLatest, crop: str, services: ServicesDep) -> Response:
    """One picture of a track, e.g. `track-00001/frame_000042.jpg`."""
    if not is_crop_name(crop):
        raise InvalidInput(
            "This is not the name of a crop.", hint="For example track-00001/frame_000042.jpg."
        )
    path = _results(services.layout, ep_id, run_id).crops / crop
    return run_file(
        services.layout,
        path,
        "image/jpeg",
        "There is no such crop; run with save_crops.",
        cache=cache_of_result(run_id),
    )


def summary(manifest: RunManifest, title: str | None = None) -> RunSummary:
    result = manifest.result
    return RunSummary(
        run_id=manifest.run_id,
        ep_id=manifest.ep_id,
        status=manifest.status,
        execution_mode=manifest.execution_mode,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        profile=manifest.options.profile,
        exit_reason=manifest.exit_reason,
        frames_done=None if result is None else result.frames_done,
        tracks=None if result is None else result.tracks,
        title=title,
        of_comparison=is_comparison_run(manifest.run_id),
        people=None if manifest.people is None else manifest.people.people,
    )


def _files(layout: Layout, ep_id: str, run_id: str) -> RunFiles:
    manifest = read_manifest(layout, ep_id, run_id)
    bring_files(layout, ep_id, manifest.run_id)
    return layout.run(ep_id, manifest.run_id)


def _results(layout: Layout, ep_id: str, run_id: str) -> RunFiles:
    """Files of a completed run; the others have no results, whatever lies in their folder."""
    return layout.run(ep_id, read_completed(layout, ep_id, run_id).run_id)


def _rows(layout: Layout, path: Path, request: Request, page: PageQuery) -> Rows | Response:
    if wants_stream(request):
        return run_file(layout, path, NDJSON, NO_ROWS)
    rows = sendable_rows(layout, path)
    skipped = sum(1 for _ in itertools.islice(rows, page.offset))
    items = list(itertools.islice(rows, page.limit))
    total = skipped + len(items) + sum(1 for _ in rows)
    return Rows(items=items, total=total, offset=page.offset)
