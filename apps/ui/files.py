"""Pictures, videos and downloads of the API, by way of the page's own server.

The browser knows one address, the page's, and the API's key stays on this side. Only reading what
people look at or take away is passed on, and having a video made playable or cut, all piece by
piece: a long video is never held in memory. The modules of the page's components are served here as
well, and what changes is told here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from apps.common.names import CROP_PATTERN, NAME_PATTERN, TRACK_PATTERN
from apps.ui.api_calls import api_client, unreachable
from apps.ui.modules import module_path, module_route
from apps.ui.relay import live_route
from apps.ui.settings import PageSettings

PREFIX = "/files"
_NAME, _TRACK, _CROP = (p[1:-1] for p in (NAME_PATTERN, TRACK_PATTERN, CROP_PATTERN))
_READABLE = re.compile(
    rf"episodes/{_NAME}/(thumbnail|video|playable|playable/file|differences|clip|still|runs/{_NAME}/"
    rf"(preview|export|tracks|detections|log|review|boxes|people|people/suggestions|tracks/{_TRACK}/thumbnail|crops/{_CROP}))"
)
_EPISODE = re.compile(_NAME)
_FROM_BROWSER = ("range", "if-range", "if-none-match", "if-modified-since")
_TO_BROWSER = (
    *("content-type", "content-length", "content-range", "accept-ranges"),
    *("etag", "last-modified", "cache-control", "content-disposition"),
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,300}")
_ENDINGS = {
    "tracks": "tracks.jsonl",
    "detections": "detections.jsonl",
    "log": "log",
    "preview": "preview.mp4",
}
_ROWS = {"tracks": "application/x-ndjson", "detections": "application/x-ndjson"}
_MADE = ("playable", "clip")


def thumbnail_url(ep_id: str) -> str:
    return _url(f"episodes/{ep_id}/thumbnail")


def download_url(ep_id: str, run_id: str, what: str, **query: str) -> str:
    """Where the page passes a file of a run to the browser.

    Args:
        what: tracks, detections, log, preview or export (with `format`).
    """
    name = f"{ep_id}_{run_id}.{_ENDINGS[what]}" if what in _ENDINGS else ""
    extra = query if what == "export" else {"save_as": name}
    return f"{_url(f'episodes/{ep_id}/runs/{run_id}/{what}')}?{urlencode(extra)}"


def episode_path(ep_id: str) -> str:
    """Where the page passes on what there is of an episode, for scripts of the page itself."""
    return f"{PREFIX}/episodes/{ep_id}"


def run_path(ep_id: str, run_id: str) -> str:
    """The same for a run."""
    return f"{episode_path(ep_id)}/runs/{run_id}"


def review_module_path(name: str = "review.js") -> str:
    """The module that begins the review. Its content decides its address, so it may be kept.

    Args:
        name: or another one of these modules.
    """
    return module_path("review", name)


def _url(path: str) -> str:
    """Absolute, since Streamlit takes a relative one for a file of this machine."""
    page = urlsplit(st.context.url or "http://localhost:8501/")
    return f"{page.scheme}://{page.netloc}{PREFIX}/{path}"


def file_routes(settings: PageSettings) -> list[BaseRoute]:
    """The routes that pass such requests on to the API."""

    async def read(request: Request) -> Response:
        path = request.path_params["path"]
        if _READABLE.fullmatch(path) is None or ".." in path:
            return PlainTextResponse("There is no such file.", status_code=404)
        query = dict(request.query_params)
        save_as = query.pop("save_as", None)
        headers = {name: request.headers[name] for name in _FROM_BROWSER if name in request.headers}
        headers["accept"] = _ROWS.get(path.rsplit("/", 1)[-1], "*/*")
        headers["accept-encoding"] = "identity"
        response = await _pass_on(settings, request.method, f"/{path}", headers, params=query)
        if save_as is not None and _SAFE_NAME.fullmatch(save_as):
            response.headers["content-disposition"] = f'attachment; filename="{save_as}"'
        return response

    async def make(request: Request) -> Response:
        ep_id = request.path_params["ep_id"]
        if "origin" not in request.headers:
            return PlainTextResponse("It is asked for from the page only.", status_code=403)
        if _EPISODE.fullmatch(ep_id) is None or ".." in ep_id:
            return PlainTextResponse("There is no such episode.", status_code=404)
        headers, what = {"accept": "application/x-ndjson"}, request.url.path.rsplit("/", 1)[-1]
        query = dict(request.query_params)
        return await _pass_on(settings, "POST", f"/episodes/{ep_id}/{what}", headers, params=query)

    return [
        *(Route(f"{PREFIX}/episodes/{{ep_id}}/{what}", make, methods=["POST"]) for what in _MADE),
        module_route(),
        live_route(settings),
        Route(f"{PREFIX}/{{path:path}}", read, methods=["GET"]),
    ]


async def _pass_on(
    settings: PageSettings, method: str, path: str, headers: dict[str, str], **content: Any
) -> Response:
    http = api_client(settings, headers)
    try:
        answer = await http.send(http.build_request(method, path, **content), stream=True)
    except httpx.HTTPError:
        await http.aclose()
        return unreachable()
    kept = {name: answer.headers[name] for name in _TO_BROWSER if name in answer.headers}
    kept["x-content-type-options"] = "nosniff"
    return StreamingResponse(_body(http, answer), answer.status_code, kept)


async def _body(http: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    """The answer's bytes; closes the connection at its end, or when the browser leaves."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
        await http.aclose()
