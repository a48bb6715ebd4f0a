"""Uploads from the browser, by way of the page's own server, which holds none of them.

The browser sends by tus to the page's address; each request goes on to the API piece by piece.
"""

from __future__ import annotations

import re

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from apps.ui.api_calls import api_client, unreachable
from apps.ui.settings import PageSettings

UPLOADS_PATH = "/files/uploads"
_API_PATH = "/uploads"
_FROM_BROWSER = (
    *("tus-resumable", "upload-length", "upload-metadata", "upload-offset"),
    *("content-type", "content-length"),
)
_TO_BROWSER = (
    *("tus-resumable", "upload-length", "upload-offset", "upload-expires"),
    *("content-type", "cache-control"),
)
_ID = re.compile(r"[0-9a-f]{32}")
_CHANGES = ("POST", "PATCH", "DELETE")
_MOST_NAMES = 10_000
_GONE = 499  # nobody reads it; as servers log it


def upload_routes(settings: PageSettings) -> list[Route]:
    """The routes of the page's uploads; before those of `file_routes`, which takes all the rest."""

    async def pass_on(request: Request) -> Response:
        if request.method in _CHANGES and "origin" not in request.headers:
            # The guard has seen that it is this page's.
            return PlainTextResponse("Uploads come from the page only.", status_code=403)
        upload_id = request.path_params.get("upload_id")
        if upload_id is None:
            return await _pass_on(settings, request, _API_PATH)
        if _ID.fullmatch(upload_id) is None:
            return PlainTextResponse("There is no such upload.", status_code=404)
        return await _pass_on(settings, request, f"{_API_PATH}/{upload_id}")

    async def names(_: Request) -> Response:
        async with api_client(settings) as http:
            try:
                answer = await http.get("/episodes", params={"limit": _MOST_NAMES})
                answer.raise_for_status()
                found = [str(item["ep_id"]) for item in answer.json()["items"]]
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                return unreachable()
        return JSONResponse(found, headers={"cache-control": "no-store"})

    one = f"{UPLOADS_PATH}/{{upload_id:str}}"
    return [
        Route(UPLOADS_PATH, pass_on, methods=["GET", "POST"]),
        Route(f"{UPLOADS_PATH}/names", names, methods=["GET"]),
        Route(one, pass_on, methods=["GET", "PATCH", "DELETE"]),
    ]


async def _pass_on(settings: PageSettings, request: Request, path: str) -> Response:
    headers = {name: request.headers[name] for name in _FROM_BROWSER if name in request.headers}
    content = request.stream() if request.method == "PATCH" else None
    async with api_client(settings) as http:
        try:
            answer = await http.request(request.method, path, headers=headers, content=content)
        except ClientDisconnect:  # the API's connection breaks as well, and it keeps what it has
            return Response(status_code=_GONE)
        except httpx.HTTPError:
            return unreachable()
    kept = {name: answer.headers[name] for name in _TO_BROWSER if name in answer.headers}
    location = answer.headers.get("location", "")
    if location.startswith(f"{_API_PATH}/"):
        kept["location"] = UPLOADS_PATH + location.removeprefix(_API_PATH)
    return Response(answer.content, answer.status_code, kept)
