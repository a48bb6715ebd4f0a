"""Retention: what goes by itself, and what went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.api.retention import policy_of, prune, shown
from apps.common.retention_schemas import Pruned, Retention, RetentionPolicy, RetentionQuery

router = APIRouter(tags=["library"])


@router.get("/retention")
async def retention(services: ServicesDep, query: Annotated[RetentionQuery, Query()]) -> Retention:
    """The operator's policy, what goes by it within the hour, and the runs that went.

    With parameters it is shown what would go by these.
    """
    return await shown(services, query.in_place_of(policy_of(services.settings)))


@router.post("/retention", responses=documented({507: "The disk refuses it."}))
async def prune_now(services: ServicesDep, body: RetentionPolicy | None = None) -> Pruned:
    """Moves runs to the trash and forgets jobs, by the policy of the body or the operator's."""
    return await prune(services, policy_of(services.settings) if body is None else body)
