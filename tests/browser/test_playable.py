"""A browser shows each picture when the product says, of the source and of what is made of it."""

from __future__ import annotations

import itertools
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from apps.pipeline.decode.video import open_video
from lab.processes.service import Server, serving
from tests.pipeline.videos import (
    AV1,
    BLUE,
    GREEN,
    H264,
    HEVC,
    RED,
    VP9,
    WHITE,
    Recipe,
    corner_names,
    corners,
    read_number,
    write_numbered,
    write_video,
)

COUNT = 100
LATE = [Fraction(85, 100) + Fraction(n, 25) for n in range(COUNT)]
UNEVEN = [Fraction(n // 3 * 3, 25) + Fraction(n % 3, 60) for n in range(COUNT)]
PAGE = """<!doctype html><title>play</title><video id=player muted preload=auto></video><script>
const player = document.getElementById("player");
const loaded = address => new Promise((done, failed) => {
  player.onerror = () => failed(new Error(player.error.message));
  player.onloadeddata = () => done(
    {duration: player.duration, width: player.videoWidth, height: player.videoHeight});
  player.src = address;
});
const pictureAt = (seconds, step) => new Promise(done => {
  const canvas = document.createElement("canvas");
  canvas.width = player.videoWidth;
  canvas.height = player.videoHeight;
  // The frame is there a little after the seek has ended; where it is the one before, none comes.
  const shown = new Promise(seen => player.requestVideoFrameCallback(seen));
  const patience = () => new Promise(over => setTimeout(over, 1500));
  player.onseeked = () => Promise.race([shown, patience()]).then(() => setTimeout(() => {
    const context = canvas.getContext("2d");
    context.drawImage(player, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let bytes = "";  // as a text: a list of numbers takes Playwright seconds to read
    for (let y = 0; y < canvas.height; y += step) {
      for (let x = 0; x < canvas.width; x += step) {
        const at = 4 * (y * canvas.width + x);
        bytes += String.fromCharCode(data[at], data[at + 1], data[at + 2]);
      }
    }
    done(btoa(bytes));
  }, 60));
  player.currentTime = seconds;
});
</script>"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("played") / "data"
    root.mkdir()
    with serving(root, SCREENALYTICS_MAX_CPU_PERCENT="200") as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of the API's own origin, so that it may look at the pictures."""
    context = browser.new_context()
    opened = context.new_page()
    opened.route("**/play.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    opened.goto(f"{server.url}/play.html")
    yield opened
    context.close()


def add(server: Server, name: str, file: str) -> Path:
    folder = server.data_root / "videos" / name
    folder.mkdir(parents=True)
    return folder / file


def play(page: Page, server: Server, name: str) -> dict[str, Any]:
    """Has it made where it must be, and loads it."""
    assert server.client.post(f"/episodes/{name}/playable").status_code == 200
    body: dict[str, Any] = server.client.get(f"/episodes/{name}/playable").json()
    assert body["ready"]
    assert page.evaluate("kind => player.canPlayType(kind)", body["mime"]) == "probably"
    size = page.evaluate("address => loaded(address)", f"/episodes/{name}/{body['path']}")
    return {**body, **size}


def picture_at(
    page: Page, seconds: float, played: dict[str, Any], step: int = 1
) -> np.ndarray[Any, Any]:
    """The picture's RGB, of each `step`-th pixel of each `step`-th row."""
    text = page.evaluate("([seconds, step]) => pictureAt(seconds, step)", [seconds, step])
    rows, columns = (-(-played[side] // step) for side in ("height", "width"))
    return np.frombuffer(b64decode(text), np.uint8).reshape(rows, columns, 3)


@pytest.mark.parametrize(
    ("name", "recipe", "kind"),
    [
        ("plain.mp4", H264, "source"), ("sound.mp4", replace(H264, audio=True), "source"),
        ("late.mp4", replace(H264, times=LATE), "source"),
        ("uneven.mp4", replace(H264, times=UNEVEN), "source"), ("plain.mov", H264, "source"),
        ("vp9.webm", VP9, "source"), ("late.webm", replace(VP9, times=LATE), "source"),
        ("av1.mp4", AV1, "source"),
        ("plain.mkv", H264, "remuxed"), ("late.mkv", replace(H264, times=LATE), "remuxed"),
        ("plain.ts", replace(H264, audio=True), "remuxed"), ("plain.flv", H264, "remuxed"),
        ("plain.avi", H264, "remuxed"), ("plain.h264", H264, "remuxed"),
        ("uneven.ts", replace(H264, times=UNEVEN), "remuxed"), ("vp9.mkv", VP9, "remuxed"),
        ("av1.mkv", AV1, "remuxed"),
        ("hevc.mp4", HEVC, "proxy"), ("late-hevc.mp4", replace(HEVC, times=LATE), "proxy"),
        ("deep.mp4", replace(H264, pix_fmt="yuv420p10le"), "proxy"),
        ("mpeg2.mpg", Recipe("mpeg2video", options={"b": "4M", "bf": "2"}), "proxy"),
    ],
)  # fmt: skip
def test_a_seek_shows_the_picture_of_that_time(
    page: Page, server: Server, name: str, recipe: Recipe, kind: str
) -> None:
    ep_id = name.replace(".", "-")
    source = write_numbered(add(server, ep_id, f"episode.{name.rpartition('.')[2]}"), COUNT, recipe)
    played = play(page, server, ep_id)
    assert played["kind"] == kind
    with open_video(source, threads=1) as video:
        times = video.index.timeline.seconds.tolist()
    for number in (50, 0, 1, 7, 33, 34, 77, 98, 12):
        after = (times[number + 1] - times[number]) / 2  # in its middle
        shown = read_number(picture_at(page, times[number] + after, played))
        assert shown == number, f"{shown} instead of {number}"


def test_the_clip_that_begins_late(page: Page, server: Server, test_data: Path) -> None:
    """Its pictures are those that the product has at these times."""
    clip = test_data / "videos" / "short_hamilton_clip.mp4"
    add(server, "clip", "episode.mp4").write_bytes(clip.read_bytes())
    played = play(page, server, "clip")
    assert played["kind"] == "source"
    with open_video(clip, threads=1) as video:
        step = 1 / video.facts.fps
        frames = [(d.ts_s, d.picture.pixels()[::4, ::4, ::-1]) for d in video.decoded()]
    assert frames[0][0] > 0.8
    changes = [distance(one[1], other[1]) for one, other in itertools.pairwise(frames)]
    cut = int(np.argmax(changes))  # on its two sides are pictures that nobody mistakes
    assert changes[cut] > 20
    for number in (cut, cut + 1, cut):
        time_s, expected = frames[number]
        shown = picture_at(page, time_s + step / 2, played, 4)
        assert distance(shown, expected) < changes[cut] / 4


def distance(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("file", ["episode.mp4", "episode.mkv"])
def test_turned_pictures_are_upright(page: Page, server: Server, file: str) -> None:
    name = f"turned-{file[-3:]}"
    write_video(add(server, name, file), [corners(192, 96)] * 30, replace(H264, rotation=90))
    played = play(page, server, name)
    assert (played["width"], played["height"]) == (96, 192)
    assert played["kind"] == ("source" if file.endswith("mp4") else "proxy")
    picture = picture_at(page, 0.5, played)[:, :, ::-1]
    assert corner_names(np.ascontiguousarray(picture)) == ["green", "white", "red", "blue"]
    assert len({RED, GREEN, BLUE, WHITE}) == 4
