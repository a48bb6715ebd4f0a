"""The API with the routes of the review in front of it, until it has them itself.

What they answer is made of a real run's rows, as the API tells them.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lab.processes.service import free_port, wait_for
from tests.support.review import lanes

_METHODS = ["GET", "HEAD", "POST", "DELETE", "PATCH", "PUT"]
_PASSED = (
    "content-type",
    "content-range",
    "accept-ranges",
    "etag",
    "cache-control",
    "content-disposition",
)


def review_of(api: httpx.Client, ep_id: str, run_id: str) -> dict[str, Any]:
    """`GET …/review`, from the rows of the run."""
    path = f"/episodes/{ep_id}/runs/{run_id}"
    run, charts = api.get(path).json(), api.get(f"{path}/charts").json()
    rows = api.get(f"{path}/tracks", params={"limit": 10_000}).json()["items"]
    fps, stride = run["video"]["fps"], run["effective_stride"]
    before, after = (stride - 1) / (2 * fps), (stride + 1) / (2 * fps)
    cuts = [max(0.0, cut - before) for cut in charts["cuts_s"]]

    def stretch(row: dict[str, Any]) -> tuple[float, float]:
        start, end = max(0.0, row["start_s"] - before), row["end_s"] + after
        first, last = bisect_right(cuts, row["start_s"]), bisect_right(cuts, row["end_s"])
        if first > 0:
            start = max(start, cuts[first - 1])
        if last < len(cuts):
            end = min(end, cuts[last])
        return start, end

    rows.sort(key=lambda row: (stretch(row)[0], row["track_id"]))
    by_first = sorted(range(len(rows)), key=lambda i: rows[i]["start_s"])
    in_lanes = lanes([(rows[i]["start_s"], rows[i]["end_s"]) for i in by_first])
    lane = dict(zip(by_first, in_lanes, strict=True))
    return {
        "ep_id": ep_id, "run_id": run_id, "duration_s": charts["duration_s"], "fps": fps,
        "width": run["video"]["width"], "height": run["video"]["height"], "stride": stride,
        "before_s": before, "after_s": after, "cuts_s": cuts,
        "lanes": max(in_lanes, default=-1) + 1,
        "tracks": {
            "id": [row["track_id"] for row in rows],
            "first_s": [row["start_s"] for row in rows],
            "last_s": [row["end_s"] for row in rows],
            "start_s": [stretch(row)[0] for row in rows],
            "end_s": [stretch(row)[1] for row in rows],
            "lane": [lane[i] for i in range(len(rows))],
            "confidence": [row["stats"]["avg_conf"] for row in rows],
            "sightings": [row["stats"]["detections"] for row in rows],
            "face_height": [0.2 for _ in rows],
            "screen_s": [row.get("screen_s") for row in rows],
            "screen_error_s": [row.get("screen_error_s") for row in rows],
            "ended": [row.get("ended") for row in rows],
        },
    }  # fmt: skip


def sightings_of(api: httpx.Client, ep_id: str, run_id: str) -> dict[str | None, list[Any]]:
    """The rows of the run's detections, by track."""
    path = f"/episodes/{ep_id}/runs/{run_id}/detections"
    text = api.get(path, headers={"accept": "application/x-ndjson"}).text
    found: dict[str | None, list[Any]] = defaultdict(list)
    for row in map(json.loads, text.splitlines()):
        found[row["track_id"]].append(row)
    return found


def boxes_of(
    ids: list[str], sightings: dict[str | None, list[Any]], start_s: float, end_s: float
) -> dict[str, Any]:
    """`GET …/boxes`, from the rows of the run."""
    places = {track_id: place for place, track_id in enumerate(ids)}
    rows = [row for seen in sightings.values() for row in seen]
    kept = [row for row in rows if start_s <= row["ts_s"] <= end_s]
    for track_id in places:
        seen = sightings.get(track_id, [])
        earlier = [row for row in seen if row["ts_s"] < start_s]
        later = [row for row in seen if row["ts_s"] > end_s]
        if len(earlier) < len(seen) and len(later) < len(seen):
            kept += [*earlier[-1:], *later[:1]]
    kept.sort(key=lambda row: row["ts_s"])
    return {
        "start_s": start_s,
        "end_s": end_s,
        "time_s": [row["ts_s"] for row in kept],
        "track": [places.get(row["track_id"], -1) for row in kept],
        "box": [side for row in kept for side in row["bbox"]],
        "confidence": [row["conf"] for row in kept],
    }


def _application(api: httpx.Client, data_root: Path) -> Starlette:

    @cache
    def rows(ep_id: str, run_id: str) -> tuple[dict[str, Any], dict[str | None, list[Any]]]:
        return review_of(api, ep_id, run_id), sightings_of(api, ep_id, run_id)

    def review(request: Request) -> Response:
        return JSONResponse(rows(**request.path_params)[0])

    def boxes(request: Request) -> Response:
        start, end = (float(request.query_params[name]) for name in ("start_s", "end_s"))
        told, sightings = rows(**request.path_params)
        return JSONResponse(boxes_of(told["tracks"]["id"], sightings, start, end))

    def video(request: Request) -> Response:
        [path] = (data_root / "videos" / request.path_params["ep_id"]).glob("episode.*")
        return FileResponse(path, media_type="video/mp4")

    def playable(request: Request) -> Response:
        return JSONResponse({"kind": "source", "ready": True, "path": "video", "why": None})

    async def rest(request: Request) -> Response:
        http = httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=None)
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

    run = "/episodes/{ep_id}/runs/{run_id}"
    return Starlette(
        routes=[
            Route(f"{run}/review", review),
            Route(f"{run}/boxes", boxes),
            Route("/episodes/{ep_id}/video", video),
            Route("/episodes/{ep_id}/playable", playable),
            Route("/{path:path}", rest, methods=_METHODS),
        ]
    )


@contextmanager
def review_api(api_url: str, data_root: Path) -> Iterator[str]:
    """Serves it in front of an API; its address."""
    port = free_port()
    api = httpx.Client(base_url=api_url, trust_env=False, timeout=60)
    app = _application(api, data_root)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    server.config.lifespan = "off"
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, what="the routes of the review")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        api.close()
