"""The API with the routes of an episode's video in front of it, until it has them itself."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lab.processes.service import free_port, wait_for

_METHODS = ["GET", "HEAD", "POST", "DELETE", "PATCH", "PUT"]
_PASSED = (
    "content-type",
    "content-range",
    "accept-ranges",
    "etag",
    "cache-control",
    "content-disposition",
)


def _application(api_url: str, data_root: Path) -> Starlette:

    def video(request: Request) -> Response:
        [path] = (data_root / "videos" / request.path_params["ep_id"]).glob("episode.*")
        return FileResponse(path, media_type="video/mp4")

    def playable(request: Request) -> Response:
        return JSONResponse({"kind": "source", "ready": True, "path": "video", "why": None})

    async def rest(request: Request) -> Response:
        http = httpx.AsyncClient(base_url=api_url, trust_env=False, timeout=None)
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        path, query = request.url.path, dict(request.query_params)
        asked = http.build_request(
            request.method, path, params=query, headers=headers, content=request.stream()
        )
        answer = await http.send(asked, stream=True)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()
                await http.aclose()

        kept = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
        return StreamingResponse(body(), answer.status_code, kept)

    return Starlette(
        routes=[
            Route("/episodes/{ep_id}/video", video),
            Route("/episodes/{ep_id}/playable", playable),
            Route("/{path:path}", rest, methods=_METHODS),
        ]
    )


@contextmanager
def review_api(api_url: str, data_root: Path) -> Iterator[str]:
    """Serves it in front of an API; its address."""
    port = free_port()
    app = _application(api_url, data_root)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    server.config.lifespan = "off"
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, what="the routes of videos")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
