"""How quick and how heavy the page is: `pytest -s tests/browser/figures_of_page.py`.

It is not collected with the tests, since it measures times: run it on a quiet machine. It prints a
table for docs/page.md. The long run has 40 minutes and 2,300 tracks.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import psutil
import pytest
from playwright.sync_api import Browser, Locator

from lab.processes.service import Server, serving
from tests.browser.conftest import DEMO
from tests.support.odd_data import OddRun, write_long_run
from tests.support.page import Tab, chromium, page_server, tab

NO_QUEUE = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
LONG = OddRun("long-s01e01", "measured")
MINUTES, TRACKS, FPS = 40, 2300, 25
TIMES = 7  # each is measured; the median counts
IDLE_S = 20.0
HAVE_CURRENT_DATA = 2  # of a video's readyState
MIB = 2**20
# Resolves with the milliseconds from the press on a bar to the frame that it shows; null where that
# frame was there already.
_SEEK = """(root, turn) => new Promise(resolve => {
  const { timeline, tracks, player } = root.screenalytics;
  const place = (turn * 7919) % tracks.start.length;
  const canvas = root.querySelector('.timeline canvas');
  const { left, top } = canvas.getBoundingClientRect();
  const x = timeline.xOf((tracks.start[place] + tracks.end[place]) / 2);
  let y = 0;
  while (y < timeline.height && timeline.barAt(x, y) === null) y += 1;
  const at = { clientX: left + x, clientY: top + y + 1, bubbles: true, composed: true,
               pointerId: 1, button: 0, isPrimary: true };
  const begin = performance.now();
  setTimeout(() => resolve(null), 2000);
  player.video.requestVideoFrameCallback(() => resolve(performance.now() - begin));
  canvas.dispatchEvent(new PointerEvent('pointerdown', { ...at, buttons: 1 }));
  canvas.dispatchEvent(new PointerEvent('pointerup', at));
  canvas.dispatchEvent(new MouseEvent('click', at));
})"""


@dataclass
class Shown:
    """What is measured, and what it runs on."""

    server: Server
    page_url: str
    page_process: psutil.Process
    runs: dict[str, OddRun]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, demo_episode: Path) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("figures")
    root = folder / "data"
    shutil.copytree(demo_episode, root / "videos" / DEMO)
    _repeat(next(demo_episode.glob("episode.*")), root / "videos" / LONG.ep_id / "episode.mp4")
    with ExitStack() as rest:
        server = rest.enter_context(serving(root, **NO_QUEUE))
        page = rest.enter_context(page_server(server.url, folder))
        run_id = server.detect_track(DEMO, stride=6, save_crops=True).json()["run_id"]
        model = root / "manifests" / DEMO / "runs" / run_id
        write_long_run(root, LONG, model, TRACKS, MINUTES * 60 * FPS)
        runs = {"demo": OddRun(DEMO, run_id), f"{MINUTES} min, {TRACKS:,} tracks": LONG}
        yield Shown(server, page.url, psutil.Process(page.process.pid), runs)


def _repeat(source: Path, path: Path) -> None:
    """A video of 40 minutes: the packets of the source again and again."""
    path.parent.mkdir()
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.dts is not None]
        times = [(packet.pts or 0, packet.dts or 0) for packet in packets]
        length = sum(packet.duration or 0 for packet in packets)
        unit = packets[0].time_base
        for turn in range(int(MINUTES * 60 // (length * unit))):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.stream = copy
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.time_base = unit
                made.mux(packet)


def _ready(opened: Tab) -> Locator:
    """The review, when its tracks, its first faces and the video's first frame are there."""
    review = opened.page.locator(".review[data-tracks]")
    review.wait_for()
    video = opened.page.locator("video")
    give_up = time.monotonic() + 30
    while video.evaluate("video => video.readyState") < HAVE_CURRENT_DATA:
        assert time.monotonic() < give_up, opened.last_words()
        time.sleep(0.01)
    return review


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(TIMES))


def _browser_processes() -> list[psutil.Process]:
    everything = psutil.Process().children(recursive=True)
    return [process for process in everything if "chrom" in process.name()]


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _tab_mib(opened: Tab) -> float:
    """Memory of the largest tab without garbage, and without what it shares with others."""
    opened.page.context.new_cdp_session(opened.page).send("HeapProfiler.collectGarbage")
    tabs = [one for one in _browser_processes() if "--type=renderer" in one.cmdline()]
    return max(process.memory_full_info().uss for process in tabs) / MIB


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def test_figures(shown: Shown, browser: Browser) -> None:
    print(f"\nload before: {psutil.getloadavg()[0]:.1f}")
    for name, run in shown.runs.items():
        with tab(browser, shown.page_url, width=1366) as opened:
            address = f"/results?episode={run.ep_id}&run={run.run_id}"

            def opening(opened: Tab = opened, address: str = address) -> float:
                opened.page.goto("about:blank")
                begin = time.monotonic()
                opened.page.goto(opened.base + address, wait_until="commit")
                _ready(opened)
                return time.monotonic() - begin

            print(f"{name}: ready the first time: {opening():.2f} s")
            print(f"{name}: ready after that: {_median(opening):.2f} s")
            review = _ready(opened)
            opened.settle()
            tried = [review.evaluate(_SEEK, turn) for turn in range(1, 2 * TIMES)]
            seeks = sorted(round(one) for one in tried if one is not None)
            print(f"{name}: click to frame: {statistics.median(seeks)} ms of {seeks}")
            print(f"{name}: memory of the tab: {_tab_mib(opened):.0f} MiB")


def test_idle(shown: Shown, browser: Browser) -> None:
    api = psutil.Process(shown.server.process.pid)
    path = f"/results?episode={DEMO}&run={shown.runs['demo'].run_id}"
    with ExitStack() as tabs:
        for count in (0, 1, 9):
            for _ in range(count):
                opened = tabs.enter_context(tab(browser, shown.page_url, width=1366))
                opened.open(path)
                _ready(opened)
            shown_tabs = len(browser.contexts[0].pages) if browser.contexts else 0
            time.sleep(5)  # until all that was asked for has come
            groups = ([shown.page_process], [api], _browser_processes())
            before = [_cpu_s(group) for group in groups]
            time.sleep(IDLE_S)
            after = [_cpu_s(group) for group in groups]
            page, served, drawn = (
                f"{100 * (late - early) / IDLE_S:.1f} %"
                for late, early in zip(after, before, strict=True)
            )
            memory = shown.page_process.memory_info().rss / MIB
            print(f"{shown_tabs} idle tabs: page's server {page} of a core, {memory:.0f} MiB")
            print(f"{shown_tabs} idle tabs: API {served}, browser {drawn} of a core")
