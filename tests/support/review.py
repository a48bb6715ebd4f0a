"""The review alone in a browser: an episode whose frames tell their numbers, tracks, and a server.

The server answers as the API does by way of the page's server, and mounts the component as
Streamlit does.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.responses import StreamingResponse as Streaming
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from apps.results.lanes import lanes
from apps.ui.formatting import ENDS
from apps.ui.parts.palette import COLOURS
from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import wait_for

ASSETS = CHECKOUT / "apps" / "ui" / "assets" / "review"
WIDTH, HEIGHT, FPS = 320, 240, 25
BITS, BLOCK = 12, 20  # of the number in a frame's upper left corner; pixels a bit

THEMES = {
    "light": ("#ffffff", "#f4f5f8", "#1f2430", "#d9dbe2"),
    "dark": ("#14161c", "#1e222b", "#e7e9ef", "#3a3f4b"),
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Review</title><link rel="icon" href="data:,">
<style>
  body { margin: 0; padding: 0 1rem; background: @BACK; color: @TEXT; font-family: system-ui; }
  main {
    --st-background-color: @BACK; --st-secondary-background-color: @GROUND; --st-text-color: @TEXT;
    --st-border-color: @BORDER; --st-primary-color: #d6336c; --st-base-radius: 0.6rem;
    --st-font: system-ui, sans-serif;
  }
</style></head>
<body><h1 style="height: 160px; margin: 0">Above</h1><main></main><p style="height: 900px">Below</p>
<script type="module">
  const place = document.querySelector("main").attachShadow({ mode: "open" });
  const inside = document.createElement("div");
  inside.innerHTML = @HTML;
  const style = document.createElement("style");
  style.textContent = @CSS;
  inside.append(style);
  place.append(inside);
  window.told = [];
  const { default: review } = await import("/files/review/review.js");
  window.draw = (other = {}) => {
    window.cleanUp = review({
      parentElement: place, data: { ...@DATA, ...other },
      setStateValue: () => {}, setTriggerValue: () => {},
    });
    window.review = place.querySelector(".review").screenalytics;
    const { links } = window.review; // which write where the reader rests into the address
    if (links === window.linked) return;
    window.linked = links;
    const rested = links.rested.bind(links);
    links.rested = (value) => {
      const same = JSON.stringify(window.told.at(-1)) === JSON.stringify(value);
      if (!same) window.told.push(value);
      rested(value);
    };
  };
  window.draw();
</script></body></html>"""


