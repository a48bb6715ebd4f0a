"""A run as server-sent events (old path). The stream is the run: who leaves, ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from apps.api.services import Services
from apps.api.streaming import final_response, unless_disconnected
from apps.common.contracts.events import ErrorEvent, Event, ResultEvent, StartedEvent
from apps.runs.spec import RunSpec
from apps.runs.supervise import SupervisedProcess

_PING_SECONDS = 3  # proxies and people are promised a sign of life every five
_FAREWELL_SECONDS = 3.0  # for the last event of a run that the server's own stop has ended


class SseRunResponse(Response):
    """Runs a spec and sends its events. A run that cannot start is an error status instead."""

    def __init__(self, spec: RunSpec, services: Services) -> None:
        self._spec = spec
        self._services = services
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_disconnected(receive, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        timeout_s = self._services.settings.local_timeout_s
        async with self._services.runs.running(self._spec, timeout_s) as run:
            events = run.events()
            opening = await _until_started(events)
            if isinstance(opening, StartedEvent):
                stream = EventSourceResponse(
                    _messages(run, events),
                    headers={"x-run-id": self._spec.run_id, "x-accel-buffering": "no"},
                    ping=_PING_SECONDS,
                    shutdown_grace_period=_FAREWELL_SECONDS,
                )
                await stream(scope, _nothing_more, send)  # the disconnect is watched here already
                return
        await final_response(opening)(scope, receive, send)


async def _until_started(events: AsyncIterator[Event]) -> Event:
    async for event in events:
        if isinstance(event, StartedEvent | ResultEvent | ErrorEvent):
            return event
    raise RuntimeError("a run's events always end with a result or an error")


async def _messages(
    run: SupervisedProcess[Event], events: AsyncIterator[Event]
) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        if isinstance(event, ResultEvent | ErrorEvent):
            await run.end()  # gone before the client reads the last event
        if not isinstance(event, StartedEvent):
            yield _message(event)


def _message(event: Event) -> ServerSentEvent:
    if isinstance(event, ErrorEvent):
        return _named("error", event.problem)
    name = "done" if isinstance(event, ResultEvent) else event.type
    return _named(name, event.model_dump(mode="json", exclude={"type"}))


def _named(name: str, body: dict[str, object]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body, ensure_ascii=False), event=name)


async def _nothing_more() -> Message:
    await asyncio.Event().wait()
    raise RuntimeError("nobody sets this event")
