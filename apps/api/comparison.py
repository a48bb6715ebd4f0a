"""A comparison as the body of one response, or as one blocking answer; either dies with its client.

What the tool starts over HTTP are runs of this server, which is why it is the one to end them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from apps.api.cancel import cancel_run
from apps.api.services import Services
from apps.api.streaming import send_line, start_lines, unless_disconnected
from apps.common.contracts.events import ErrorEvent, LogEvent
from apps.common.errors import ComparisonBusy, InvalidInput, RunNotFound, ScreenalyticsError
from apps.common.schemas import ComparisonRequest, ComparisonSummary
from apps.comparison.process import ComparisonEvent, ComparisonProcess
from apps.runs.record import now
from apps.runs.supervise import HEARTBEAT_SECONDS
from apps.web.problems import problem_response

_LATE_SECONDS = 0.5  # for a request that was on its way when the tool ended
_POLL_SECONDS = 0.05


class ComparisonResponse(Response):
    """Compares, and answers with what came of it, or with the events where the client wants those.

    Raises, before its first byte:
        ComparisonBusy: another one is under way.
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
            async for event in _with_heartbeat(comparison.events()):
                if isinstance(event, ErrorEvent | ComparisonSummary):
                    last = event
                elif self._stream:
                    await send_line(_line(event), send, more=True)
        # It is gone before the client reads how it ended, so the next one can begin.
        if self._stream:
            await send_line(_line(last), send, more=False)
        elif isinstance(last, ErrorEvent):
            await problem_response(last.problem)(scope, receive, send)
        else:
            await JSONResponse(last.model_dump(mode="json"))(scope, receive, send)


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
) -> AsyncIterator[ComparisonProcess]:
    """Starts the tool and holds it for the time of the block; at its end all is gone."""
    if services.comparing.locked():
        raise ComparisonBusy(
            "Another comparison is under way; two at once would measure each other.",
            hint="Wait until it ends, or stop it, then compare again.",
        )
    async with services.comparing:
        process = await ComparisonProcess.start(ep_id, request, url, services.settings)
        services.comparison = process
        try:
            yield process
        finally:
            services.comparison = None
            await asyncio.shield(asyncio.create_task(_end(services, process)))


async def _end(services: Services, process: ComparisonProcess) -> None:
    await process.kill()
    if process.run_id is not None:
        await _end_run(services, process.ep_id, process.run_id)


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


async def _with_heartbeat(
    source: AsyncIterator[ComparisonEvent],
) -> AsyncIterator[ComparisonEvent | None]:
    """The events, and None where there was none for a heartbeat."""
    coming: asyncio.Task[ComparisonEvent] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.create_task(anext(source))  # type: ignore[arg-type]
            await asyncio.wait({coming}, timeout=HEARTBEAT_SECONDS)
            if not coming.done():
                yield None
                continue
            finished, coming = coming, None
            try:
                event = finished.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        if coming is not None:
            coming.cancel()


def _line(event: ComparisonEvent | None) -> dict[str, Any]:
    if event is None:
        return {"type": "heartbeat", "time": now()}
    if isinstance(event, LogEvent | ErrorEvent):
        return {"type": event.type, **event.model_dump(mode="json")}  # people read its start
    return {"type": "result", **event.model_dump(mode="json")}
