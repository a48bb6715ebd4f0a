"""A comparison as the body of one response, or as one blocking answer; either dies with its client.

What the tool starts over HTTP are runs of this server, which is why it is the one to end them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from apps.api.cancel import cancel_run
from apps.api.services import Services
from apps.api.streaming import (
    LastEvent,
    event_line,
    final_response,
    send_line,
    start_lines,
    unless_disconnected,
)
from apps.common.contracts.events import HeartbeatEvent, LogEvent
from apps.common.errors import InvalidInput, RunNotFound, ScreenalyticsError
from apps.common.heartbeat import with_heartbeat
from apps.common.schemas import ComparisonEvent, ComparisonRequest
from apps.comparison.process import ComparisonWork, start_comparison
from apps.runs.record import now
from apps.runs.supervise import HEARTBEAT_SECONDS, SupervisedProcess

_LATE_SECONDS = 0.5  # for a request that was on its way when the tool ended
_POLL_SECONDS = 0.05


class ComparisonResponse(Response):
    """Compares, and answers with what came of it, or with the events where the client wants those.

    Raises:
        ComparisonBusy: another one is under way; only before the first byte of the answer.
    """

    def __init__(
        self, ep_id: str, request: ComparisonRequest, services: Services, *, stream: bool
    ) -> None:
        self._ep_id = ep_id
        self._request = request
        self._services = services
        self._stream = stream
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_disconnected(receive, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with _comparing(
            self._services, self._ep_id, self._request, own_url(scope)
        ) as comparison:
            if self._stream:
                await start_lines(send)
            events = with_heartbeat(comparison.events(), lambda: HEARTBEAT_SECONDS)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, LastEvent):
                        last = event
                    elif self._stream:
                        await send_line(_line(event), send, more=True)
        # It is gone before the client reads how it ended, so the next one can begin.
        if self._stream:
            await send_line(event_line(last), send, more=False)
        else:
            await final_response(last)(scope, receive, send)


def own_url(scope: Scope) -> str:
    """The address at which this server took the request, which never leads out of the machine.

    Raises:
        InvalidInput: the server does not listen on a port.
    """
    host, port = scope.get("server") or ("", None)
    if port is None:
        raise InvalidInput(
            "Comparisons need a server that listens on a port.",
            hint="Start it with --host and --port, as `make up` does.",
        )
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def _comparing(
    services: Services, ep_id: str, request: ComparisonRequest, url: str
) -> AsyncIterator[SupervisedProcess[ComparisonEvent]]:
    """Starts the tool and holds it for the time of the block; at its end all is gone."""
    work = ComparisonWork(ep_id)

    def start() -> Awaitable[SupervisedProcess[ComparisonEvent]]:
        return start_comparison(work, request, url, services.settings)

    async with services.runs.comparing(ep_id, start) as process:
        try:
            yield process
        finally:
            await asyncio.shield(asyncio.create_task(_end(services, process, work)))


async def _end(
    services: Services, process: SupervisedProcess[ComparisonEvent], work: ComparisonWork
) -> None:
    await process.end()
    if work.run_id is not None:
        await _end_run(services, work.ep_id, work.run_id)


async def _end_run(services: Services, ep_id: str, run_id: str) -> None:
    """Ends the run that the tool had started last, if it is still on, or about to be."""
    deadline = time.monotonic() + _LATE_SECONDS
    while True:
        try:
            await cancel_run(services, ep_id, run_id)
            return
        except RunNotFound:
            if time.monotonic() > deadline:
                return
        except ScreenalyticsError:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _line(event: LogEvent | HeartbeatEvent | None) -> dict[str, Any]:
    return event_line(HeartbeatEvent(time=now()) if event is None else event)
