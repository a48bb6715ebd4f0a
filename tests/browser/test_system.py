"""Versions, health, and what runs now, in a browser."""

from __future__ import annotations

from playwright.sync_api import Browser

from apps.common.names import new_run_id
from lab.processes.service import gone, wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab, tab


def test_health_and_versions(one_tab: Tab, product: Product) -> None:
    one_tab.open("/system")
    one_tab.see("Nothing runs and nothing waits.")
    for name in ("data root", "detector", "redis", "workers"):
        one_tab.see(name)
    grid = one_tab.page.locator("[data-testid=stDataFrame] canvas table").first
    grid.wait_for(state="attached")
    text = str(grid.text_content())
    fingerprint = product.server.client.get("/version").json()["source_fingerprint"]
    assert text.count(fingerprint) >= 1
    for program in ("server", "page", "worker "):
        assert program in text
    one_tab.picture("system")


def test_the_documentation_of_the_api_asks_nobody_else(browser: Browser, product: Product) -> None:
    """The tab complains of any request to somebody else."""
    with tab(browser, product.server.url) as opened:
        opened.page.goto(product.server.url + "/docs")
        opened.page.get_by_text("/celery_jobs/detect_track").first.wait_for()
        opened.picture("api-docs")


def test_what_runs_is_seen_and_stopped(one_tab: Tab, product: Product) -> None:
    one_tab.open("/system")
    one_tab.see("Nothing runs and nothing waits.")
    client = product.server.client
    slow = {"stride": 1, "fps": 1000, "max_cpu_percent": 40}
    job = client.post("/celery_jobs/detect_track", json={"ep_id": DEMO, **slow})
    assert job.status_code == 202
    second = job.json()["run_id"].partition("-")[0]  # runs are told apart by it, and then by chance
    wait_for(lambda: new_run_id().partition("-")[0] > second, what="the next second")
    old = client.post("/jobs/detect_track", json={"ep_id": "show", **slow})
    assert old.status_code == 202
    one_tab.see(f"{DEMO} · Redis/Celery (queued) · in progress")  # without a click
    one_tab.see("show · Old path (SSE) · in progress")
    one_tab.see(" of 480 · CPU")
    processes = [
        *wait_for(product.worker.runs, what="the worker's run"),
        *wait_for(product.server.run_processes, what="the old path's run"),
    ]
    one_tab.picture("system-busy")
    one_tab.settle()
    rows = one_tab.page.locator('[class*="st-key-active-"]')
    # What begins later comes below: no row goes down under the pointer of who wants to stop it.
    assert [text.split()[0] for text in rows.all_inner_texts()] == [DEMO, "show"]
    for ep_id in (DEMO, "show"):
        rows.filter(has_text=f"{ep_id} · ").get_by_role("button", name="Stop").click()
        wait_for(lambda ep_id=ep_id: _status(product, ep_id) != "running", what=f"{ep_id} to end")
        assert _status(product, ep_id) == "cancelled", product.server.log.read_text()[-4000:]
    one_tab.see("Nothing runs and nothing waits.")
    wait_for(lambda: gone(processes), what="both runs to be gone")


def _status(product: Product, ep_id: str) -> object:
    return product.runs_of(ep_id)[0]["status"]
