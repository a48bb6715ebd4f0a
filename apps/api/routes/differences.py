"""Two runs of an episode side by side: what they have found differently."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from apps.api.deps import ServicesDep
from apps.api.file_responses import cache_of_result
from apps.api.problems import documented
from apps.common.contracts.differences import RunDifferences
from apps.common.names import LATEST, EpisodeId, RunIdOrLatest
from apps.common.schemas import QueryParameters

router = APIRouter(prefix="/episodes/{ep_id}", tags=["runs"])


class DifferencesQuery(QueryParameters):
    a: RunIdOrLatest = Field(description="The run that is compared with, or `latest`.")
    b: RunIdOrLatest = Field(description="The run whose differences are told, or `latest`.")


@router.get("/differences", responses=documented({409: "The runs have read different videos."}))
def differences(
    ep_id: EpisodeId,
    services: ServicesDep,
    response: Response,
    query: Annotated[DifferencesQuery, Query()],
) -> RunDifferences:
    """Options, totals, and tracks that only one of two completed runs has.

    Tracks are matched by place at the same moments: the processed frames of the run with the larger
    stride, between whose samples the other one's boxes are interpolated.
    """
    found = services.differences.of(ep_id, query.a, query.b)
    response.headers["cache-control"] = cache_of_result(
        LATEST if LATEST in (query.a, query.b) else query.a
    )
    return found