def write_clip(path: Path, seconds: float, *, sound: bool = True) -> None:
    """A film of 25 frames a second, each of which has its number in its upper left corner."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as film:
        pictures = film.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "50"})
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        tones = film.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(_picture(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            film.mux(pictures.encode(frame))
            if tones is not None:
                film.mux(tones.encode(_tone(number)))
        film.mux(pictures.encode(None))
        if tones is not None:
            film.mux(tones.encode(None))


def _picture(number: int) -> np.ndarray[Any, Any]:
    picture = np.full((HEIGHT, WIDTH, 3), (70, 90, 110), np.uint8)
    picture[:, :, 0] += np.uint8(number % 100)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 16
        picture[0:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = value
    return picture


def _tone(number: int) -> av.AudioFrame:
    samples = 48_000 // FPS
    wave = np.sin(np.arange(samples) * 2 * np.pi * 440 / 48_000).astype(np.float32) * 0.1
    frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48_000, number * samples
    frame.time_base = Fraction(1, 48_000)
    return frame


SHOWN_NUMBER = f"""async video => {{
  const canvas = document.createElement("canvas");
  Object.assign(canvas, {{ width: {WIDTH}, height: {HEIGHT} }});
  const context = canvas.getContext("2d", {{ willReadFrequently: true }});
  context.drawImage(video, 0, 0, {WIDTH}, {HEIGHT});
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit += 1) {{
    const [red] = context.getImageData(bit * {BLOCK} + {BLOCK // 2}, {BLOCK // 2}, 1, 1).data;
    if (red > 128) number += 2 ** bit;
  }}
  return number;
}}"""


@dataclass
class MadeTrack:
    """Sightings of a track: times, and boxes as 0..1 of the picture."""

    times: list[float]
    boxes: list[tuple[float, float, float, float]]
    start_s: float
    end_s: float


@dataclass
class MadeRun:
    """What a run has found, in the form of the API.

    Args:
        cuts_s: ascending.
        tracks: by `start_s`.
        people: the name of each, and the places of their tracks.
        hidden: names of those that are not shown.
    """

    duration_s: float
    stride: int
    cuts_s: list[float]
    tracks: list[MadeTrack]
    fps: float = FPS
    people: list[tuple[str | None, list[int]]] = field(default_factory=list)
    hidden: tuple[str, ...] = ()

    @property
    def after_s(self) -> float:
        return (self.stride + 1) / (2 * self.fps)

    @property
    def before_s(self) -> float:
        return (self.stride - 1) / (2 * self.fps)

    def review(self) -> dict[str, Any]:
        tracks = self.tracks
        rows = lanes([(track.times[0], track.times[-1]) for track in tracks])
        screen = [round(track.end_s - track.start_s, 3) for track in tracks]
        return {
            "ep_id": "made", "run_id": "r1", "duration_s": self.duration_s, "fps": self.fps,
            "width": WIDTH, "height": HEIGHT, "stride": self.stride,
            "before_s": self.before_s, "after_s": self.after_s, "cuts_s": self.cuts_s,
            "length_s": self.duration_s, "with_faces_s": 0.75 * self.duration_s,
            "lanes": max(rows, default=-1) + 1,
            "tracks": {
                "id": [f"track-{number:05d}" for number in range(1, len(tracks) + 1)],
                "first_s": [track.times[0] for track in tracks],
                "last_s": [track.times[-1] for track in tracks],
                "start_s": [track.start_s for track in tracks],
                "end_s": [track.end_s for track in tracks],
                "lane": rows,
                "confidence": [0.9 for _ in tracks],
                "sightings": [len(track.times) for track in tracks],
                "face_height": [0.2 for _ in tracks],
                "screen_s": screen,
                "screen_error_s": [0.12 for _ in tracks],
                "ended": ["cut" for _ in tracks],
            },
        }  # fmt: skip

    def people_rows(self) -> dict[str, Any]:
        """As `GET …/people` has them."""
        lengths = [track.end_s - track.start_s for track in self.tracks]
        items = [
            {
                "person_id": f"person-{number:04d}",
                "name": name,
                "track_ids": [f"track-{place + 1:05d}" for place in places],
                "screen_seconds": round(sum(lengths[place] for place in places), 3),
                "screen_error_seconds": 0.2,
                "hidden": name in self.hidden,
            }
            for number, (name, places) in enumerate(self.people, start=1)
        ]
        return {"items": items, "total": len(items), "offset": 0}

    def boxes(self, start_s: float, end_s: float) -> dict[str, Any]:
        rows: list[tuple[float, int, tuple[float, float, float, float]]] = []
        for place, track in enumerate(self.tracks):
            if track.end_s < start_s or track.start_s > end_s:
                continue
            first = max(0, bisect_left(track.times, start_s) - 1)
            behind = bisect_right(track.times, end_s) + 1
            times = track.times[first:behind]
            rows += [(t, place, track.boxes[first + i]) for i, t in enumerate(times)]
        rows.sort()
        return {
            "start_s": start_s,
            "end_s": end_s,
            "time_s": [time for time, _, _ in rows],
            "track": [place for _, place, _ in rows],
            "box": [side for _, _, box in rows for side in box],
            "confidence": [0.9 for _ in rows],
        }


def track(
    run: MadeRun, first_s: float, last_s: float, box: tuple[float, float, float, float], to_x: float
) -> MadeTrack:
    """A face that wanders to the right, seen at each sample; its stretch ends at cuts."""
    step = run.stride / run.fps
    count = round((last_s - first_s) / step) + 1
    times = [round(first_s + n * step, 3) for n in range(count)]
    moved = [to_x * n / max(1, count - 1) for n in range(count)]
    boxes = [(box[0] + x, box[1], box[2] + x, box[3]) for x in moved]
    before = [cut for cut in run.cuts_s if cut <= times[0] + 1e-6]
    after = [cut for cut in run.cuts_s if cut > times[-1] + 1e-6]
    start = max([times[0] - run.before_s, 0.0, *before[-1:]])
    end = min([times[-1] + run.after_s, *after[:1]])
    return MadeTrack(times, boxes, round(start, 3), round(end, 3))


def short_run() -> MadeRun:
    """24 seconds, three shots, a sample each 6 frames, five tracks."""
    run = MadeRun(24.0, 6, [7.92, 15.84], [])
    run.tracks = [
        track(run, 0.0, 7.68, (0.10, 0.30, 0.25, 0.55), 0.2),
        track(run, 1.92, 5.76, (0.60, 0.35, 0.75, 0.60), 0.1),
        track(run, 8.16, 15.6, (0.30, 0.25, 0.50, 0.60), 0.3),
        track(run, 9.84, 9.84, (0.05, 0.40, 0.15, 0.60), 0.0),
        track(run, 16.08, 23.76, (0.40, 0.30, 0.60, 0.65), -0.3),
    ]
    return run


def long_run(seconds: float = 3 * 3600, count: int = 5000, seed: int = 7) -> MadeRun:
    """Three hours with a cut each four seconds or so and 5,000 tracks, some in crowds."""
    random = Random(seed)
    cuts, now = [], 0.0
    while (now := now + random.uniform(1.2, 7)) < seconds:
        cuts.append(round(now, 3))
    run = MadeRun(seconds, 6, cuts, [])
    shots = list(zip([0.0, *cuts], [*cuts, seconds], strict=True))
    while len(run.tracks) < count:
        start, end = random.choice(shots)
        crowd = 25 if random.random() < 0.02 else 1
        for _ in range(min(crowd, count - len(run.tracks))):
            first = start + random.uniform(0, 0.5) * (end - start)
            last = first + random.uniform(0.1, 0.99) * (end - 0.3 - first)
            if last > first:
                x = random.uniform(0, 0.7)
                run.tracks.append(track(run, round(first, 3), last, (x, 0.2, x + 0.15, 0.5), 0.1))
    run.tracks.sort(key=lambda one: one.start_s)
    return run


@dataclass
class ReviewServer:
    """Where the review is, and what it was asked.

    Args:
        most_rows: of an answer with boxes; more is refused.
        ready: whether the video can be played as it is.
        broken: paths, by their last part, that are answered with 500.
    """

    url: str
    run: MadeRun
    video: Path
    asked: list[str] = field(default_factory=list)
    most_rows: int = 20_000
    ready: bool = True
    broken: set[str] = field(default_factory=set)
    making: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)


def _application(server: ReviewServer) -> Starlette:
    review = json.dumps(server.run.review())
    face = np.full((96, 96, 3), (90, 120, 200), np.uint8)
    cv2.circle(face, (48, 48), 30, (150, 190, 230), -1)
    jpeg = cv2.imencode(".jpg", face)[1].tobytes()

    async def page(request: Request) -> Response:
        back, ground, text, border = THEMES[request.query_params.get("theme", "light")]
        data = {
            "module": "/files/review/review.js", "episode": "/files/episodes/made",
            "run": "/files/episodes/made/runs/r1", "colours": list(COLOURS), "ends": ENDS,
            "people": bool(server.run.people),
        }  # fmt: skip
        filled = {
            "BACK": back, "GROUND": ground, "TEXT": text, "BORDER": border,
            "DATA": json.dumps(data),
            "HTML": json.dumps((ASSETS / "review.html").read_text()),
            "CSS": json.dumps((ASSETS / "review.css").read_text()),
        }  # fmt: skip
        return HTMLResponse(re.sub(r"@([A-Z]+)", lambda found: filled[found[1]], _PAGE))

    async def files(request: Request) -> Response:
        path = request.path_params["path"]
        server.asked.append(f"{request.method} {path}?{request.url.query}".rstrip("?"))
        last = path.rsplit("/", 1)[-1]
        if last in server.broken:
            return JSONResponse({"detail": "It broke.", "hint": "Mend it."}, 500)
        if last == "people":
            return JSONResponse(server.run.people_rows())
        if last == "review":
            return Response(review, media_type="application/json")
        if last == "boxes":
            query = request.query_params
            found = server.run.boxes(float(query["start_s"]), float(query["end_s"]))
            if len(found["time_s"]) > server.most_rows:
                return JSONResponse({"detail": "Too many.", "hint": "Ask for less."}, 422)
            return JSONResponse(found)
        if last == "playable":
            return _make(server) if request.method == "POST" else JSONResponse(_playable(server))
        if last in ("video", "file"):
            headers = {"cache-control": "private, no-cache"}
            return FileResponse(server.video, media_type="video/mp4", headers=headers)
        if last == "thumbnail":
            return Response(jpeg, media_type="image/jpeg")
        return Response(status_code=404)

    return Starlette(
        routes=[
            Route("/", page),
            Mount("/files/review", StaticFiles(directory=ASSETS)),
            Route("/files/episodes/{path:path}", files, methods=["GET", "POST"]),
        ]
    )


def _playable(server: ReviewServer) -> dict[str, Any]:
    made = server.making.is_set()
    return {
        "kind": "source" if server.ready else "proxy",
        "ready": server.ready or made,
        "path": "video" if server.ready else "playable/file",
        "mime": 'video/mp4; codecs="avc1.64001f, mp4a.40.2"',
        "why": None if server.ready else "No browser plays MPEG-2.",
        "size_bytes": None,
    }


def _make(server: ReviewServer) -> Response:
    async def events() -> AsyncIterator[str]:
        try:
            for done in range(0, 101, 20):
                await asyncio.sleep(0.1)
                progress = {"type": "progress", "phase": "render"}
                yield json.dumps({**progress, "frames_done": done, "frames_total": 100}) + "\n"
            server.making.set()
            yield json.dumps({"type": "result", "status": "completed"}) + "\n"
        finally:
            server.left.set()

    return Streaming(events(), media_type="application/x-ndjson")


@contextmanager
def review_server(run: MadeRun, video: Path) -> Iterator[ReviewServer]:
    """Serves the review of a run on a free port of loopback, in a thread."""
    port = free_port()
    served = ReviewServer(f"http://127.0.0.1:{port}", run, video)
    app = _application(served)
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="warning", lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, what="the review's server")
        yield served
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """Breaks every connection off when it ends, so that none outlives its loop."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.1)  # for those accepted meanwhile
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)
