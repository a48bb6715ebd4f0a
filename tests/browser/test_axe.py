"""For everybody: axe-core, the keyboard alone, a narrow window, a language, no motion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect

from apps.common.layout import Layout
from lab.processes.service import wait_for
from tests.browser.conftest import DEMO, PEOPLED, Product
from tests.pipeline.videos import H264, corners, write_video
from tests.support.page import PATIENCE_MS, Tab, tab

VIEWS = {
    "Detect/Track": (f"/?episode={DEMO}", "Run detect/track"),
    "Results": (f"/results?episode={DEMO}&run={{run}}", "Take away"),
    "People": (f"/people?episode={PEOPLED}&run={{people}}", "Who with whom"),
    "Compare": (f"/compare?episode={DEMO}", "first and are marked"),
    "Library": ("/library", "Upload episodes"),
    "System": ("/system", "Versions"),
}


class Known(NamedTuple):
    """A finding in what is not ours and that cannot be mended from outside.

    Args:
        rule: of axe-core.
        html: a part of the element.
        reason: why it stands.
    """

    rule: str
    html: str
    reason: str


KNOWN: tuple[Known, ...] = ()

# What is folded is hidden, and axe passes over it.
_UNFOLD = """() => {
  for (const one of document.querySelectorAll('[data-testid=stExpander] details:not([open])')) {
    one.querySelector('summary').click();
  }
}"""
# The element that has the keyboard, through all shadow trees, and whether that is to be seen.
_FOCUSED = """async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  let one = document.activeElement;
  while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
  const style = getComputedStyle(one);
  return {
    name: one.getAttribute('aria-label') || one.innerText?.trim() || one.tagName,
    isSeen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
  };
}"""
# Waits until every element has the colours of the day or of the night, not only the first ones.
_DRESSED = """async dark => {
  const all = () => [...document.querySelectorAll('[data-testid=stApp], [data-testid=stApp] *')];
  const look = () => all().map(one => getComputedStyle(one).color).join();
  const isDark = () => {
    const [red] = getComputedStyle(all()[0]).color.match(/\\d+/g).map(Number);
    return red > 128;  // of the words
  };
  let seen = '';
  while (isDark() !== dark || look() !== seen) {
    seen = look();
    await new Promise(done => setTimeout(done, 100));
  }
}"""
# How much wider than its window anything is.
_TOO_WIDE = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  const far = [document.documentElement, main].map(one => one.scrollWidth - one.clientWidth);
  return Math.max(...far);
}"""
# What would move by itself, or on its way from one look to another.
_MOVING = """() => {
  const shadows = [...document.querySelectorAll('*')].map(one => one.shadowRoot).filter(Boolean);
  const longest = names => Math.max(...names.split(',').map(parseFloat));
  const moving = [];
  for (const root of [document, ...shadows]) {
    for (const one of root.querySelectorAll('*')) {
      const style = getComputedStyle(one);
      const turns = style.animationName !== 'none' && longest(style.animationDuration) > 0.01;
      const glides = longest(style.transitionDuration) > 0.01;
      if (turns || glides || style.scrollBehavior === 'smooth') {
        moving.push(one.outerHTML.slice(0, 200));
      }
    }
  }
  return moving;
}"""


def dress(opened: Tab, width: int, *, dark: bool) -> None:
    """Gives the window a width and its colours, and waits until all of the page has them."""
    opened.look(width, dark=dark)
    opened.settle()
    opened.page.evaluate(_DRESSED, dark)


def findings(opened: Tab, where: str) -> list[str]:
    """What axe-core has to say of the page as it is now, known things apart."""
    found = []
    for rule in Axe().run(opened.page).response["violations"]:
        for node in rule["nodes"]:
            if not any(one.rule == rule["id"] and one.html in node["html"] for one in KNOWN):
                why = " ".join(check["message"] for check in node["any"] + node["all"])
                found.append(f"{where}: {rule['id']}: {node['target']}: {node['html'][:99]}: {why}")
    return found


@pytest.fixture(scope="module")
def opened(
    browser: Browser, product: Product, shown_run: str, other_run: str, peopled_run: str
) -> Iterator[Callable[[str], Tab]]:
    """Opens views in one tab, which reaches nobody but the page's server."""
    with tab(browser, product.page_url, width=1366) as one:

        def only_the_page(route: Route) -> None:
            asked = route.request.url
            if asked.startswith((product.page_url, "data:", "blob:")):
                route.continue_()
            else:
                route.abort()

        one.page.route("**/*", only_the_page)

        def open_view(view: str) -> Tab:
            path, last = VIEWS[view]
            one.open(path.format(run=shown_run, people=peopled_run))
            one.see(last)
            one.settle()
            return one

        yield open_view


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(opened: Callable[[str], Tab], view: str) -> None:
    """In both themes and in a narrow window, with all that is folded open; nothing moves by itself
    where that is not wanted, and no window needs scrolling sideways.
    """
    one = opened(view)
    one.page.evaluate(_UNFOLD)
    one.settle()
    found = []
    for name, width, dark in (("light", 1366, False), ("dark", 1366, True), ("narrow", 400, False)):
        dress(one, width, dark=dark)
        found += findings(one, name)
        wait_for(lambda: one.page.evaluate(_TOO_WIDE) <= 0, what=f"{name}: all to fit")
    assert found == []
    assert one.page.evaluate(_MOVING) == []


