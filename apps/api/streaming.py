"""A run as the body of one response, or as one blocking answer; either dies with its client.

A handler does not learn of a disconnect by itself. Here the run races against the connection's
`http.disconnect`, before the first byte as well as after it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from apps.common.contracts.events import (
    ClipResultEvent,
    ErrorEvent,
    HeartbeatEvent,
    LogEvent,
    PlayableResultEvent,
    PreviewResultEvent,
    ProgressEvent,
    ResultEvent,
    StartedEvent,
)
from apps.common.contracts.manifest import Phase
from apps.common.errors import ScreenalyticsError
from apps.common.heartbeat import with_heartbeat
from apps.common.schemas import ComparisonResultEvent
from apps.runs.record import now
from apps.runs.supervise import HEARTBEAT_SECONDS, E, SupervisedProcess
from apps.web.problems import problem_response

NDJSON = "application/x-ndjson"
LastEvent = (
    ResultEvent
    | PreviewResultEvent
    | PlayableResultEvent
    | ClipResultEvent
    | ComparisonResultEvent
    | ErrorEvent
)
StreamedEvent = ProgressEvent | LogEvent | StartedEvent | HeartbeatEvent | LastEvent
_BEFORE = ("waiting", "starting")  # phases in which nothing is known of the video
_START_SECONDS = 2.5  # a run's process mostly knows within one or two whether it can run
T = TypeVar("T")


class RunResponse(Response):
    """Runs something and answers with its end, or with its events where the client wants those.

    The status is decided by the first thing that matters: a run that cannot start is an error
    status; once a stream has begun it is 200 and the last line tells. It also begins where that
    first thing keeps its client waiting for too long.

    Args:
        running: starts it, and ends it with its block.
        run_id: names the run in the header X-Run-Id and in progress events.
        stream: the client wants the events.
    """

    def __init__(
        self,
        running: AbstractAsyncContextManager[SupervisedProcess[E]],
        run_id: str,
        *,
        stream: bool,
    ) -> None:
        self._running: AbstractAsyncContextManager[SupervisedProcess[Any]] = running
        self._run_id = run_id
        self._stream = stream
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope, receive, send)
        await unless_disconnected(receive, answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = _Lines(self._run_id, send)
        try:
            last = await self._last_event(lines)
        except ScreenalyticsError as error:
            if not lines.begun:
                raise
            last = ErrorEvent.of(error)
        if lines.begun:
            await lines.end(last)
        else:
            await final_response(last)(scope, receive, send)

    async def _last_event(self, lines: _Lines) -> StreamedEvent:
        source = self._events(lines)
        events = with_heartbeat(source, lines.patience) if self._stream else source
        async with aclosing(events):
            async for event in events:
                if isinstance(event, LastEvent):
                    return event
                if self._stream:
                    await lines.tell(event)
        raise RuntimeError("a run's events always end with a result or an error")

    async def _events(self, lines: _Lines) -> AsyncGenerator[StreamedEvent, None]:
        """The run's, whose last one comes when it is gone: the next request finds it so."""
        async with self._running as run:
            lines.turn_came()
            async for event in run.events():
                if not isinstance(event, LastEvent):
                    yield event
        if run.last is not None:
            yield run.last


class _Lines:
    """An answer of JSON lines, one at least every second from its first one on.

    Args:
        run_id: as in `RunResponse`.
        send: sends an ASGI message to the client.
    """

    def __init__(self, run_id: str, send: Send) -> None:
        self._run_id = run_id
        self._send = send
        self._asked_at = time.monotonic()
        self._due = self._asked_at + HEARTBEAT_SECONDS
        self._phase: Phase = "waiting"
        self._progress: ProgressEvent | None = None  # the last that was sent
        self.begun = False

    def turn_came(self) -> None:
        """What is run is being started, so it will be known soon whether it can be."""
        self._phase = "starting"
        if not self.begun:
            self._due = time.monotonic() + _START_SECONDS

    def patience(self) -> float:
        """Seconds until the client must hear something."""
        return self._due - time.monotonic()

    async def tell(self, event: StreamedEvent | None) -> None:
        """An event, which is of interest once it has started; None: how far it is, if that is due.

        From the first line on the status is 200.
        """
        if event is None and self.patience() <= 0:
            await self._begin()
            await self._send_line(self._progress_now(), more=True)
        elif isinstance(event, StartedEvent):
            await self._begin()
        elif event is not None and self.begun:
            if isinstance(event, ProgressEvent):
                self._progress = event
            await self._send_line(event, more=True)

    async def end(self, last: StreamedEvent) -> None:
        await self._send_line(last, more=False)

    async def _begin(self) -> None:
        if not self.begun:
            await start_lines(self._send, {"x-run-id": self._run_id})
            self.begun = True

    async def _send_line(self, event: StreamedEvent, *, more: bool) -> None:
        self._due = time.monotonic() + HEARTBEAT_SECONDS
        await send_line(event_line(event), self._send, more=more)

    def _progress_now(self) -> ProgressEvent:
        if self._progress is not None and self._progress.phase not in _BEFORE:
            return self._progress.model_copy(update={"updated_at": now()})
        return ProgressEvent(
            phase=self._phase,
            frames_done=0,
            frames_total=0,
            video_frames_total=0,
            elapsed_sec=round(time.monotonic() - self._asked_at, 2),
            analyzed_fps=0.0,
            eta_sec=None,
            run_id=self._run_id,
            updated_at=now(),
        )


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


def final_response(last: StreamedEvent) -> Response:
    if isinstance(last, ErrorEvent):
        return problem_response(last.problem)
    return JSONResponse(last.model_dump(mode="json", exclude={"type"}))


def ended_answer(request: Request, last: LastEvent) -> Response:
    """The answer of what had ended before it was asked for, in the form that is wanted."""
    if not wants_stream(request):
        return final_response(last)
    line = json.dumps(event_line(last))
    return Response(line + "\n", media_type=NDJSON, headers={"cache-control": "no-store"})


def event_line(event: StreamedEvent) -> dict[str, Any]:
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
