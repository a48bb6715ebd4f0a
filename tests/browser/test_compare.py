"""Runs and paths side by side, in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from lab.processes.service import gone, wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab

BUSY = "Running the comparison; leaving this page stops it."


def table(tab: Tab, name: str) -> list[list[str]]:
    """Cells of a table; it is drawn on a canvas and has its text for those who cannot see."""
    frame = tab.page.get_by_test_id("stDataFrame").filter(has=tab.page.get_by_label(name))
    grid = frame.locator("canvas table").first
    grid.wait_for(state="attached")
    rows: list[list[str]] = grid.evaluate(
        "table => [...table.querySelectorAll('tr')].map("
        "row => [...row.children].map(cell => cell.textContent))"
    )
    return rows


def test_runs_side_by_side(one_tab: Tab, shown_run: str, other_run: str) -> None:
    one_tab.open(f"/compare?episode={DEMO}")
    one_tab.see("those that differ come first and are marked")
    one_tab.settle()
    for run_id in (shown_run, other_run):
        if not one_tab.page.get_by_test_id("stMultiSelect").get_by_text(run_id).count():
            one_tab.page.get_by_test_id("stMultiSelect").locator("input").click()
            one_tab.page.get_by_role("option", name=run_id).click()
            one_tab.page.keyboard.press("Escape")
            one_tab.settle()

    def shown() -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in table(one_tab, "Figures of the runs")}

    wait_for(lambda: {shown_run, other_run} <= set(shown()["Run"]), what="both runs")
    figures = shown()
    assert len(figures["Tracks"]) == len(figures["Run"]) >= 2
    options = [row[:2] for row in table(one_tab, "Options of the runs")][1:]
    marked = [name for mark, name in options if mark == "≠"]
    assert {"Profile", "Stride", "Save crops"} <= set(marked)
    assert "Device" not in marked
    assert [name for _, name in options][: len(marked)] == marked
    charts = one_tab.page.get_by_test_id("stVegaLiteChart").filter(visible=True)
    expect(charts).to_have_count(8)
    expect(charts.locator("g.mark-rect path")).to_have_count(8 * len(figures["Run"]))
    one_tab.picture("compare")


def test_one_run_is_not_compared(one_tab: Tab, product: Product) -> None:
    product.add_copy("lonely")
    one_tab.open("/compare?episode=lonely")
    one_tab.see("Two completed runs are needed.")


def test_the_paths_are_compared(one_tab: Tab, product: Product) -> None:
    one_tab.open("/compare?episode=talk")
    one_tab.page.get_by_role("tab", name="Paths: old, local, queued").click()
    one_tab.see("Run the comparison")
    one_tab.button("Run the comparison")
    one_tab.see(BUSY)
    one_tab.lose(BUSY, 90_000)
    one_tab.see("Path")
    one_tab.settle()
    kept = product.server.client.get("/episodes/talk/comparisons").json()["items"][0]
    modes = [summary["mode"] for summary in kept["summaries"]]
    assert modes == ["cli", "sse", "local", "redis"]
    paths = [row[0] for row in table(one_tab, "Figures of the paths")][1:]
    assert paths == [
        "Command line",
        "Old path (SSE)",
        "Local Worker (direct)",
        "Redis/Celery (queued)",
    ]
    one_tab.picture("compare-paths")


def test_leaving_ends_a_comparison(one_tab: Tab, product: Product) -> None:
    one_tab.open(f"/compare?episode={DEMO}")
    one_tab.page.get_by_role("tab", name="Paths: old, local, queued").click()
    one_tab.button("Run the comparison")
    one_tab.see(BUSY)
    processes = product.server.wait_for_run()
    wait_for(lambda: product.runs_of(DEMO)[0]["status"] == "running", what="the run to begin")
    one_tab.go("System")
    wait_for(lambda: gone(processes), what="the comparison's run to be gone")
    wait_for(lambda: product.runs_of(DEMO)[0]["status"] == "cancelled", what="its manifest")
