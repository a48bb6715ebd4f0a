"""The state of all episodes as one stream of events, for pages that stay open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.api.state_watch import StateWatch
from apps.common.live import EpisodeStates, StatesQuery

router = APIRouter(tags=["episodes"])

_PING_SECONDS = 15
_SEND_SECONDS = 30.0  # a client that reads nothing for so long is gone


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=documented({503: "Too many listen already."}),
)
async def events(services: ServicesDep) -> EventSourceResponse:
    """Server-sent events: `states` (all of them) first, then `state` of each episode that changed.

    `removed` names an episode that is gone, `server` tells of the server's own code and of the
    queue. A comment every 15 seconds. Nothing is looked at where nobody listens.
    """
    services.states.refuse_full()
    return EventSourceResponse(
        _messages(services.states), ping=_PING_SECONDS, send_timeout=_SEND_SECONDS
    )


@router.get("/states")
async def states(services: ServicesDep, query: Annotated[StatesQuery, Query()]) -> EpisodeStates:
    """The state of every episode, or of one, as it is now."""
    if query.ep_id is None:
        return await services.states.now()
    return await services.states.of([query.ep_id])


async def _messages(watch: StateWatch) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(watch.events()) as told:
        async for name, body in told:
            yield ServerSentEvent(body.model_dump_json(), event=name)
