"""Keeps other web pages out: checked before anything else sees the request, in API and page.

Plain ASGI, so that WebSockets are checked as well and a client's disconnect stays visible.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from apps.common.errors import ForeignOrigin, ScreenalyticsError, UnknownHost
from apps.common.hosts import KnownHosts
from apps.web.problems import problem_response

_READING = ("GET", "HEAD", "OPTIONS")
_REFUSED = 1008  # policy violation, RFC 6455; before the handshake it becomes a 403
# Other sites may neither embed the answers, nor guess what kind of file they are, nor frame them.
_SEALS = {
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "content-security-policy": "frame-ancestors 'self'",
}


class Guard:
    """Refuses requests by an unknown name, and changes that another site's page asks for.

    Args:
        app: the next one.
        hosts: names by which the server may be asked.
        open_path: answers by whatever name: a probe of a cluster asks by address.
    """

    def __init__(self, app: ASGIApp, hosts: KnownHosts, open_path: str) -> None:
        self._app = app
        self._hosts = hosts
        self._open_path = open_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _sealed(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(_REFUSED, refusal.detail)(scope, receive, send)
        else:
            await problem_response(refusal.to_dict())(scope, receive, _sealed(send))

    def _refusal(self, scope: Scope) -> ScreenalyticsError | None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        host = named[0] if len(named) == 1 else ""
        if not self._hosts.has(host):
            if scope["type"] == "http" and scope["path"] == self._open_path:
                return None
            return UnknownHost(
                f"This server is not known as {host[:100]!r}.",
                hint="Ask it as localhost, or name the host in SCREENALYTICS_ALLOWED_HOSTS.",
            )
        reads = scope["type"] == "http" and scope["method"] in _READING
        scheme = scope["scheme"].replace("ws", "http")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if not reads and not self._hosts.trusts(origin, site, scheme, host):
            return ForeignOrigin(
                "The request comes from a page of another site.",
                hint="Only this server's own pages, and programs, may change something.",
            )
        return None


def _sealed(send: Send) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SEALS.items():
                headers.setdefault(name, value)
        await send(message)

    return sealed
