"""Empty, very many, broken, hostile, small and dark: the page in every state, in a browser."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from apps.common.layout import Layout
from apps.runs.lock import is_held
from lab.processes.queue import redis_server
from lab.processes.service import (
    Server,
    add_episode,
    clean_environment,
    cli_command,
    serving,
    wait_for,
)
from tests.browser.conftest import DEMO, Product
from tests.support.odd_data import FAILED, HOSTILE, LONG, WARNED, fill
from tests.support.page import Tab, note_figure, page_server, tab

NO_QUEUE = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
JOINER = "\u2060"  # stands where a link or an icon would begin; it is not seen
QUEUED = "Redis/Celery (queued)"
VIEWS = {
    "detect-track": "/?episode={episode}",
    "results": "/results?episode={episode}&run={run}",
    "compare": "/compare?episode={episode}",
    "system": "/system",
}
LAST_WORDS = {
    "detect-track": "detect/track",
    "results": "Take away",
    "compare": "first and are marked",
    "system": "Versions",
}


@pytest.fixture(scope="module")
def odd_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("odd") / "data"
    fill(root, test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="module")
def odd_page(odd_root: Path) -> Iterator[str]:
    """Of a server with the odd data root, a Redis, and no worker."""
    folder = odd_root.parent
    with (
        redis_server(folder / "redis") as redis,
        serving(odd_root, SCREENALYTICS_REDIS_URL=redis.url) as server,
        page_server(server.url, folder) as page,
    ):
        yield page.url


@pytest.fixture
def odd(browser: Browser, odd_page: str) -> Iterator[Tab]:
    with tab(browser, odd_page) as opened:
        yield opened


def test_no_episodes(browser: Browser, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "data", **NO_QUEUE) as server,
        page_server(server.url, tmp_path) as page,
        tab(browser, page.url) as opened,
    ):
        for path in ("/results", "/compare", "/"):
            opened.open(path)
            opened.see("No episodes yet.")
        opened.see("Upload episodes")
        opened.picture("no-episodes")


def test_five_hundred_episodes(odd: Tab) -> None:
    began = time.monotonic()
    odd.open("/")
    odd.see("Run detect/track")
    note_figure("500 episodes: page drawn, s", time.monotonic() - began)
    box = odd.page.get_by_test_id("stSelectbox").filter(has_text="Episode").locator("input")
    box.click()
    box.press_sequentially("long")
    odd.page.get_by_role("option", name=LONG.ep_id).click()
    odd.settle()
    odd.see_in_address(f"episode={LONG.ep_id}")


def test_an_hour_with_five_thousand_tracks(odd: Tab) -> None:
    began = time.monotonic()
    odd.open(f"/results?episode={LONG.ep_id}&run={LONG.run_id}")
    odd.see("Take away")
    odd.settle()
    note_figure("5,000 tracks: page drawn, s", time.monotonic() - began)
    review = odd.page.locator(".review[data-tracks]")
    expect(review).to_have_attribute("data-tracks", "5000")
    note_figure("5,000 tracks: review shown, s", time.monotonic() - began)
    odd.picture("results-very-many")

    began = time.monotonic()
    odd.page.get_by_role("button", name="Confidence", exact=True).click()
    expect(odd.page.locator("th[aria-sort]")).to_have_text("Confidence")
    note_figure("5,000 tracks: another order, s", time.monotonic() - began)
    expect(odd.page.locator(".count")).to_have_text("5,000 tracks")
    odd.page.locator(".rows tbody button").first.focus()
    odd.page.keyboard.press("End")
    expect(odd.page.locator(".rows tr[aria-rowindex='5001']")).to_be_visible()
    assert odd.page.locator(".rows tr[data-place]").count() < 60

    began = time.monotonic()
    odd.page.get_by_role("slider", name="Timeline").focus()
    for key in ("n", "n", "+", "+", "+"):
        odd.page.keyboard.press(key)
    expect(odd.page.locator(".card strong")).to_have_text("Track 3")
    note_figure("5,000 tracks: another track, zoomed, s", time.monotonic() - began)
    odd.settle()


@pytest.mark.parametrize(
    "path",
    [
        "/?episode=hostile",
        f"/results?episode=hostile&run={WARNED.run_id}",
        f"/results?episode=hostile&run={FAILED.run_id}",
    ],
)
def test_text_stays_text(odd: Tab, path: str) -> None:
    """Whatever is in a manifest or a log: no request leaves for it (`tab` looks), no link."""
    odd.open(path)
    if path.startswith("/results"):
        odd.unfold("How it ran")
    wait_for(lambda: HOSTILE in odd.text().replace(JOINER, ""), what="the text as it is")
    odd.settle()
    made = odd.page.locator("a[href*=attacker], img[src*=attacker], .katex")
    assert [one.evaluate("element => element.outerHTML") for one in made.all()] == []
    odd.page.wait_for_timeout(300)


def test_no_worker(odd: Tab) -> None:
    odd.open("/?episode=a-talk")
    odd.mode(QUEUED)
    odd.button("Queue detect/track")
    odd.see("No worker")
    odd.see("celery")
    odd.picture("no-worker")


def test_an_episode_that_became_busy(odd: Tab, odd_root: Path) -> None:
    odd.open("/?episode=a-talk")
    odd.see("Run detect/track")
    command = ["--ep-id", "a-talk", "--run-id", "by-hand", "--stride", "1", "--fps", "1000"]
    command += ["--max-cpu-percent", "8", "--events", "ndjson"]
    with subprocess.Popen(
        cli_command(odd_root, *command),
        env=clean_environment(INSIGHTFACE_HOME=str(odd_root.parent / "insightface")),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        wait_for(lambda: is_held(Layout(odd_root), "a-talk"), what="the run")
        odd.button("Run detect/track")
        odd.see("Command line: run by-hand is running")
        odd.see("It was started in another window or by another program.")
        odd.button("Stop")
        odd.see("Run by-hand was started from the command line")
        odd.page.wait_for_timeout(1500)  # it is looked at every second
        assert odd.shows("Run by-hand was started from the command line")
        odd.picture("busy")
        run.terminate()
    odd.see("Run detect/track")  # free again, without a click


def test_a_server_that_goes_during_a_run(browser: Browser, tmp_path: Path, test_data: Path) -> None:
    add_episode(tmp_path / "data", "show", test_data / "videos" / "short_hamilton_clip.mp4")
    with ExitStack() as rest:
        server: Server = rest.enter_context(serving(tmp_path / "data", **NO_QUEUE))
        page = rest.enter_context(page_server(server.url, tmp_path))
        opened = rest.enter_context(tab(browser, page.url))
        opened.open("/")
        opened.options(stride=1)
        opened.button("Run detect/track")
        opened.see(" of 275 frames")
        server.process.terminate()
        opened.see("does not answer")
        opened.see("make up")
        for path in ("/results", "/compare", "/system"):
            opened.open(path)
            opened.see("does not answer")
        opened.picture("server-away")
        opened.forgive("/files/")  # a picture that was asked for as the server went


@pytest.mark.parametrize("view", VIEWS)
def test_every_view(
    browser: Browser, product: Product, shown_run: str, other_run: str, view: str
) -> None:
    """Draws every view for people to look at; no window needs scrolling sideways."""
    with tab(browser, product.page_url, width=400) as opened:
        opened.open(VIEWS[view].format(episode=DEMO, run=shown_run))
        opened.see(LAST_WORDS[view])
        main = opened.page.get_by_test_id("stMain")
        for look, width in (("narrow", 400), ("light", 1360), ("dark", 1360)):
            opened.look(width, dark=look == "dark")
            opened.settle()
            opened.page.wait_for_timeout(500)  # charts take their width a moment later
            assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0, look
            opened.picture(f"{view}-{look}")
