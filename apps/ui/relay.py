"""What changes, from the API to all tabs: one subscription there, a WebSocket for each tab here.

A browser opens six connections to a host at most, so ten tabs that hold a stream each would keep
the page itself from loading; WebSockets are not counted among them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import httpx
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from apps.common.certificates import certificates
from apps.ui.settings import PageSettings

LIVE_PATH = "/files/live"
_MAX_TABS = 200
_TRY_AGAIN_LATER = 1013  # RFC 6455's registry
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0  # seconds between two attempts to reach the API
# The API says something every 15 seconds; who is silent for longer is away.
_TIMEOUT = httpx.Timeout(40, connect=3)
_log = logging.getLogger("screenalytics.page")


class _Tab:
    """What one browser tab has not been told yet: of each thing only the newest."""

    def __init__(self) -> None:
        self._pending: dict[str, str] = {}
        self._arrived = asyncio.Event()

    def tell(self, about: str, text: str, *, afresh: bool = False) -> None:
        """Args: about: what the text replaces; afresh: it replaces all that was to be told."""
        if afresh:
            self._pending.clear()
        self._pending.pop(about, None)
        self._pending[about] = text
        self._arrived.set()

    async def send_all(self, socket: WebSocket) -> None:
        """Tells it, until the tab is closed."""
        with suppress(WebSocketDisconnect, RuntimeError):  # it was closed meanwhile
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                texts, self._pending = list(self._pending.values()), {}
                for text in texts:
                    await socket.send_text(text)


class Relay:
    """Passes the API's events on while at least one tab listens.

    Args:
        settings: where the API is, and its key.
    """

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        self._tabs: set[_Tab] = set()
        self._following: asyncio.Task[None] | None = None
        self._episodes: dict[str, Any] = {}
        self._server: Any = None
        self._is_up: bool | None = None  # None: not known yet

    async def serve(self, socket: WebSocket) -> None:
        """A tab, from its opening to its end."""
        if len(self._tabs) >= _MAX_TABS:
            await socket.close(_TRY_AGAIN_LATER)
            return
        await socket.accept()
        tab = _Tab()
        if self._is_up is not None:
            tab.tell("*", self._everything())
        self._tabs.add(tab)
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        sending = asyncio.create_task(tab.send_all(socket))
        try:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass  # tabs have nothing to say
        finally:
            sending.cancel()
            self._tabs.discard(tab)
            if not self._tabs:
                self._following.cancel()
                self._following, self._is_up = None, None

    def _everything(self) -> str:
        if not self._is_up:
            return _message("away", None)
        return _message("states", {"server": self._server, "items": [*self._episodes.values()]})

    async def _follow(self) -> None:
        """Reads what the API tells; where it is away, asks less and less often."""
        pause = _FIRST_PAUSE
        async with httpx.AsyncClient(
            base_url=self._settings.base_url,
            headers=self._settings.headers,
            timeout=_TIMEOUT,
            trust_env=False,
            verify=certificates(),
        ) as http:
            while True:
                try:
                    async with aclosing(_events(http)) as events:
                        async for name, body in events:
                            self._take(name, body)
                            pause = _FIRST_PAUSE
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    _log.debug("the API tells nothing", extra={"why": type(error).__name__})
                self._lose()
                # Several pages of one API do not come back at the same moment.
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(_LONGEST_PAUSE, 1.7 * pause)

    def _take(self, name: str, body: dict[str, Any]) -> None:
        if name == "states":
            self._episodes = {item["ep_id"]: item for item in body["items"]}
            self._server, self._is_up = body["server"], True
            self._tell("*", self._everything(), afresh=True)
        elif name == "state":
            self._episodes[body["ep_id"]] = body
            self._tell(body["ep_id"], _message(name, body))
        elif name == "removed":
            self._episodes.pop(body["ep_id"], None)
            self._tell(body["ep_id"], _message(name, body))
        elif name == "server":
            self._server = body
            self._tell("", _message(name, body))

    def _lose(self) -> None:
        if self._is_up is not False:
            self._is_up = False
            self._tell("*", self._everything(), afresh=True)

    def _tell(self, about: str, text: str, *, afresh: bool = False) -> None:
        for tab in self._tabs:
            tab.tell(about, text, afresh=afresh)


def live_route(settings: PageSettings) -> WebSocketRoute:
    """The route for tabs; the guard before it knows whose pages may open it."""
    relay = Relay(settings)
    return WebSocketRoute(LIVE_PATH, relay.serve)


def _message(name: str, body: Any) -> str:
    return json.dumps({"event": name, "data": body}, ensure_ascii=False, separators=(",", ":"))


async def _events(http: httpx.AsyncClient) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Server-sent events of the API: name and body.

    Raises:
        httpx.HTTPError: it does not answer, refuses, or breaks off.
        ValueError: what it sends is not understood.
    """
    name = ""
    async with http.stream("GET", "/events") as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)
