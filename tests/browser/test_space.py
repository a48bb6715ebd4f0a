"""Disk space and old runs in a browser: what would go, and having it go, by keyboard too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from apps.common.layout import Layout
from apps.common.library_schemas import EpisodeChange
from apps.jobs.retention import kept_count
from apps.jobs.store import JobStore
from apps.runs.about import change_episode
from apps.runs.store import list_runs
from lab.processes.queue import redis_server
from lab.processes.service import add_episode, serving
from tests.browser.test_axe import dress, findings
from tests.jobs.test_retention import ended
from tests.runs.test_retention import add
from tests.support.page import Tab, page_server, tab

RUNS = {"talk": 5, "show": 3, "kept": 4}
LOOKS = [(width, dark) for width in (1366, 380) for dark in (False, True)]


@dataclass
class Stock:
    page_url: str
    layout: Layout
    jobs: JobStore


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Stock]:
    """Three episodes with runs, one of them pinned, and a job that ended long ago."""
    folder = tmp_path_factory.mktemp("space")
    layout = Layout(folder / "data")
    for ep_id, runs in RUNS.items():
        add_episode(layout.root, ep_id, test_data / "videos" / "carphone_pristine.mp4")
        for number in range(runs):
            add(layout, f"r{number}", 50 - number, "completed", ep_id)
    change_episode(layout, "kept", EpisodeChange(pinned=True))
    with (
        redis_server(folder / "redis") as redis,
        serving(layout.root, SCREENALYTICS_REDIS_URL=redis.url) as server,
        page_server(server.url, folder) as page,
    ):
        jobs = JobStore(redis.url, 30)
        yield Stock(page.url, layout, jobs)
        jobs.close()


@pytest.fixture
def library(browser: Browser, stock: Stock) -> Iterator[Tab]:
    with tab(browser, stock.page_url) as opened:
        opened.open("/library")
        opened.page.locator(".card[data-ep=talk]").wait_for()
        yield opened


def opened(library: Tab) -> Locator:
    """The dialog, by keyboard."""
    library.page.get_by_role("button", name="Disk space").focus()
    library.page.keyboard.press("Enter")
    dialog = library.page.get_by_role("dialog", name="Disk space and old runs")
    expect(dialog.locator(".uses li")).to_have_count(len(RUNS))
    return dialog


def test_it_is_seen_tried_done_and_undone(library: Tab, stock: Stock) -> None:
    ended(stock.jobs, stock.layout.root, "talk", 31)
    dialog = opened(library)
    expect(dialog.locator(".policy")).to_contain_text("No run goes by itself")
    expect(dialog.locator(".policy")).to_contain_text("all runs of pinned episodes stay")
    expect(dialog.locator(".queue-records")).to_contain_text("1 job would be forgotten")
    expect(dialog.locator(".of-disk")).to_contain_text("are free. 3 episodes: videos")
    expect(dialog.locator(".uses li").first).to_contain_text("results")
    for _ in range(2):  # the close button at the end is before the first field
        library.page.keyboard.press("Tab")
    dialog.get_by_label("Newest completed runs that stay").focus()
    library.page.keyboard.type("1")
    library.page.keyboard.press("Enter")
    going = dialog.locator(".going")
    expect(going).to_contain_text("6 runs of 2 episodes would go")
    lines = dialog.get_by_role("list", name="Runs that would go, by episode").get_by_role(
        "listitem"
    )
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text("talk4 runs")
    expect(lines.first).to_contain_text("newer ones that have completed: 1; 3 older runs as well")
    found = []
    for width, dark in LOOKS:
        dress(library, width, dark=dark)
        name = f"space-{width}-{'dark' if dark else 'light'}"
        found += findings(library, name)
        assert dialog.evaluate("one => one.scrollWidth - one.clientWidth") <= 0, name
        library.picture(name)
    dress(library, 1366, dark=False)

    dialog.get_by_role("button", name="Move 6 runs to the trash…").focus()
    library.page.keyboard.press("Enter")
    question = library.page.get_by_role("dialog", name="Move old runs to the trash")
    expect(question).to_contain_text("Move 6 runs to the trash?")
    expect(question).to_contain_text("The queue forgets 1 job, for good.")
    expect(question).to_contain_text("can be restored for 24 hours")
    found += findings(library, "question")
    library.picture("space-question")
    library.page.keyboard.press("Escape")  # nothing is done without a yes
    assert list_runs(stock.layout, "talk") == ["r4", "r3", "r2", "r1", "r0"]
    dialog.get_by_role("button", name="Move 6 runs to the trash…").click()
    question.get_by_role("button", name="Move to the trash").focus()
    library.page.keyboard.press("Enter")
    result = dialog.locator(".result")
    expect(result).to_contain_text("6 runs are in the trash")
    expect(result).to_contain_text("can be restored until")
    expect(result).to_contain_text("The queue has forgotten 1 job.")
    expect(result.get_by_role("button", name="Look into the trash")).to_be_focused()
    expect(going).to_have_text("No run would go.")
    for dark in (False, True):
        dress(library, 380, dark=dark)
        name = f"space-done-{'dark' if dark else 'light'}"
        found += findings(library, name)
        library.picture(name)
    dress(library, 1366, dark=False)
    assert found == []
    left = {ep_id: len(list_runs(stock.layout, ep_id)) for ep_id in RUNS}
    assert left == {"talk": 1, "show": 1, "kept": 4}
    assert kept_count(stock.jobs) == 0

    result.get_by_role("button", name="Look into the trash").click()
    library.page.get_by_role("button", name="Restore: Run r0 of talk").click()
    library.page.get_by_role("button", name="Restore: Run r0 of talk").wait_for(state="detached")
    assert list_runs(stock.layout, "talk") == ["r4", "r0"]
    library.page.get_by_role("dialog", name="Trash").get_by_role("button", name="Close").click()


def test_a_number_that_makes_no_sense_and_a_server_that_refuses(library: Tab) -> None:
    dialog = opened(library)
    dialog.get_by_label("Days for which runs stay").fill("99999")
    dialog.get_by_role("button", name="Show what would go").click()
    expect(dialog.locator("input:invalid")).to_have_count(1)  # the browser says why
    dialog.get_by_label("Days for which runs stay").fill("0")
    dialog.evaluate("one => { one.querySelector('[name=keep_days]').max = ''; }")
    dialog.get_by_label("Days for which runs stay").fill("99999")
    dialog.get_by_role("button", name="Show what would go").click()
    expect(dialog.get_by_role("alert")).to_contain_text("36600")
    assert library.forgive("422") == 1
    expect(dialog.locator("button.prune")).to_be_hidden()
    library.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(library.page.get_by_role("button", name="Disk space")).to_be_focused()