def test_axe_finds_nothing_in_what_is_opened(opened: Callable[[str], Tab]) -> None:
    """The help of the review, the other parts of People, and those of a comparison."""
    one = opened("Results")
    dress(one, 1366, dark=True)
    one.page.locator(".review button[data-action=help]").click()
    found = findings(one, "help")
    one.page.keyboard.press("Escape")
    opened("People")
    one.page.locator(".person [data-do=choose]").first.check()
    found += findings(one, "chosen")
    one.page.locator(".person [data-do=open]").first.click()
    found += findings(one, "opened")
    one.page.get_by_role("button", name="Who with whom").click()
    one.page.locator("[role=gridcell]").first.wait_for()
    found += findings(one, "pairs")
    opened("Compare")
    for tab_name, sign in (
        ("Paths", "text=Run the comparison"),
        ("What was found", ".differences[data-rows]"),
    ):
        one.page.get_by_role("tab", name=tab_name).click()
        one.page.locator(sign).first.wait_for()
        for dark in (True, False):
            dress(one, 1366, dark=dark)
            found += findings(one, f"{tab_name}, {'dark' if dark else 'light'}")
    assert found == []
    assert one.page.evaluate(_MOVING) == []


def test_results_by_keyboard_alone(opened: Callable[[str], Tab]) -> None:
    """From the first tab stop over the video to the timeline; what has the keyboard is seen."""
    one = opened("Results")
    one.page.locator(".review[data-tracks]").wait_for()
    one.page.keyboard.press("Tab")
    assert one.page.evaluate(_FOCUSED)["name"] == "Skip to main content"
    one.page.keyboard.press("Enter")
    stops: list[dict[str, Any]] = []
    while len(stops) < 40 and (not stops or stops[-1]["name"] != "Timeline"):
        one.page.keyboard.press("Tab")
        stops.append(one.page.evaluate(_FOCUSED))
    names = [stop["name"] for stop in stops]
    order = ["Episode", "Run", "The episode", "Boxes", "The next track", "Keys", "Timeline"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    ours = stops[names.index("Boxes") :]
    assert [stop["name"] for stop in ours if not stop["isSeen"]] == []
    one.page.keyboard.press("n")
    expect(one.page.locator(".card strong")).to_have_text(re.compile(r"Track \d"))
    one.page.keyboard.press("?")
    expect(one.page.locator("dialog")).to_be_visible()
    one.page.keyboard.press("Escape")
    expect(one.page.locator("dialog")).to_be_hidden()
    one.settle()


def test_numbers_are_the_readers(
    browser: Browser, product: Product, shown_run: str, other_run: str
) -> None:
    """German ones here: of the script, of its charts, and of the review."""
    context = browser.new_context(locale="de-DE", timezone_id="Europe/Berlin")
    try:
        page = context.new_page()
        page.goto(f"{product.page_url}/results?episode={DEMO}&run={shown_run}")
        page.get_by_text("Take away").wait_for(timeout=PATIENCE_MS)
        expect(page.locator(".review .time")).to_contain_text("0:00,00")
        expect(page.locator(".rows")).to_contain_text(re.compile(r"0,\d\d"))
        page.get_by_text("How it ran").click()
        page.locator("g.role-axis-label text", has_text=re.compile(r"^0,\d$")).first.wait_for()
    finally:
        context.close()


def test_tall_pictures_leave_room(one_tab: Tab, product: Product) -> None:
    """A video that is turned, once as a card and once in the review."""
    path = Layout(product.data_root).episode("turned") / "episode.mp4"
    path.parent.mkdir(parents=True)
    write_video(path, [corners(192, 96)] * 30, replace(H264, rotation=90))
    run_id = product.run("turned", stride=10)
    page = one_tab.page
    one_tab.open("/?episode=turned")
    page.set_viewport_size({"width": 1366, "height": 768})
    card = page.get_by_alt_text("A frame of turned")
    wait_for(lambda: card.evaluate("one => one.naturalHeight > one.naturalWidth"), what="it")
    box = card.bounding_box()
    assert box is not None
    assert 50 < box["height"] < 300
    page.goto(f"{product.page_url}/results?episode=turned&run={run_id}")
    one_tab.see("Take away")
    review = page.locator(".review[data-tracks]")
    review.wait_for()
    one_tab.settle()
    shown = review.bounding_box()
    assert shown is not None
    assert shown["y"] + shown["height"] <= 768
    # Nobody is in it: that is said, with what may help, and no chart is drawn of nothing.
    one_tab.see("No faces were found")
    one_tab.see("a smaller “Detection threshold”")
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(0)


def test_a_clip_that_begins_late_has_a_timeline_to_its_end(one_tab: Tab, product: Product) -> None:
    """Its stream begins at 0.85 s, so its last frames are shown after its duration."""
    run_id = product.run("show", stride=6)
    one_tab.open(f"/results?episode=show&run={run_id}")
    review = one_tab.page.locator(".review[data-tracks]")
    review.wait_for()
    ends = review.evaluate(
        """root => {
          const { timeline, tracks } = root.screenalytics;
          const last = Math.max(...tracks.end);
          return { shown: timeline.view.end, last, first: tracks.first[0] };
        }"""
    )
    assert ends["first"] > 0.8
    assert ends["last"] > 9.9
    assert ends["shown"] >= ends["last"]
    one_tab.settle()
