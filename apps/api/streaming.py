"""A run as the body of one response, or as one blocking answer; either dies with its client.

A handler does not learn of a disconnect by itself. Here the run races against the connection's
`http.disconnect`, before the first byte as well as after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from apps.common.contracts import (
    ErrorEvent,
    PreviewResultEvent,
    ProgressEvent,
    ResultEvent,
    StartedEvent,
)
from apps.runs.live import E, LiveEvent, LiveRun
from apps.runs.record import now
from apps.web.problems import problem_response

NDJSON = "application/x-ndjson"
_LAST = ResultEvent | PreviewResultEvent | ErrorEvent
T = TypeVar("T")


class RunResponse(Response):
    """Runs something and answers with its end, or with its events where the client wants those.

    The status is decided by the first thing that matters: a run that cannot start is an error
    status; once a stream has begun it is 200 and the last line tells.

    Args:
        running: starts it, and ends it with its block.
        stream: the client wants the events.
    """

    def __init__(self, running: AbstractAsyncContextManager[LiveRun[E]], *, stream: bool) -> None:
        self._running: AbstractAsyncContextManager[LiveRun[Any]] = running
        self._stream = stream
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope, receive, send)
        await unless_disconnected(receive, answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._running as run:
            events = run.events()
            opening = await until_started(events)
            if isinstance(opening, StartedEvent) and self._stream:
                await _send_stream(run, events, send)
                return
            last = await _last(events) if isinstance(opening, StartedEvent) else opening
        # The run is gone before its answer leaves, so the next request finds the episode free.
        await final_response(last)(scope, receive, send)


async def unless_disconnected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None, with `work` cancelled, when the client goes away first."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


def wants_stream(request: Request) -> bool:
    return NDJSON in request.headers.get("accept", "")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_started(events: AsyncIterator[LiveEvent | None]) -> LiveEvent:
    async for event in events:
        if isinstance(event, StartedEvent | _LAST):
            return event
    raise RuntimeError("a run's events always end with a result or an error")


async def _last(events: AsyncIterator[LiveEvent | None]) -> LiveEvent:
    last: LiveEvent | None = None
    async for event in events:
        last = event or last
    if last is None:
        raise RuntimeError("a run's events always end with a result or an error")
    return last


def final_response(event: LiveEvent) -> Response:
    if isinstance(event, ResultEvent | PreviewResultEvent):
        return JSONResponse(event.model_dump(mode="json", exclude={"type"}))
    if isinstance(event, ErrorEvent):
        return problem_response(event.problem)
    raise RuntimeError(f"a run cannot end with {event.type!r}")


async def _send_stream(
    run: LiveRun[Any], events: AsyncIterator[LiveEvent | None], send: Send
) -> None:
    await start_lines(send, {"x-run-id": run.run_id})
    beat: ProgressEvent | None = None
    last: LiveEvent | None = None
    async for event in events:
        if isinstance(event, ProgressEvent):
            beat = event
        elif event is None and beat is not None:
            event = beat = beat.model_copy(update={"updated_at": now()})
        if isinstance(event, _LAST):
            last = event
        elif event is not None and not isinstance(event, StartedEvent):
            await send_line(event_line(event), send, more=True)
    await run.end()  # gone before the client reads the last line
    if last is not None:
        await send_line(event_line(last), send, more=False)


def event_line(event: LiveEvent) -> dict[str, Any]:
    return {"type": event.type, **event.model_dump(mode="json")}  # people read its start


async def start_lines(send: Send, headers: Mapping[str, str] | None = None) -> None:
    """Begins an answer of JSON lines.

    Args:
        headers: further ones.
    """
    every = {
        "content-type": NDJSON,
        "cache-control": "no-store",
        "x-accel-buffering": "no",  # a proxy that buffers would hide the progress
        **({} if headers is None else headers),
    }
    raw = [(name.encode(), value.encode()) for name, value in every.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def send_line(body: Mapping[str, Any], send: Send, *, more: bool) -> None:
    line = json.dumps(body, ensure_ascii=False) + "\n"
    await send({"type": "http.response.body", "body": line.encode(), "more_body": more})
