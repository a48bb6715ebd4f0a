"""A local run in a browser: it lives exactly as long as somebody looks at it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from playwright.sync_api import expect

from lab.processes.service import gone, wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab, note_figure

LOCAL = "Local Worker (direct)"
RUNNING = "⏳ Running detect_track synchronously..."
OF_A_QUEUE = ("Job submitted", "Polling")
LONG = 480  # frames of the demo episode, when every one is processed


def start_long_run(tab: Tab, product: Product) -> list[psutil.Process]:
    """Starts a run of half a minute and waits until its first frames are done."""
    tab.open(f"/?episode={DEMO}")
    tab.mode(LOCAL)
    tab.options(stride=1)
    tab.see(f"{LONG} frames will be processed")
    tab.watch(RUNNING, *OF_A_QUEUE)
    tab.button("Run detect/track")
    tab.see(f" of {LONG} frames")
    assert tab.watched() == [RUNNING]
    return product.server.wait_for_run()


@pytest.mark.trap(1, 8)
def test_from_click_to_result(one_tab: Tab, product: Product) -> None:
    one_tab.open(f"/?episode={DEMO}")
    one_tab.mode(LOCAL)
    one_tab.options(stride=4)
    one_tab.see("120 frames will be processed")
    one_tab.watch(RUNNING, *OF_A_QUEUE)
    clicked = time.monotonic()
    one_tab.button("Run detect/track")
    one_tab.see(RUNNING)
    note_figure("local run: click to message, s", time.monotonic() - clicked)
    one_tab.see(" of 120 frames")
    note_figure("local run: click to first progress, s", time.monotonic() - clicked)
    for part in ("Frames", "Time left", "CPU (cap 200 %)", "Using CPUExecutionProvider"):
        one_tab.see(part)
    one_tab.picture("local-run")
    one_tab.see("Newest run: completed")
    assert one_tab.watched() == [RUNNING]
    newest = product.runs_of(DEMO)[0]
    assert (newest["status"], newest["execution_mode"]) == ("completed", "local")
    assert newest["frames_done"] == 120
    one_tab.settle()
    one_tab.see(newest["run_id"])
    one_tab.picture("local-run-finished")
    one_tab.page.get_by_role("link", name="Look at the tracks").click()
    one_tab.see("Take away")


def reload(tab: Tab) -> None:
    tab.reload()
    tab.see(f"{LONG} frames will be processed")


def close(tab: Tab) -> None:
    tab.page.close()


def leave(tab: Tab) -> None:
    tab.go("System")


def stop(tab: Tab) -> None:
    tab.page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    tab.see("The run was stopped.")


@pytest.mark.trap(31)
@pytest.mark.parametrize("end", [reload, close, leave, stop])
def test_a_run_ends_when_nobody_looks_at_it(
    one_tab: Tab, product: Product, end: Callable[[Tab], None]
) -> None:
    processes = start_long_run(one_tab, product)
    left_at = time.monotonic()
    end(one_tab)
    wait_for(lambda: gone(processes), what="the run's processes to be gone")
    note_figure(f"local run: {end.__name__} to no process, s", time.monotonic() - left_at)
    wait_for(lambda: product.runs_of(DEMO)[0]["status"] == "cancelled", what="its manifest")
    assert product.server.run_processes() == []


@pytest.mark.trap(3)
def test_the_next_run_begins_at_once(one_tab: Tab, product: Product) -> None:
    processes = start_long_run(one_tab, product)
    stop(one_tab)
    one_tab.button("Run detect/track")
    one_tab.see(f" of {LONG} frames")
    wait_for(lambda: gone(processes), what="the first run to be gone")
    assert len(product.server.run_processes()) >= 1
    assert product.runs_of(DEMO)[0]["status"] == "running"


def test_options_apply(one_tab: Tab, product: Product) -> None:
    """The values that the page shows are those that the run has."""
    one_tab.open("/?episode=talk")
    one_tab.mode(LOCAL)
    one_tab.choose("Profile", "performance")
    for label, value in (("Stride", 40), ("Detection size", 320)):
        one_tab.unfold("More options")
        one_tab.number(label, value)
    one_tab.see("3 frames will be processed")
    one_tab.button("Run detect/track")
    one_tab.see(RUNNING)
    one_tab.see("Newest run: completed")
    options = product.server.client.get("/episodes/talk/runs/latest").json()["options"]
    assert (options["profile"], options["stride"], options["det_size"]) == ("performance", 40, 320)


def test_a_run_takes_the_place_of_what_was_there(one_tab: Tab, product: Product) -> None:
    product.run(DEMO, stride=40)
    start_long_run(one_tab, product)
    assert not [gone for gone in ("Newest run", "Upload episodes") if one_tab.shows(gone)]
    stop(one_tab)


def test_the_run_button_is_reached_by_keyboard(one_tab: Tab) -> None:
    one_tab.open("/?episode=talk")
    one_tab.mode(LOCAL)
    reached = one_tab.page.locator("button:focus", has_text="Run detect/track")
    for _ in range(60):
        one_tab.page.keyboard.press("Tab")
        if reached.count() == 1:
            break
    one_tab.page.keyboard.press("Enter")
    one_tab.see(RUNNING)
    one_tab.see("Newest run: completed")


def test_options_stay_when_the_page_is_loaded_again(one_tab: Tab) -> None:
    one_tab.open(f"/?episode={DEMO}")
    one_tab.choose("Profile", "performance")
    one_tab.options(stride=8)
    one_tab.see("60 frames will be processed")
    one_tab.reload()
    one_tab.see("60 frames will be processed")
    one_tab.unfold("More options")
    stride = one_tab.page.get_by_role("spinbutton", name="Stride")
    expect(stride).to_have_value("8")
    one_tab.see_in_address("option-stride=8")


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [("Stride", 0, "1 at least"), ("Detection threshold", 2, "0.99 at most")],
)
def test_a_number_out_of_bounds_is_told_and_not_run(
    one_tab: Tab, label: str, value: float, words: str
) -> None:
    one_tab.open("/?episode=talk")
    one_tab.unfold("More options")
    one_tab.number(label, value)
    one_tab.see(words)
    one_tab.lose("Run detect/track")
    one_tab.picture("number-out-of-bounds")


def test_a_refusal_is_seen_while_the_other_run_is_on(one_tab: Tab, product: Product) -> None:
    one_tab.open(f"/?episode={DEMO}")
    one_tab.mode(LOCAL)
    one_tab.options(stride=40)
    one_tab.see("12 frames will be processed")
    with ThreadPoolExecutor() as pool:
        fields = {"stride": 8, "fps": 1000, "max_cpu_percent": 15}  # on until the page has asked
        other = pool.submit(product.server.detect_track, DEMO, **fields)
        product.server.wait_for_run()
        one_tab.button("Run detect/track")
        one_tab.see("Your run was not started")
        one_tab.see("It was started in another window or by another program.")
        time.sleep(2)  # the page is drawn again, as the other run begins to tell how far it is
        assert one_tab.page.get_by_text("Your run was not started").is_visible()
        assert other.result().status_code == 200
    one_tab.see("Newest run: completed")
    one_tab.lose("Your run was not started")


def test_streamlit_has_no_stop_of_its_own(one_tab: Tab, product: Product) -> None:
    """It would end the script, and with it the run, and leave the page as it was."""
    start_long_run(one_tab, product)
    expect(one_tab.page.get_by_role("button", name="Stop")).to_have_count(1)
    stop(one_tab)
