"""What library and people do, passed on from the browser to the API: these calls alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.common.names import NAME_PATTERN
from apps.ui.api_calls import api_client, unreachable
from apps.ui.settings import PageSettings

_PREFIX = "/files"
_NAME = re.compile(NAME_PATTERN[1:-1])
_MAX_BODY = 4096  # bytes; a title has 200 characters
_MAX_LONG_BODY = 1_000_000  # 5,000 names of tracks have 80,000
_QUERY = ("q", "sort", "offset", "limit", "keep", "keep_days")
Body = dict[str, Any]


@dataclass(frozen=True)
class _Call:
    """A call that is passed on.

    Args:
        path: of the page, below its prefix; names in it are checked.
        api: path of the API.
        fields: of the body that are passed on.
        body: makes the API's body of the names in the path and of these fields.
        max_body: bytes of the browser's body.
    """

    method: str
    path: str
    api: str
    fields: tuple[str, ...] = ()
    body: Callable[[dict[str, str], Body], Body | None] = lambda _, fields: fields or None
    max_body: int = _MAX_BODY


_BATCHES = "/celery_jobs/detect_track/batch"
_EPISODE = "/episodes/{ep_id}"
_RUN = f"{_EPISODE}/runs/{{run_id}}"
_CALLS = (
    _Call("GET", "/library", "/library"),
    _Call("GET", "/trash", "/trash"),
    _Call("GET", "/retention", "/retention"),
    _Call("POST", "/retention", "/retention", ("keep", "keep_days", "keep_job_days")),
    _Call("PATCH", _EPISODE, _EPISODE, ("title", "pinned", "show")),
    _Call("DELETE", _EPISODE, _EPISODE),
    _Call("GET", "/batches", _BATCHES),
    _Call("POST", "/batches", _BATCHES, ("episodes", "profile"), max_body=_MAX_LONG_BODY),
    _Call("POST", "/batches/{batch_id}/cancel", f"{_BATCHES}/{{batch_id}}/cancel"),
    _Call("POST", "/batches/{batch_id}/retry", f"{_BATCHES}/{{batch_id}}/retry"),
    _Call("PATCH", _RUN, _RUN, ("title",)),
    _Call("DELETE", _RUN, _RUN),
    _Call("POST", f"{_RUN}/cancel", f"{_RUN}/cancel"),
    _Call("POST", "/trash/{trash_id}/restore", "/trash/{trash_id}/restore"),
    _Call("DELETE", "/trash/{trash_id}", "/trash/{trash_id}"),
    _Call("POST", "/demo", "/demo/episode"),
    _Call(
        "POST",
        f"{_RUN}/people/corrections",
        f"{_RUN}/people/corrections",
        ("revision", "action", "person_ids", "track_ids", "name"),
        max_body=_MAX_LONG_BODY,
    ),
)


def library_routes(settings: PageSettings) -> list[Route]:
    """The routes, to stand before those that read files."""
    return [_route(settings, call) for call in _CALLS]


def _route(settings: PageSettings, call: _Call) -> Route:
    async def pass_on(request: Request) -> Response:
        names = {name: str(value) for name, value in request.path_params.items()}
        if any(_NAME.fullmatch(name) is None or ".." in name for name in names.values()):
            return _problem(404, "There is no such thing.")
        if call.method == "GET":
            query = {
                name: request.query_params[name] for name in _QUERY if name in request.query_params
            }
            return await _ask(settings, call.method, call.api, params=query)
        if "origin" not in request.headers:  # the guard has seen that it is this page's
            return _problem(403, "This is done from the page only.")
        fields = await _fields(request, call)
        if fields is None:
            return _problem(422, "The request is not understood.")
        return await _ask(
            settings, call.method, call.api.format(**names), json=call.body(names, fields)
        )

    return Route(f"{_PREFIX}{call.path}", pass_on, methods=[call.method])


async def _fields(request: Request, call: _Call) -> Body | None:
    """The fields of the body that may be passed on; None where it is none."""
    text = b""
    async for chunk in request.stream():
        text += chunk
        if len(text) > call.max_body:
            return None
    try:
        body = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return {name: body[name] for name in call.fields if name in body}


async def _ask(settings: PageSettings, method: str, path: str, **content: Any) -> Response:
    async with api_client(settings, {"accept": "application/json"}) as http:
        try:
            answer = await http.request(method, path, **content)
        except httpx.HTTPError:
            return unreachable()
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, headers, media_type=kind)


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail, "hint": ""}, status_code=status)
