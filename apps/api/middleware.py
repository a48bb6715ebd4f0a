"""What holds for every request: who is it from, is it of a sane size, which code answers.

Plain ASGI, not Starlette's `BaseHTTPMiddleware`: that one hides the client's disconnect from the
handlers, and a local run must learn of it.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.common.errors import BodyTooLarge, HeadersTooLarge, NotAuthorised, ScreenalyticsError
from apps.common.logs import bound
from apps.web.problems import problem_response

_log = logging.getLogger("screenalytics.api")
REQUEST_ID_HEADER = "x-request-id"
VERSION_HEADER = "x-screenalytics-version"
API_KEY_HEADER = "x-api-key"
BODY_LIMIT_BYTES = 1_000_000  # of everything but an upload; the longest request has a few hundred
HEADERS_LIMIT = 100
_OPEN_PREFIX = "/health/"
_UPLOAD_PATH = "/episodes"
_RESUMABLE_PREFIX = "/uploads/"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestContextMiddleware:
    """Puts the version and a request id on every answer.

    Args:
        app: the next one.
        version: value of the version header, `<version>+<fingerprint of the loaded code>`.
    """

    def __init__(self, app: ASGIApp, version: str) -> None:
        self._app = app
        self._version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        start, status = time.monotonic(), 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[VERSION_HEADER] = self._version
                headers[REQUEST_ID_HEADER] = request_id
            await send(message)

        with bound(request_id=request_id):
            try:
                await self._app(scope, receive, named)
            finally:
                watched = scope["path"].startswith(_OPEN_PREFIX) and 0 < status < 400
                _log.log(
                    logging.DEBUG if watched else logging.INFO,
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,  # 0: the client left before an answer began
                        "seconds": round(time.monotonic() - start, 3),
                    },
                )


class AccessMiddleware:
    """Refuses requests without the API key, where one is set, and bodies that are too large.

    Args:
        app: the next one.
        api_key: as in SCREENALYTICS_API_KEY; None lets everybody in.
    """

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app = app
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem_response(refusal.to_dict())(scope, receive, send)
        elif _is_upload(scope):
            await self._app(scope, receive, send)  # counts for itself while it writes
        else:
            await self._app(scope, _limited(receive), send)

    def _refusal(self, scope: Scope) -> ScreenalyticsError | None:
        headers = Headers(scope=scope)
        if len(scope["headers"]) > HEADERS_LIMIT:
            return HeadersTooLarge(
                f"The request has more than {HEADERS_LIMIT} headers.", hint="Send fewer."
            )
        if self._api_key is not None and not scope["path"].startswith(_OPEN_PREFIX):
            given = headers.get(API_KEY_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._api_key.encode()):
                return NotAuthorised(
                    "The API key is missing or wrong.", hint="Send it in the header X-API-Key."
                )
        length = headers.get("content-length", "0")
        too_long = length.isascii() and length.isdigit() and int(length) > BODY_LIMIT_BYTES
        return _too_large() if too_long and not _is_upload(scope) else None


def _is_upload(scope: Scope) -> bool:
    method, path = scope["method"], scope["path"]
    if method == "PATCH":
        return bool(path.startswith(_RESUMABLE_PREFIX))
    return bool(method == "POST" and path.rstrip("/") == _UPLOAD_PATH)


def _limited(receive: Receive) -> Receive:
    """Counts a body that does not tell its length."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_LIMIT_BYTES:
            # FastAPI passes this one on; any other exception while it reads becomes a 400.
            raise HTTPException(413, _too_large().detail)
        return message

    return counted


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {BODY_LIMIT_BYTES // 1000} kB.",
        hint="Send only the fields that /docs names.",
    )
