"""People in a browser: watched, named, merged, split, hidden; by two, by keyboard, and 300."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from apps.common.layout import Layout
from lab.processes.service import wait_for
from tests.browser.conftest import PEOPLED, Product
from tests.support.odd_data import LONG
from tests.support.page import Tab, tab
from tests.support.people import PEOPLE, copy_run, write_crowd

LATER = "later"
CAST = ("Ada", "Grace")
HOSTILE = "<b>Ada</b> \u202eנועה"  # HTML, and a turn to the right
_STATE = """root => {
  const { watch, rows, people } = root.screenalytics;
  const { player } = watch;
  return {
    time: player.time, seeking: player.goal !== null || player.video.seeking, paused: player.paused,
    played: player.video.played.length, watched: watch.list?.person ?? null, at: watch.at,
    bar: rows.picked, lanes: rows.people.length, revision: people.revision,
  };
}"""


class PeoplePage:
    """A tab with the view, and what the API says of the same run."""

    def __init__(self, opened: Tab, product: Product, run_id: str, ep_id: str = PEOPLED) -> None:
        self.tab, self.page, self.product = opened, opened.page, product
        self.ep_id, self.run_id = ep_id, run_id
        self.root = self.page.locator(".people")

    def open(self, query: str = "") -> None:
        self.tab.open(f"/people?episode={self.ep_id}&run={self.run_id}{query}")
        self.page.locator(".people[data-people]").wait_for()

    def rows(self) -> list[dict[str, Any]]:
        """As the API has them, who is on the screen longest first."""
        url = f"/episodes/{self.ep_id}/runs/{self.run_id}/people"
        items: list[dict[str, Any]] = self.product.server.client.get(url).json()["items"]
        return sorted(items, key=lambda row: -row["screen_seconds"])

    def row(self, person_id: str) -> dict[str, Any] | None:
        return next((row for row in self.rows() if row["person_id"] == person_id), None)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.root.evaluate(_STATE)
        return found

    def card(self, person_id: str) -> Locator:
        return self.page.locator(f".person[data-key={person_id}]")

    def do(self, person_id: str, what: str) -> None:
        self.card(person_id).locator(f"[data-do={what}]").click()

    def name(self, person_id: str, name: str) -> None:
        self.do(person_id, "rename")
        self.card(person_id).locator("input.name").fill(name)
        self.page.keyboard.press("Enter")

    def toast(self) -> Locator:
        return self.page.locator(".people .toast")

    def key(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)


@contextmanager
def people_of(
    browser: Browser, product: Product, run_id: str, ep_id: str = PEOPLED
) -> Iterator[PeoplePage]:
    with tab(browser, product.page_url, width=1366) as opened:
        shown = PeoplePage(opened, product, run_id, ep_id)
        shown.open()
        yield shown


@pytest.fixture
def people(browser: Browser, product: Product, peopled_run: str) -> Iterator[PeoplePage]:
    with people_of(browser, product, peopled_run) as shown:
        yield shown


def test_cards_tell_who_there_is_and_show_it(people: PeoplePage) -> None:
    page = people.page
    rows = people.rows()
    assert len(rows) >= 3
    expect(page.locator(".person")).to_have_count(len(rows))
    first = rows[0]
    card = people.card(first["person_id"])
    expect(card.locator(".seconds")).to_contain_text("±")
    wait_for(people.tab.pictures_loaded, what="all faces")
    # A click shows an appearance, from its beginning.
    people.do(first["person_id"], "watch")
    wait_for(lambda: people.state()["watched"] == first["person_id"], what="the person")
    wait_for(lambda: people.state()["played"], what="it to play")
    expect(card.locator(".faces")).to_have_attribute("aria-pressed", "true")
    # It stops by itself where that appearance ends.
    wait_for(lambda: people.state()["paused"], what="the end of the appearance")
    begin, end = first["appearances"][0]
    assert begin <= people.state()["time"] <= end + 0.3
    several = next(row for row in rows if len(row["appearances"]) > 1)
    people.do(several["person_id"], "watch")
    people.key("k", "n")
    wait_for(lambda: people.state()["at"] == 1 and not people.state()["seeking"], what="the second")
    expect(page.locator(".which")).to_contain_text(f"2 of {len(several['appearances'])}")
    people.key("p")
    wait_for(lambda: people.state()["at"] == 0 and not people.state()["seeking"], what="the first")
    assert people.state()["lanes"] == len(rows)
    assert people.state()["bar"] >= 0
    # The address names it, for another time.
    number = int(several["person_id"].removeprefix("person-"))
    people.tab.see_in_address(f"person={number}&")
    people.tab.reload()
    page.locator(".people[data-people]").wait_for()
    wait_for(lambda: people.state()["watched"] == several["person_id"], what="it again")
    people.open("&person=99")
    expect(page.locator(".people .unknown")).to_contain_text("no person “99”")


def test_a_filter_holds_for_cards_rows_and_pairs(people: PeoplePage) -> None:
    page = people.page
    rows = people.rows()
    least = rows[1]["screen_seconds"]
    page.get_by_label("Seconds on screen, at least").fill(str(least))
    passing = [row for row in rows if row["screen_seconds"] >= least]
    expect(page.locator(".person")).to_have_count(len(passing))
    expect(page.locator(".people .count")).to_contain_text(f"{len(passing)} of {len(rows)}")
    assert people.state()["lanes"] == len(passing)
    page.get_by_label("Seconds on screen, at least").fill("")
    page.get_by_role("button", name="Who with whom").click()
    # Seconds together are those that their appearances share.
    pairs = {
        (one["person_id"], other["person_id"]): _together(one, other)
        for one in rows for other in rows if one is not other
    }  # fmt: skip
    assert max(pairs.values()) > 0
    (one, other), seconds = max(pairs.items(), key=lambda pair: pair[1])
    places = {row["person_id"]: place for place, row in enumerate(rows)}
    cell = page.locator(f"#pair-{places[one]}-{places[other]}")
    expect(cell).to_have_text(f"{seconds:.1f}")
    cell.click()
    expect(page.locator(".now .title")).to_contain_text(" with ")
    people.tab.picture("people-matrix")
    page.get_by_label("Confidence, at least").fill("7")
    expect(page.get_by_label("Confidence, at least")).to_have_attribute("aria-invalid", "true")


def _together(one: dict[str, Any], other: dict[str, Any]) -> float:
    shared = [
        min(end, last) - max(start, first)
        for start, end in one["appearances"]
        for first, last in other["appearances"]
    ]
    return float(sum(max(0.0, seconds) for seconds in shared))


def test_what_is_corrected_is_kept_and_undone(people: PeoplePage) -> None:
    """A name, a merge, a split, a hidden one; then all of it taken back, one after the other."""
    page = people.page
    before = people.rows()
    one, other, third = (row["person_id"] for row in before[:3])
    people.name(one, HOSTILE)
    expect(people.card(one).locator("button.name")).to_have_text(HOSTILE)
    expect(people.toast()).to_contain_text(HOSTILE)
    assert people.row(one)["name"] == HOSTILE  # type: ignore[index]
    expect(people.toast()).not_to_contain_text("Somebody else has that name")
    people.name(other, HOSTILE.upper())
    expect(people.toast()).to_contain_text("Somebody else has that name")
    page.locator(".undo-last").click()
    wait_for(lambda: people.row(other)["name"] is None, what="it to be undone")  # type: ignore[index]
    # Two are one; the one with a name keeps it.
    for person_id in (one, other):
        people.card(person_id).get_by_role("checkbox").check()
    expect(page.locator(".chosen .number")).to_have_text("2 people chosen")
    people.tab.picture("people-chosen")
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(people.card(other)).to_have_count(0)
    merged = people.row(one)
    assert merged is not None
    assert set(merged["track_ids"]) == {*before[0]["track_ids"], *before[1]["track_ids"]}
    expect(page.locator(".chosen")).to_be_hidden()
    # Opened, and a track of the other one moved to somebody new.
    people.do(one, "open")
    expect(page.locator(".tile.track")).to_have_count(len(merged["track_ids"]))
    moved = before[1]["track_ids"][0]
    page.locator(f".tile.track[data-key={moved}]").get_by_role("checkbox").check()
    people.tab.picture("people-opened")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(people.toast()).to_contain_text("1 track is moved to a new person")
    expect(page.locator(".tile.track")).to_have_count(len(merged["track_ids"]) - 1)
    [new] = [row for row in people.rows() if moved in row["track_ids"]]
    assert new["person_id"] not in {row["person_id"] for row in before}
    page.get_by_role("button", name="Back").click()
    # Hidden, and there for those who ask.
    people.do(third, "hide")
    expect(people.card(third)).to_have_count(0)
    assert people.row(third)["hidden"] is True  # type: ignore[index]
    page.get_by_label("Hidden too").check()
    expect(people.card(third)).to_have_class(r"tile person is-hidden")
    page.get_by_label("Hidden too").uncheck()
    expect(people.card(third)).to_have_count(0)
    for _ in range(4):
        revision = people.state()["revision"]
        page.locator(".undo-last").click()
        wait_for(lambda r=revision: people.state()["revision"] > r, what="it to be undone")
    assert [{**row, "hidden": False} for row in people.rows()] == [
        {**row, "hidden": False} for row in before
    ]
    expect(page.locator(".person")).to_have_count(len(before))


def test_two_who_edit_lose_nothing(
    people: PeoplePage, browser: Browser, product: Product, peopled_run: str
) -> None:
    one, other = (row["person_id"] for row in people.rows()[:2])
    with people_of(browser, product, peopled_run) as second:
        people.name(one, "Ada")
        expect(people.toast()).to_contain_text("Ada")
        second.name(other, "Grace")
        trouble = second.page.locator(".people .trouble")
        expect(trouble).to_contain_text("Somebody else has changed the people meanwhile")
        expect(trouble).to_contain_text("Ada")
        expect(trouble).to_contain_text("Grace")
        second.tab.picture("people-conflict")
        # The other's change is there, and nothing of one's own is done yet.
        expect(second.card(one).locator("button.name")).to_have_text("Ada")
        assert people.row(other)["name"] is None  # type: ignore[index]
        second.page.get_by_role("button", name="Do it again").click()
        expect(second.card(other).locator("button.name")).to_have_text("Grace")
        expect(trouble).to_be_hidden()
        assert second.tab.forgive("409") == 1
    assert (people.row(one) or {})["name"] == "Ada"
    assert (people.row(other) or {})["name"] == "Grace"
    # A name that is none is refused in words, and can be mended.
    people.open()
    people.name(one, "x" * 10_000)
    expect(people.page.locator(".people .trouble")).to_be_visible()
    field = people.card(one).locator("input.name")
    expect(field).to_have_attribute("aria-invalid", "true")
    people.tab.forgive("422")
    field.fill("Ada Lovelace")
    people.key("Enter")
    expect(people.card(one).locator("button.name")).to_have_text("Ada Lovelace")


def test_by_keyboard(people: PeoplePage) -> None:
    page = people.page
    first, second = (row["person_id"] for row in people.rows()[:2])
    number = len(people.rows())
    people.card(first).locator("[data-do=watch]").focus()
    people.key("Enter", "k", "ArrowRight")
    expect(people.card(second).locator("[data-do=watch]")).to_be_focused()
    wait_for(lambda: people.state()["watched"] == first, what="the first one")
    people.key("r")
    expect(people.card(second).locator("input.name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Katherine, next x m u")  # no key of the page's while one types
    people.key("Enter")
    expect(people.card(second).locator("button.name")).to_be_focused()
    expect(people.card(second).locator("button.name")).to_have_text("Katherine, next x m u")
    people.key("x", "ArrowLeft", "x", "m")
    expect(page.locator(".person")).to_have_count(number - 1)
    kept = page.locator(".person", has=page.locator("[data-do=watch]:focus"))
    expect(kept.locator("button.name")).to_have_text(people.rows()[0]["name"])
    people.key("o")
    expect(page.locator(".tile.track").first.locator("[data-do=watch]")).to_be_focused()
    people.key("Escape")
    expect(kept).to_have_count(1)
    people.key("u")
    expect(page.locator(".person")).to_have_count(number)
    people.key("?")
    expect(page.get_by_role("dialog")).to_contain_text("Merge the chosen people")
    people.tab.picture("people-keys")
    people.key("Escape")
    page.get_by_role("slider", name="Timeline of people").focus()
    at = people.state()["time"]
    people.key("ArrowRight")
    wait_for(lambda: abs(people.state()["time"] - at - 1) < 0.1, what="a second further")
    page.get_by_role("button", name="Who with whom").focus()
    people.key("Enter")
    page.get_by_role("grid").focus()
    people.key("ArrowRight", "Enter")
    expect(page.locator("[role=gridcell][aria-selected]")).to_have_attribute("data-column", "1")


@pytest.fixture
def later(browser: Browser, product: Product, peopled_run: str) -> Iterator[PeoplePage]:
    """Another episode, with the same faces, after two were named in the first one."""
    first = Layout(product.data_root).corrections(PEOPLED)
    first.unlink(missing_ok=True)
    if not (product.data_root / "videos" / LATER).exists():
        copy_run(product.data_root, PEOPLED, peopled_run, LATER)
    Layout(product.data_root).corrections(LATER).unlink(missing_ok=True)
    client = product.server.client
    path = f"/episodes/{PEOPLED}/runs/{peopled_run}/people"
    for revision, (row, name) in enumerate(
        zip(client.get(path).json()["items"], CAST, strict=False)
    ):
        body = {"revision": revision, "action": "name", "person_ids": [row["person_id"]]}
        client.post(f"{path}/corrections", json={**body, "name": name}).raise_for_status()
    with people_of(browser, product, peopled_run, LATER) as shown:
        yield shown
    first.unlink()


def test_names_of_another_episode_are_suggested(later: PeoplePage) -> None:
    page = later.page
    one, other = (row["person_id"] for row in later.rows()[:2])
    words = page.locator(".show-of .words")
    expect(words).to_contain_text("Of no show")
    # It is given one, by hand: the name of the file does not tell.
    page.get_by_role("button", name="Set show…").click()
    page.get_by_label("Show", exact=True).fill("people")
    later.key("Enter")
    expect(page.get_by_role("button", name="Set show…")).to_be_focused()
    expect(words).to_contain_text("2 names are suggested from 1 other episode")
    expect(later.card(one).locator(".suggested .who")).to_have_text(f"{CAST[0]}?")
    expect(later.card(other).locator(".suggested .who")).to_have_text(f"{CAST[1]}?")
    wait_for(later.tab.pictures_loaded, what="the pictures from there")
    for width, dark in ((1366, False), (1366, True), (400, False)):
        later.tab.look(width, dark=dark)
        later.tab.picture(f"people-suggested-{width}-{'dark' if dark else 'light'}")
    later.tab.look(1366)
    assert {row["name"] for row in later.rows()} == {None}
    # Told of those who pass the filter.
    page.get_by_label("Find by name").fill("nobody is called so")
    expect(words).to_contain_text("no name is suggested")
    page.get_by_label("Find by name").fill("")
    expect(words).to_contain_text("2 names are suggested")
    # One is confirmed and one declined, each with one key.
    page.get_by_role("button", name="Next", exact=True).click()
    expect(later.card(one).locator("[data-do=watch]")).to_be_focused()
    later.key("y")
    expect(later.card(one).locator("button.name")).to_have_text(CAST[0])
    expect(later.card(other).locator("[data-do=watch]")).to_be_focused()
    expect(later.card(one).locator(".suggested")).to_be_hidden()
    later.key("d")
    expect(later.card(other).locator(".suggested")).to_be_hidden()
    assert [row["name"] for row in later.rows()[:2]] == [CAST[0], None]
    later.key("u")
    expect(later.card(other).locator(".suggested")).to_be_visible()
    # By mouse as well.
    later.card(other).get_by_role("button", name="Yes").click()
    expect(later.card(other).locator("button.name")).to_have_text(CAST[1])
    expect(words).to_contain_text("no name is suggested")
    later.key("s")
    expect(page.locator(".people .live")).to_have_text("No name is suggested.")


def test_colours_that_change_twice_at_once_leave_what_is_chosen(people: PeoplePage) -> None:
    """Streamlit ends a call of a component that is overtaken by the next one."""
    box = people.card(people.rows()[0]["person_id"]).get_by_role("checkbox")
    box.check()
    for width, dark in ((1366, True), (400, False), (1366, False)):
        people.tab.look(width, dark=dark)
    people.tab.settle()
    people.page.wait_for_timeout(1500)
    expect(box).to_be_checked()
    expect(box).to_be_focused()


def test_a_piece_of_a_named_person_is_merged_by_one_click(later: PeoplePage) -> None:
    client = later.product.server.client
    client.patch(f"/episodes/{LATER}", json={"show": "people"}).raise_for_status()
    path = f"/episodes/{LATER}/runs/{later.run_id}/people/corrections"
    row = next(row for row in later.rows()[:2] if len(row["track_ids"]) > 1)
    name = CAST[later.rows().index(row)]
    number = len(later.rows())
    for revision, body in enumerate(
        (
            {"action": "move", "person_ids": [], "track_ids": row["track_ids"][:1]},
            {"action": "name", "person_ids": [row["person_id"]], "name": name},
        )
    ):
        client.post(path, json={"revision": revision, **body}).raise_for_status()
    [piece] = [each for each in later.rows() if each["track_ids"] == row["track_ids"][:1]]
    later.open()
    expect(later.page.locator(".person")).to_have_count(number + 1)
    yes = later.card(piece["person_id"]).get_by_role("button", name="Yes")
    expect(yes).to_have_accessible_name(f"Yes, Person {int(piece['person_id'][-4:])} is {name}")
    yes.click()
    expect(later.page.locator(".person")).to_have_count(number)
    assert set((later.row(row["person_id"]) or {})["track_ids"]) == set(row["track_ids"])


def test_three_hundred_people(
    browser: Browser, product: Product, peopled_run: str, test_data: Path
) -> None:
    """Only what is in sight is in the document, and the last ones are reached."""
    model = Layout(product.data_root).run(PEOPLED, peopled_run).folder
    write_crowd(product.data_root, model, test_data / "videos" / "carphone_pristine.mp4")
    with people_of(browser, product, LONG.run_id, LONG.ep_id) as crowd:
        page = crowd.page
        expect(page.locator(".people")).to_have_attribute("data-people", str(PEOPLE))
        assert page.locator(".person").count() < 60
        for width, dark in ((1366, False), (1366, True), (700, False), (400, True)):
            crowd.tab.look(width, dark=dark)
            crowd.tab.picture(f"people-crowd-{width}-{'dark' if dark else 'light'}")
        crowd.tab.look(1366)
        page.locator(".person [data-do=watch]").first.focus()
        crowd.key("End")
        expect(page.locator(f".person[aria-posinset='{PEOPLE}'] [data-do=watch]")).to_be_focused()
        assert page.locator(".person").count() < 60
        crowd.key("Enter")
        last = crowd.rows()[-1]
        wait_for(lambda: crowd.state()["watched"] == last["person_id"], what="the last one")
        assert crowd.state()["lanes"] == PEOPLE
        crowd.name(last["person_id"], "The last one")
        expect(crowd.toast()).to_contain_text("The last one")
        page.get_by_role("button", name="Who with whom").click()
        page.get_by_role("grid").focus()
        crowd.key("End", *["PageDown"] * 40)
        expect(page.locator("[role=gridcell][aria-selected]")).to_have_attribute(
            "data-row", str(PEOPLE - 1)
        )
        assert page.locator("[role=gridcell]").count() < 1000


def test_a_run_without_people_says_how_to_get_them(browser: Browser, product: Product) -> None:
    alone = product.run("talk", stride=24, people=False)
    with tab(browser, product.page_url) as opened:
        opened.open(f"/people?episode=talk&run={alone}")
        opened.see("This run has no people.")
        opened.see("Group tracks into people")
        opened.forgive("404")
        opened.picture("people-none")
        opened.page.get_by_role("link", name="To Detect/Track").click()
        opened.see("Run detect/track")


def test_a_later_run_without_people_leads_to_those_that_there_are(
    one_tab: Tab, product: Product
) -> None:
    product.add_copy("regrouped")
    peopled = product.run("regrouped", stride=12, people=True)
    alone = product.run("regrouped", stride=24, people=False)
    assert [run["people"] is None for run in product.runs_of("regrouped")] == [True, False]
    one_tab.open("/people?episode=regrouped")
    one_tab.see_in_address(f"run={alone}")
    one_tab.see("This run has no people.")
    one_tab.see("Another run has people:")
    one_tab.picture("people-of-another-run")
    one_tab.button("Show its people")
    one_tab.see_in_address(f"run={peopled}")
    one_tab.page.locator(".person").first.wait_for()
    one_tab.lose("Another run has people:")
    one_tab.forgive("404")
