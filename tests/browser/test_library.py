"""The library in a browser: names, deleting, queueing, looking, all of it by keyboard too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from apps.ui.modules import module_path
from lab.processes.service import wait_for
from tests.browser.conftest import Product
from tests.support.page import Tab, tab

_STATES = """async path => {
  const { stateOf } = await import(path);
  const words = (state, hasResults) => stateOf({ state }, hasResults)[0];
  return [
    words("cancelled", false), words("cancelled", true), words("failed", false),
    words("failed", true), words("done", true),
  ];
}"""
PREFIX = "library-"
NAMES = [f"{PREFIX}{letter}" for letter in "abcd"]


@pytest.fixture(scope="module")
def stocked(product: Product) -> Product:
    for name in NAMES:
        product.add_copy(name)
    product.run(NAMES[0], stride=48)
    return product


@pytest.fixture
def library(browser: Browser, stocked: Product) -> Iterator[Tab]:
    with tab(browser, stocked.page_url) as opened:
        opened.open("/library")
        card(opened, NAMES[0]).wait_for()
        yield opened


def card(page: Tab, ep_id: str) -> Locator:
    return page.page.locator(f".card[data-ep={ep_id}]")


def look_for(page: Tab, words: str) -> None:
    page.page.get_by_label("Search title or id").fill(words)


def test_cards_tell_what_there_is_and_lead_on(library: Tab) -> None:
    done, new = card(library, NAMES[0]), card(library, NAMES[3])
    expect(done.locator(".chip")).to_have_text("Done")
    expect(new.locator(".chip")).to_have_text("Never run")
    expect(new.locator(".results")).to_be_hidden()
    expect(done.locator(".length")).to_have_text("0:04")
    expect(new.locator(".length")).to_have_text("0:04")  # of a video that never ran, too
    wait_for(lambda: done.locator("img").evaluate("one => one.naturalWidth") > 0, what="a picture")
    expect(library.page.locator(".disk")).to_contain_text("free")
    for width, dark in ((1366, False), (1366, True), (400, False), (400, True)):
        library.look(width, dark=dark)
        assert library.page.evaluate("document.documentElement.scrollWidth") <= width
        library.picture(f"library-{width}-{'dark' if dark else 'light'}")
    library.look(1366)
    look_for(library, "LIBRARY-D")
    expect(library.page.locator(".card")).to_have_count(1)
    look_for(library, "nothing of the kind")
    library.see("Nothing is called")
    look_for(library, PREFIX)
    done.get_by_role("link", name="Results").click()
    library.page.wait_for_url(f"**/results?*episode={NAMES[0]}*")
    library.see("Take away")
    library.go("Library")
    new.get_by_role("link", name="Run").click()
    library.page.wait_for_url(f"**/?*episode={NAMES[3]}*")


def test_a_name_a_pin_and_a_deletion_are_seen_by_another_tab(
    library: Tab, browser: Browser, stocked: Product
) -> None:
    title = "Über <i>alles</i>"
    with tab(browser, stocked.page_url) as other:
        other.open("/library")
        card(other, NAMES[1]).wait_for()
        card(library, NAMES[1]).get_by_role("button", name="Rename").click()
        library.page.get_by_label("Title of").fill(title)
        library.page.keyboard.press("Enter")
        for page in (library, other):
            expect(card(page, NAMES[1]).locator(".title")).to_have_text(title)
            expect(card(page, NAMES[1]).locator(".id")).to_have_text(NAMES[1])
        card(library, NAMES[1]).get_by_role("button", name="Pin").click()
        for page in (library, other):
            expect(page.page.locator(".card").first).to_have_attribute("data-ep", NAMES[1])
        card(library, NAMES[1]).get_by_role("button", name="Delete").click()
        dialog = library.page.get_by_role("dialog")
        expect(dialog).to_contain_text("That frees")
        expect(dialog).to_contain_text(title)
        library.picture("library-delete")
        dialog.get_by_role("button", name="Delete").click()
        for page in (library, other):
            expect(card(page, NAMES[1])).to_have_count(0)
        library.picture("library-undo")
        library.page.get_by_role("button", name="Undo").click()
        for page in (library, other):
            expect(card(page, NAMES[1]).locator(".title")).to_have_text(title)
        # Again, and back from the trash.
        card(other, NAMES[1]).get_by_role("button", name="Delete").click()
        other.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(card(library, NAMES[1])).to_have_count(0)
        library.page.get_by_role("button", name="Trash").click()
        library.picture("library-trash")
        library.page.get_by_role("button", name=f"Restore: {title}").click()
        expect(card(other, NAMES[1])).to_have_count(1)
        library.page.get_by_role("dialog").get_by_role("button", name="Close").click()
        card(library, NAMES[1]).get_by_role("button", name="Unpin").click()
        expect(card(library, NAMES[1]).locator("[data-do=pin]")).to_have_attribute(
            "aria-pressed", "false"
        )


def test_all_that_are_chosen_are_queued_and_end(library: Tab, stocked: Product) -> None:
    before = {name: len(stocked.runs_of(name)) for name in NAMES[1:3]}
    for name in NAMES[1:3]:
        library.page.get_by_label(f"Choose {name}").or_(
            card(library, name).get_by_role("checkbox")
        ).first.check()
    expect(library.page.locator(".chosen .number")).to_have_text("2 episodes chosen")
    library.page.get_by_label("Profile").select_option("performance")
    library.page.get_by_role("button", name="Queue all chosen").click()
    expect(library.page.locator(".toast")).to_contain_text("2 episodes are queued.")
    batch = library.page.get_by_label("Queued together").get_by_role("listitem")
    expect(batch).to_have_count(1)
    library.picture("library-batch")
    for name in NAMES[1:3]:
        expect(card(library, name).locator(".chip")).to_have_text("Done", timeout=120_000)
        runs = stocked.runs_of(name)
        assert len(runs) == before[name] + 1
        assert (runs[0]["profile"], runs[0]["execution_mode"]) == ("performance", "redis")
    expect(library.page.locator(".chosen")).to_be_hidden()
    expect(batch).to_contain_text("2 episodes are done.")
    batch.get_by_role("button", name="Dismiss").click()
    expect(batch).to_have_count(0)


def test_a_batch_is_found_again_ended_and_queued_again(library: Tab, stocked: Product) -> None:
    body = {"episodes": NAMES[1:3], "stride": 1, "max_cpu_percent": 6}
    answer = stocked.server.client.post("/celery_jobs/detect_track/batch", json=body)
    assert answer.status_code == 202, answer.text
    library.reload()
    batch = library.page.get_by_label("Queued together").get_by_role("listitem")
    expect(batch).to_contain_text("0 of 2 episodes done")
    batch.get_by_role("button", name="Cancel all").click()
    expect(batch).to_contain_text("0 of 2 episodes done, 2 cancelled.")
    expect(card(library, NAMES[2]).locator("[data-do=cancel]")).to_be_hidden()
    batch.get_by_role("button", name="Queue 2 episodes again").click()
    expect(batch).to_contain_text("0 of 2 episodes done.")
    batch.get_by_role("button", name="Cancel all").click()
    expect(batch).to_contain_text("2 cancelled.")
    # Without one that can be queued there is no batch; it stays chosen, and the page says why.
    busy = stocked.server.client.post(
        "/celery_jobs/detect_track", json={"ep_id": NAMES[3], "stride": 1, "max_cpu_percent": 6}
    ).json()["job_id"]
    card(library, NAMES[3]).get_by_role("checkbox").check()
    library.page.get_by_role("button", name="Queue all chosen").click()
    expect(library.page.locator(".trouble")).to_contain_text("is running")
    expect(library.page.locator(".chosen .number")).to_have_text("1 episode chosen")
    assert library.forgive("409") == 1
    assert stocked.server.client.post(f"/celery_jobs/{busy}/cancel").json()["state"] == "cancelled"


def test_what_runs_is_not_deleted_and_can_be_cancelled(library: Tab, stocked: Product) -> None:
    body = {"ep_id": NAMES[2], "execution_mode": "redis", "stride": 1, "max_cpu_percent": 6}
    answer = stocked.server.client.post("/celery_jobs/detect_track", json=body)
    assert answer.status_code == 202, answer.text
    chip = card(library, NAMES[2]).locator(".chip")
    wait_for(lambda: "Running" in chip.inner_text(), what="progress on the card")
    expect(card(library, NAMES[2]).locator("progress")).to_be_visible()
    library.picture("library-running")
    card(library, NAMES[2]).get_by_role("button", name="Delete").click()
    dialog = library.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is running")
    library.forgive("409")
    dialog.get_by_role("button", name="Cancel").click()
    card(library, NAMES[2]).get_by_role("button", name="Cancel the run").click()
    expect(chip).to_have_text(re.compile("cancelled$", re.IGNORECASE))


def test_a_card_says_what_there_is_though_the_newest_run_was_cancelled(library: Tab) -> None:
    words = library.page.evaluate(_STATES, module_path("library", "words.js"))
    assert words == ["Cancelled", "Done, then cancelled", "Failed", "Done, then failed", "Done"]


def test_by_keyboard(library: Tab) -> None:
    page = library.page
    look_for(library, PREFIX)
    expect(page.locator(".card")).to_have_count(len(NAMES))
    page.locator(".title").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".title").nth(1)).to_be_focused()
    page.keyboard.press(" ")
    expect(page.locator(".card").nth(1).get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("F2")
    expect(page.get_by_label("Title of")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator(".title").first.focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_contain_text("Delete")
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_have_count(len(NAMES))
    page.locator(".title").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/*episode=*")
