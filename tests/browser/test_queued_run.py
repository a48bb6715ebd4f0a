"""A queued run in a browser: it goes on without the page, and is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from lab.processes.service import add_episode, gone, wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab, tab

QUEUED = "Redis/Celery (queued)"
LOCAL = "Local Worker (direct)"


@pytest.mark.trap(14)
def test_a_reload_finds_the_run_again_and_so_does_another_tab(
    one_tab: Tab, browser: Browser, product: Product
) -> None:
    one_tab.open(f"/?episode={DEMO}")
    one_tab.mode(QUEUED)
    one_tab.options(stride=1)
    one_tab.see("480 frames will be processed")
    one_tab.button("Queue detect/track")
    one_tab.see(" of 480 frames")
    one_tab.see("CPU (cap 200 %)")
    run_id = product.runs_of(DEMO)[0]["run_id"]
    processes = wait_for(product.worker.runs, what="the worker's run")
    one_tab.picture("queued-run")

    one_tab.reload()
    one_tab.see(f"{QUEUED}: run {run_id} is running")
    one_tab.see(" of 480 frames")
    with tab(browser, product.page_url) as other:
        other.open(f"/?episode={DEMO}")
        other.see(f"{QUEUED}: run {run_id} is running")
        other.see(" of 480 frames")
        assert not gone(processes)
        other.button("Cancel")
        other.see("Newest run: cancelled")
    one_tab.see("Newest run: cancelled")  # without a click
    wait_for(lambda: gone(processes), what="the worker's run to be gone")
    assert product.runs_of(DEMO)[0]["status"] == "cancelled"


@pytest.mark.trap(8)
def test_a_completed_run_shows_its_result_and_the_mode_is_kept(
    one_tab: Tab, product: Product, test_data: Path
) -> None:
    add_episode(product.data_root, "new", test_data / "videos" / "carphone_pristine.mp4")
    one_tab.open("/?episode=talk")
    one_tab.mode(QUEUED)
    one_tab.button("Queue detect/track")

    def completed() -> bool:  # the page may still show a completed run of before
        newest = product.runs_of("talk")[:1]
        return [(run["execution_mode"], run["status"]) for run in newest] == [
            ("redis", "completed")
        ]

    wait_for(completed, timeout=60, what="the queued run's end")
    one_tab.see("Newest run: completed")
    one_tab.settle()
    one_tab.episode("new")
    mode = one_tab.page.get_by_role("radio", name=LOCAL)
    expect(mode).to_be_checked()
    one_tab.episode("talk")
    expect(one_tab.page.get_by_role("radio", name=QUEUED)).to_be_checked()
    one_tab.reload()
    one_tab.see("Queue detect/track")
    expect(one_tab.page.get_by_role("radio", name=QUEUED)).to_be_checked()


def test_a_divided_run_shows_its_parts(one_tab: Tab, product: Product) -> None:
    body = {"ep_id": "show", "stride": 3, "max_cpu_percent": 30, "segments": 3}
    accepted = product.server.client.post("/celery_jobs/detect_track", json=body).json()
    one_tab.open("/?episode=show")
    parts = one_tab.page.get_by_role("list", name="Parts of the run").get_by_role("listitem")
    expect(parts).to_have_count(3)
    expect(parts.nth(0)).to_contain_text("done", timeout=60_000)
    expect(parts.nth(1)).to_contain_text("CPU", timeout=60_000)
    one_tab.see("CPU (cap 30 %)")
    one_tab.picture("divided-run")
    one_tab.button("Cancel")
    one_tab.see("Newest run: cancelled")
    wait_for(lambda: product.worker.parts() == [], what="no part's process")
    told = product.server.client.get(f"/celery_jobs/{accepted['job_id']}").json()
    assert told["state"] == "cancelled"
    assert told["progress"]["parts"][0]["state"] == "made"


def test_a_run_of_another_program_is_seen_and_can_be_stopped(
    one_tab: Tab, product: Product
) -> None:
    """The page offers no second one."""
    one_tab.open("/?episode=show")
    one_tab.see("detect/track")
    client = product.server.client
    body = {"ep_id": "show", "stride": 1, "fps": 1000, "max_cpu_percent": 30}
    assert client.post("/jobs/detect_track", json=body).status_code == 202
    wait_for(lambda: "sse" in client.get("/celery_jobs").text, what="the run")
    one_tab.reload()
    one_tab.see("It was started in another window or by another program.")
    one_tab.see(" of 275 frames")
    expect(one_tab.page.get_by_role("button", name="detect/track")).to_have_count(0)
    one_tab.button("Stop")
    one_tab.see("Newest run: cancelled")
    wait_for(lambda: product.server.run_processes() == [], what="no run")
