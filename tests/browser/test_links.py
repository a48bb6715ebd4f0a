"""The address names what is seen: links to a moment, Back and Forward, and what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, expect

from lab.processes.service import add_episode, wait_for
from tests.browser.conftest import Product
from tests.browser.test_results import at, click_bar, review, wait_for_place
from tests.support.page import Tab, tab

LINKED = "linked"
HTML = "<img src=x onerror=alert(1)><script>alert(2)</script>"
PATH = "../../../etc/passwd"
LONG = "a" * 10_000
# Names of nothing, and words of them that are on the page.
UNKNOWN = {HTML: HTML[:40], PATH: PATH, LONG: "aaaa…", "nonsense": "“nonsense”"}
ENTRIES = "history.length"


@pytest.fixture(scope="module")
def a_run(product: Product) -> str:
    [video] = (product.data_root / "videos" / "show").glob("episode.*")
    add_episode(product.data_root, LINKED, video)
    return product.run(LINKED, stride=12)


@pytest.fixture(scope="module")
def newer_run(product: Product, a_run: str) -> str:
    return product.run(LINKED, stride=24)


@pytest.fixture(scope="module")
def shared(browser: Browser, product: Product) -> Iterator[Tab]:
    """For those who open an address of their own: they share it."""
    with tab(browser, product.page_url) as opened:
        yield opened


def named(opened: Tab) -> dict[str, Any]:
    return names_in(opened.address())


def names_in(address: str) -> dict[str, Any]:
    """What an address says, options left out; a name of which there are several as a list."""
    found = parse_qs(urlsplit(address).query)
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in found.items()
        if not name.startswith("option-")
    }


def wait_for_names(opened: Tab, **names: Any) -> None:
    opened.wait_for_address(lambda address: names_in(address) == names)


def tracks(product: Product, run_id: str) -> list[dict[str, Any]]:
    answer = product.server.client.get(f"/episodes/{LINKED}/runs/{run_id}/tracks")
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def review_of(opened: Tab, run_id: str) -> Locator:
    """The review, once it is that of this run."""
    opened.page.wait_for_function(
        """run => [...document.querySelectorAll("*")].some(host => {
          const found = host.shadowRoot?.querySelector(".review[data-tracks]");
          return found?.screenalytics?.data.run.endsWith(run);
        })""",
        arg=run_id,
    )
    return review(opened)


def card(opened: Tab) -> Locator:
    return opened.page.locator(".card strong")


def wait_for_track(opened: Tab, track_id: str) -> None:
    number = str(int(track_id.removeprefix("track-")))
    expect(card(opened)).to_have_text(f"Track {number}")
    wait_for(lambda: named(opened).get("track") == number, what="the track in the address")


def view_of(opened: Tab) -> str:
    return urlsplit(opened.address()).path


def test_a_link_opens_its_moment(shared: Tab, product: Product, a_run: str) -> None:
    row = tracks(product, a_run)[2]
    number, moment = int(row["track_id"].removeprefix("track-")), round(row["start_s"] + 0.4, 3)
    names = {"episode": LINKED, "run": a_run, "track": str(number), "t": str(moment)}
    shared.open(f"/results?{urlencode(names)}")
    expect(card(shared)).to_have_text(f"Track {number}")
    wait_for(lambda: abs(at(shared) - moment) < 0.05, what="the moment")
    shared.open(f"/results?{urlencode({**names, 'track': row['track_id']})}")  # as files call it
    expect(card(shared)).to_have_text(f"Track {number}")
    shared.open(f"/results?episode={LINKED}&run={a_run}&t={moment}")
    wait_for(lambda: abs(at(shared) - moment) < 0.05, what="the moment")
    expect(card(shared)).to_have_text("No track is picked")


def test_back_and_forward_go_through_what_was_seen(
    one_tab: Tab, product: Product, a_run: str, newer_run: str
) -> None:
    """Each step of the history shows something else, the first one too."""
    page = one_tab.page
    one, two = (row["track_id"] for row in tracks(product, a_run)[:2])
    starts = {row["track_id"]: row["start_s"] for row in tracks(product, a_run)}
    one_tab.open(f"/?episode={LINKED}")
    one_tab.see("Run detect/track")
    wait_for_names(one_tab, episode=LINKED, run=newer_run)
    entries = page.evaluate(ENTRIES)

    one_tab.go("Results")
    one_tab.see("Take away")
    wait_for_names(one_tab, episode=LINKED, run=newer_run)
    one_tab.choose("Run", re.compile(a_run))
    wait_for_names(one_tab, episode=LINKED, run=a_run)
    review_of(one_tab, a_run)
    click_bar(one_tab, one)
    place = {"episode": LINKED, "run": a_run}
    wait_for_track(one_tab, one)
    click_bar(one_tab, two)
    wait_for_track(one_tab, two)
    page.locator(".review").focus()
    page.keyboard.press("End")  # no step
    wait_for(lambda: float(named(one_tab)["t"]) > starts[two] + 1, what="the time in the address")
    one_tab.go("Compare")
    one_tab.see("first and are marked")
    wait_for_names(one_tab, episode=LINKED, run=[newer_run, a_run])
    assert page.evaluate(ENTRIES) == entries + 5

    page.go_back()
    one_tab.see("Take away")
    wait_for_track(one_tab, two)
    assert at(one_tab) > starts[two] + 1
    page.go_back()
    wait_for_track(one_tab, one)
    wait_for_place(one_tab, starts[one])
    page.go_back()
    expect(card(one_tab)).to_have_text("No track is picked")
    wait_for_names(one_tab, **place)
    page.go_forward()
    wait_for_track(one_tab, one)
    page.go_back()
    expect(card(one_tab)).to_have_text("No track is picked")
    page.go_back()
    wait_for_names(one_tab, episode=LINKED, run=newer_run)
    box = page.get_by_test_id("stSelectbox").filter(has_text="Run").locator("input")
    expect(box).to_have_value(re.compile(newer_run))
    page.go_back()
    one_tab.see("Run detect/track")
    assert view_of(one_tab) == "/"
    assert page.evaluate(ENTRIES) == entries + 5


@pytest.mark.parametrize("path", ["/", "/results", "/compare"])
def test_an_unknown_episode_says_so_and_shows_no_other(shared: Tab, path: str) -> None:
    for name, words in UNKNOWN.items():
        shared.open(f"{path}?{urlencode({'episode': name, 'run': 'r1', 'track': 1})}")
        shared.see("There is no episode")
        wait_for(lambda words=words: words in shared.text(), what="its name")  # type: ignore[misc]
        for other in ("Take away", "detect/track synchronously", "first and are marked", "frames"):
            assert not shared.shows(other)
    assert named(shared)["episode"] == "nonsense"
    shared.episode(LINKED)
    shared.lose("There is no episode")
    wait_for(lambda: named(shared)["episode"] == LINKED, what="the choice in the address")
    shared.page.go_back()
    shared.see("There is no episode “nonsense”")
    assert shared.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("height", [900, 220])
def test_one_click_opens_a_list_and_chooses_nothing(shared: Tab, height: int) -> None:
    """Wherever the list opens, also under the pointer, where the window has no other room."""
    shared.open(f"/?episode={LINKED}")
    shared.see("detect/track")
    page = shared.page
    page.set_viewport_size({"width": 1360, "height": height})
    box = page.get_by_test_id("stSelectbox").filter(has_text="Episode").locator("input")
    for _ in range(5):
        box.click()
        expect(page.get_by_role("option").first).to_be_visible()
        page.wait_for_timeout(300)
        expect(page.get_by_role("option").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("option")).to_have_count(0)
    assert named(shared)["episode"] == LINKED
    shared.episode("talk")
    wait_for(lambda: named(shared)["episode"] == "talk", what="the choice in the address")
    shared.look(1360)


def test_an_unknown_run_says_so_and_shows_no_other(shared: Tab, a_run: str, newer_run: str) -> None:
    for name, words in UNKNOWN.items():
        shared.open(f"/results?{urlencode({'episode': LINKED, 'run': name, 'track': 1})}")
        shared.see("There is no run")
        wait_for(lambda words=words: words in shared.text(), what="its name")  # type: ignore[misc]
        assert not shared.shows("Take away")
        assert shared.page.locator("video").count() == 0
    shared.picture("link-to-no-run")
    shared.button("Show the newest run")
    shared.see("Take away")
    wait_for_names(shared, episode=LINKED, run=newer_run)
    shared.page.go_back()
    shared.see("There is no run “nonsense”")
    shared.lose("Take away")

    shared.open(f"/?episode={LINKED}&run=nonsense")
    shared.see("There is no run “nonsense”")
    wait_for_names(shared, episode=LINKED, run=newer_run)
    shared.open(f"/compare?episode={LINKED}&run=nonsense&run={a_run}")
    shared.see("There is no run “nonsense”")
    shared.see("first and are marked")
    wait_for_names(shared, episode=LINKED, run=a_run)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"track": "99999"}, "There is no track “99999” in this run."),
        (
            {"track": HTML},
            f"There is no track “{HTML[:40]}…” in this run.",
        ),
        ({"track": "1", "t": "99999"}, "There is no moment “99999” in this video"),
        ({"t": LONG}, "There is no moment “aaaa"),
    ],
)
def test_an_unknown_moment_says_so(
    shared: Tab, a_run: str, place: dict[str, str], words: str
) -> None:
    shared.open(f"/results?{urlencode({'episode': LINKED, 'run': a_run, **place})}")
    review(shared)
    told = shared.page.locator(".review .unknown")
    expect(told).to_contain_text(words)
    shared.picture(f"link-to-no-{next(iter(place))}")
    shared.page.wait_for_timeout(900)  # it is not written over where the video rests
    assert named(shared) == {"episode": LINKED, "run": a_run, **place}
    shared.page.locator(".review").focus()
    shared.page.keyboard.press("n")
    expect(told).to_be_hidden()
    wait_for(lambda: re.fullmatch(r"\d{1,3}", named(shared)["track"]) is not None, what="the track")


def test_a_copied_link_leads_another_browser_there(
    one_tab: Tab, browser: Browser, product: Product, a_run: str
) -> None:
    page = one_tab.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one_tab.open(f"/results?episode={LINKED}&run={a_run}&option-stride=6")
    review(one_tab)
    row = tracks(product, a_run)[1]
    number = str(int(row["track_id"].removeprefix("track-")))
    click_bar(one_tab, row["track_id"])
    wait_for_place(one_tab, row["start_s"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".link")).to_have_attribute("data-told", "Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query) == {
        "episode": [LINKED],
        "run": [a_run],
        "track": [number],
        "t": [f"{row['start_s']:g}"],
    }
    context = browser.new_context()
    try:
        other = Tab(context.new_page(), product.page_url)
        other.page.goto(link)
        expect(card(other)).to_have_text(f"Track {number}")
        wait_for_place(other, row["start_s"])
    finally:
        context.close()


def test_options_stay_in_the_address_of_other_views(one_tab: Tab, product: Product) -> None:
    one_tab.open("/?episode=talk")
    one_tab.options(stride=5)
    one_tab.go("Results")
    one_tab.see_in_address("option-stride=5")
    one_tab.reload()
    one_tab.settle()
    one_tab.see_in_address("option-stride=5")
    one_tab.go("Detect/Track")
    one_tab.unfold("More options")
    expect(one_tab.page.get_by_role("spinbutton", name="Stride")).to_have_value("5")
    one_tab.see_in_address("option-stride=5")
    one_tab.page.go_back()
    one_tab.settle()
    one_tab.see_in_address("option-stride=5")


def test_after_a_stop_the_result_before_is_shown(one_tab: Tab, product: Product) -> None:
    product.add_copy("halted")
    done = product.run("halted", stride=24)
    client = product.server.client
    body = {"ep_id": "halted", "stride": 1, "fps": 1000, "max_cpu_percent": 10}
    run_id = client.post("/jobs/detect_track", json=body).json()["run_id"]
    path = f"/episodes/halted/runs/{run_id}"
    wait_for(lambda: client.get(path).status_code == 200, what="its manifest")
    assert client.post(f"{path}/cancel").status_code == 200
    one_tab.open("/results?episode=halted")
    one_tab.see("You stopped the run of ")
    one_tab.see("Take away")
    wait_for_names(one_tab, episode="halted", run=done)
    one_tab.picture("results-after-a-stop")
    one_tab.choose("Run", re.compile(run_id))
    one_tab.see("it has no results")
    wait_for_names(one_tab, episode="halted", run=run_id)
    icons = one_tab.page.get_by_test_id("stAlertContentError")
    expect(icons).to_have_count(0)
    one_tab.picture("results-of-a-stopped-run")
