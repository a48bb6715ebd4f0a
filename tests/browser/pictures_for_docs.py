"""The pictures of README and docs/page.md: `pytest tests/browser/pictures_for_docs.py`.

It is not collected with the tests, since it writes into docs/. The episode is made of photos that
anybody may show, all in the public domain. scikit-image brings Eileen Collins and the Hubble deep
field by NASA, and a rocket by SpaceX (the docstrings of `skimage.data` have the sources);
Matplotlib brings Grace Hopper by the United States Navy. So nothing is blurred.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from apps.demo.encode import write_episode
from apps.demo.scene import (
    ASTRONAUT,
    ROCKET,
    Camera,
    Episode,
    Photo,
    Placement,
    Shot,
    Sprite,
    View,
    linear,
)
from lab.paths import CHECKOUT
from lab.processes.service import Server, serving, wait_for
from tests.support.page import Tab, page_server, tab

EP_ID = "mission-s01e01"
WIDTH, HEIGHT = 1366, 1000
NAMES = ("Eileen Collins", "Grace Hopper")  # by their seconds
NO_QUEUE = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
HOPPER = Photo(
    package="matplotlib",
    file="mpl-data/sample_data/grace_hopper.jpg",
    size=(512, 600),
    outline=(
        (14, 598), (20, 500), (36, 410), (60, 375), (130, 350), (198, 318), (165, 275),
        (154, 215), (160, 160), (165, 100), (185, 55), (225, 30), (275, 25), (320, 40),
        (350, 65), (370, 100), (372, 170), (374, 200), (358, 265), (335, 315), (385, 345),
        (465, 372), (497, 395), (511, 450), (511, 598),
    ),
)  # fmt: skip
HUBBLE = Photo(package="skimage", file="data/hubble_deep_field.jpg", size=(1000, 872))
_READY = "video => video.readyState >= 2 && !video.seeking"


def mission() -> Episode:
    """22 s with one to three faces at a time."""
    to_the_right = Sprite(HOPPER, (Placement(-240, 300, 0.45), Placement(760, 300, 0.45)))
    to_the_left = Sprite(ASTRONAUT, (Placement(720, 120, 0.3), Placement(120, 180, 0.3)), linear)
    closer = Sprite(ASTRONAUT, (Placement(420, 330, 0.25), Placement(250, 170, 0.8)))
    walks_by = Sprite(HOPPER, (Placement(-350, 105, 0.7), Placement(640, 105, 0.7)), linear)
    beside = Sprite(HOPPER, (Placement(420, 90, 0.45), Placement(380, 90, 0.45)))
    far = Sprite(ASTRONAUT, (Placement(30, 150, 0.35), Placement(90, 140, 0.35)), linear)
    stars = Camera((View(500, 436, 960), View(500, 436, 860)))
    pad = Camera((View(300, 240, 600), View(330, 235, 560)))
    return Episode(
        EP_ID,
        (
            Shot(60, ASTRONAUT, Camera((View(256, 360, 512), View(240, 145, 470)))),
            Shot(48, HOPPER, Camera((View(256, 280, 512), View(250, 230, 420)))),
            Shot(108, HUBBLE, stars, (to_the_left, to_the_right)),
            Shot(84, ROCKET, pad, (walks_by,)),
            Shot(30, HUBBLE, Camera((View(700, 300, 480), View(700, 300, 380)))),
            Shot(54, HUBBLE, stars, (closer,)),
            Shot(48, ROCKET, pad, (far, beside)),
            Shot(36, ASTRONAUT, Camera((View(256, 170, 512), View(246, 155, 480)))),
            Shot(60, ROCKET, pad, (far, walks_by)),
        ),
    )


@pytest.fixture
def shown(tmp_path: Path, browser: Browser) -> Iterator[tuple[Server, Tab]]:
    write_episode(mission(), tmp_path / "data")
    with ExitStack() as rest:
        server = rest.enter_context(serving(tmp_path / "data", **NO_QUEUE))
        page = rest.enter_context(page_server(server.url, tmp_path))
        yield server, rest.enter_context(tab(browser, page.url, width=WIDTH))


def take(opened: Tab, name: str) -> None:
    opened.settle()
    wait_for(opened.pictures_loaded, what="all pictures")
    opened.page.wait_for_timeout(800)  # charts take their width a moment later
    opened.page.screenshot(path=CHECKOUT / "docs" / f"{name}.png", scale="css")


def test_a_run_and_its_results(shown: tuple[Server, Tab]) -> None:
    server, opened = shown
    page = opened.page
    opened.open("/")
    opened.options(stride=3)
    opened.number("CPU cap", 60)
    opened.unfold("More options")  # folds it
    opened.button("Run detect/track")
    opened.see("Detecting and tracking", timeout_ms=60_000)
    page.get_by_test_id("stVegaLiteChart").wait_for()
    page.set_viewport_size({"width": WIDTH, "height": 640})
    page.wait_for_timeout(9000)  # a few points of the chart, most of them after the start
    page.screenshot(path=CHECKOUT / "docs" / "page-run.png", scale="css")
    opened.see("Look at the tracks", timeout_ms=120_000)

    [run] = server.client.get(f"/episodes/{EP_ID}/runs").json()["items"]
    opened.open(f"/results?episode={EP_ID}&run={run['run_id']}")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.locator(".review[data-tracks]").wait_for()
    page.get_by_role("slider", name="Timeline").focus()
    for key in ("n", "n", "n", *"......................"):  # a moment with two faces
        page.keyboard.press(key)
        wait_for(lambda: page.locator("video").evaluate(_READY), what="the frame")
    take(opened, "page-results")


def test_people(shown: tuple[Server, Tab]) -> None:
    server, opened = shown
    page, client = opened.page, server.client
    body = {"ep_id": EP_ID, "execution_mode": "local", "stride": 3, "people": True}
    run = client.post("/celery_jobs/detect_track", json=body, timeout=600).raise_for_status().json()
    path = f"/episodes/{EP_ID}/runs/{run['run_id']}/people"
    people = client.get(path).raise_for_status().json()["items"]
    for revision, (row, name) in enumerate(zip(people, NAMES, strict=True)):
        named = {"action": "name", "person_ids": [row["person_id"]], "name": name}
        client.post(f"{path}/corrections", json={"revision": revision, **named}).raise_for_status()
    opened.open(f"/people?episode={EP_ID}&run={run['run_id']}")
    page.set_viewport_size({"width": WIDTH, "height": 780})
    page.locator(".people[data-people]").wait_for()
    page.get_by_role("button", name="Watch Grace Hopper").click()
    page.keyboard.press("k")
    page.keyboard.press("n")
    page.keyboard.press("k")
    for _ in range(40):  # a moment with both of them
        page.keyboard.press(".")
        wait_for(lambda: page.locator("video").evaluate(_READY), what="the frame")
    take(opened, "page-people")
