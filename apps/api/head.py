"""HEAD: what GET would answer, without the body."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Lets every route that answers GET answer HEAD.

    The route is stopped when its headers are there: a file is not read, a stream does not go on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def headers_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                answered.set()
            await asyncio.Event().wait()  # until it is stopped below

        work = self._app({**scope, "method": "GET"}, receive, headers_only)
        working, waiting = asyncio.ensure_future(work), asyncio.create_task(answered.wait())
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()  # no answer: the client has gone, or an error, which is passed on
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)
