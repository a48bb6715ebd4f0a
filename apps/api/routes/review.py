"""What a player with a timeline shows: a run's tracks, and the boxes of a stretch of time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result
from apps.common.names import EpisodeId, RunIdOrLatest
from apps.common.schemas import BoxesQuery, ReviewBoxes, ReviewData

router = APIRouter(prefix="/episodes/{ep_id}/runs/{run_id}", tags=["review"])


@router.get("/review")
def review(
    ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep, response: Response
) -> ReviewData:
    """Tracks as columns, in lanes, with the cuts: what a timeline shows."""
    found = services.reviews.review(ep_id, run_id)
    response.headers["cache-control"] = cache_of_result(run_id)
    return found


@router.get("/boxes")
def boxes(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    response: Response,
    query: Annotated[BoxesQuery, Query()],
) -> ReviewBoxes:
    """Faces from `start_s` to `end_s`, at most 600 s and 50,000 faces.

    Of each track that is there also its last sighting before and its first one after, so that boxes
    can be drawn between samples.
    """
    found = services.reviews.boxes(ep_id, run_id, query.start_s, query.end_s)
    response.headers["cache-control"] = cache_of_result(run_id)
    return found
