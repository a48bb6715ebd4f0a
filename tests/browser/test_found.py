"""What was found, below the timeline: filter, table and faces, in a browser, by a small server."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_review import Review, reviewed, screenshot
from tests.support.page import tab
from tests.support.review import FPS, long_run, review_server, short_run

NUMBERS = "rows => rows.map(row => Number(row.querySelector('th').innerText))"
BY_LENGTH = [5, 1, 3, 2, 4]  # of the short run
REVIEW = """{
  height: 240, length_s: 24, tracks: {
    id: ["track-00001", "track-00002", "track-00003"], sightings: [9, 1, 4],
    first_s: [0, 5, 9.5], last_s: [4, 5, 12], screen_s: [4.2, 0.24, null],
    screen_error_s: [0.1, 0.1, null], confidence: [0.9, 0.5, 0.7], face_height: [0.25, 0.5, null],
    ended: ["cut", null, "left"],
  }
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, clip: Path) -> Iterator[Review]:
    """One for all who look at the short run: each has what it wants reset."""
    with review_server(short_run(), clip) as server, reviewed(browser, server) as found:
        found.open()
        yield found


@pytest.fixture
def found(page: Review) -> Review:
    page.canvas.focus()
    page.key("Escape", "Escape")  # the range, then what is picked
    page.ask("window.review.found.clear(); window.review.found.show(window.review.run, false)")
    page.ask("window.review.timeline.fit()")
    return page


def rows(review: Review) -> list[int]:
    """Numbers of the tracks whose rows are drawn."""
    numbers: list[int] = review.page.locator(".rows tr[data-place]").evaluate_all(NUMBERS)
    return numbers


def faces(review: Review) -> list[int]:
    alts: list[str] = review.page.locator(".face img").evaluate_all("all => all.map(i => i.alt)")
    return [int(alt.removeprefix("Face of track ")) for alt in alts]


def fill(review: Review, **fields: str) -> None:
    for name, value in fields.items():
        review.page.locator(f"input[name={name}]").fill(value)


def count(review: Review) -> str:
    return review.page.locator(".count").inner_text()


def active(review: Review) -> str:
    """What has the focus."""
    text: str = review.ask("window.review.root.getRootNode().activeElement?.innerText ?? ''")
    return text


# The small modules, by themselves.


@pytest.mark.parametrize(
    ("wanted", "passing"),
    [
        ("{}", None),
        ("{ minScreen: 0.24 }", [1, 1, 0]),
        ("{ maxScreen: 1 }", [0, 1, 0]),
        ("{ minConfidence: 0.7 }", [1, 0, 1]),
        ("{ minHeight: 61 }", [0, 1, 0]),
        ("{ from: 4, to: 5 }", [1, 1, 0]),
        ("{ from: 4.5, to: 9.5 }", [0, 1, 1]),
        ("{ hideSingle: true }", [1, 0, 1]),
        ("{ hideSingle: true, to: 3 }", [1, 0, 0]),
        ("{ minScreen: 2, maxScreen: 1 }", [0, 0, 0]),
    ],
)
def test_which_tracks_pass(page: Review, wanted: str, passing: list[int] | None) -> None:
    script = f"""import('/files/review/filter.js').then(m => {{
      const shown = m.passing({REVIEW}, {{ ...m.ALL, ...{wanted} }});
      return shown && [...shown];
    }})"""
    assert page.ask(script) == passing


def test_times_are_read_as_people_write_them(page: Review) -> None:
    script = """import('/files/review/times.js').then(m =>
      ['83', '1:23', '1:23.5', '1:02:03', ' 7,5 ', '', 'x', '1:', '-3', '1:2:3:4', '1.5:3']
        .map(m.parseClock))"""
    assert page.ask(script) == [83, 83, 83.5, 3723, 7.5, None, None, None, None, None, None]


def test_a_share_has_a_decimal_where_it_is_small(page: Review) -> None:
    script = """import('/files/review/times.js').then(m =>
      [0.7123, 0.0995, 0.0994, 0.0004, null].map(share => m.percent(share, 'de')))"""
    assert page.ask(script) == ["71\u00a0%", "10\u00a0%", "9,9\u00a0%", "0,0\u00a0%", "–"]


def test_what_lacks_a_measure_comes_last_in_both_directions(page: Review) -> None:
    script = f"""Promise.all(
      ['columns', 'tracks', 'people'].map(m => import(`/files/review/${{m}}.js`)))
      .then(([m, {{ Tracks }}, {{ People }}]) => {{
        const review = {REVIEW};
        const {{ first_s, last_s }} = review.tracks;
        const more = {{ start_s: first_s, end_s: last_s, lane: [0, 0, 0] }};
        const whole = {{ ...review, lanes: 1, cuts_s: [], duration_s: 24 }};
        const tracks = new Tracks({{ ...whole, tracks: {{ ...review.tracks, ...more }} }});
        const run = {{ review, tracks, people: new People(tracks.ids, []), ends: {{}} }};
        const column = m.columnsOf(run, false).find(one => one.name === 'screen');
        return [true, false].map(down => [...m.inOrder(run, [0, 1, 2], column, down)]);
      }})"""
    assert page.ask(script) == [[0, 1, 2], [1, 0, 2]]


# The table.


def test_the_longest_come_first_with_share_and_error(found: Review) -> None:
    assert rows(found) == BY_LENGTH == faces(found)
    expect(found.page.locator(".seen")).to_have_text("Faces are seen in 75% of 0:24")
    assert count(found) == "5 tracks"
    first = found.page.locator(".rows tr[data-place]").first.locator("th, td")
    assert first.all_inner_texts() == [
        "5", "0:16.1", "7.9 ± 0.1 s", "33%", "33", "0.90", "48 px", "shot cut",
    ]  # fmt: skip


def test_headers_sort_by_click_and_by_key(found: Review) -> None:
    header = found.page.locator(".rows thead th")
    expect(header.nth(2)).to_have_attribute("aria-sort", "descending")
    found.page.get_by_role("button", name="Seen first").click()
    expect(header.nth(1)).to_have_attribute("aria-sort", "ascending")
    assert header.nth(2).get_attribute("aria-sort") is None
    assert rows(found) == [1, 2, 3, 4, 5] == faces(found)
    found.key("Enter")
    expect(header.nth(1)).to_have_attribute("aria-sort", "descending")
    assert rows(found) == [5, 4, 3, 2, 1] == faces(found)
    assert active(found) == "Seen first"
    found.page.get_by_role("button", name="On screen").focus()
    found.key(" ")
    assert rows(found) == BY_LENGTH
    assert found.video.evaluate("video => video.paused")


def test_rows_are_walked_and_picked_by_keys(found: Review) -> None:
    found.page.locator(".rows tbody button").first.focus()
    found.key("ArrowDown", "ArrowDown")
    assert active(found) == "3"
    found.key("Enter")
    assert found.number() == round(found.server.run.tracks[2].times[0] * FPS)
    assert active(found) == "3"
    found.key("End")
    assert active(found) == "4"
    found.key("Home", "ArrowUp")
    assert active(found) == "5"
    found.key("n")  # keys of the review are heard here too
    assert found.ask("window.review.picked") == 3


def test_a_click_on_a_row_or_face_seeks_exactly_again_and_again(found: Review) -> None:
    for place, where in ((2, ".rows tr"), (4, ".face"), (4, ".face"), (2, ".rows tr")):
        shown = found.page.locator(f"{where}[data-place='{place}']")
        shown.click()
        assert found.number() == round(found.server.run.tracks[place].times[0] * FPS)
        expect(found.video).to_be_in_viewport(ratio=1)
        expect(shown).to_have_attribute("aria-current", "true")
        expect(found.page.locator(".found [aria-current]")).to_have_count(2)
        found.ask("window.review.player.seek(6.5)")
        assert found.number() == round(6.5 * FPS)


def test_a_row_and_a_face_have_the_colour_of_the_bar(found: Review) -> None:
    assert found.ask("window.review.run.colour(2)") == "#ad2edb"
    for part, side in (
        (".rows tr[data-place='2'] th", "left"),
        (".face[data-place='2']", "bottom"),
    ):
        colour = found.page.locator(part).evaluate(
            f"one => getComputedStyle(one).getPropertyValue('border-{side}-color')"
        )
        assert colour == "rgb(173, 46, 219)"


def test_what_passes_is_taken_away_in_the_tables_order(found: Review, tmp_path: Path) -> None:
    fill(found, minScreen="4")
    found.page.get_by_role("button", name="Seen first").click()
    with found.page.expect_download() as coming:
        found.page.get_by_role("button", name="Download as CSV").click()
    assert coming.value.suggested_filename == "made_r1.seconds.csv"
    coming.value.save_as(tmp_path / "seconds.csv")
    with (tmp_path / "seconds.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["track_id"] for line in lines] == [f"track-0000{n}" for n in (1, 2, 3, 5)]
    made = found.server.run.tracks[1]
    seconds = round(made.end_s - made.start_s, 3)
    assert lines[1] == {
        "track_id": "track-00002", "person_id": "", "start_s": "1.92", "end_s": "5.76",
        "screen_s": str(seconds),
        "screen_error_s": "0.12", "share": str(round(seconds / 24, 6)), "sightings": "17",
        "confidence": "0.9", "face_height_px": "48", "ended": "cut",
    }  # fmt: skip


# The filter.


def test_table_faces_and_timeline_share_the_filter(found: Review) -> None:
    bar = found.bar(1)
    fill(found, minScreen="5")
    assert count(found) == "3 of 5 tracks"
    assert rows(found) == [5, 1, 3] == faces(found)
    assert found.ask("([x, y]) => window.review.timeline.barAt(x, y)", list(bar)) == -1
    assert found.bar(2)
    found.canvas.focus()
    found.ask("window.review.player.seek(0)")
    found.rest()
    shown = []
    for key in ("n", "n", "n", "p"):
        found.key(key)
        shown.append(found.ask("window.review.picked"))
    assert shown == [2, 4, 4, 2]
    found.page.get_by_label("Hide single sightings").check()
    fill(found, minScreen="")
    assert rows(found) == [5, 1, 3, 2]
    assert found.bar(1)


def test_what_does_not_pass_fades(found: Review) -> None:
    x, y = found.bar(0)
    alpha = """([x, y]) => {
      const { timeline } = window.review;
      timeline.draw();
      const probe = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
      const context = probe.getContext("2d", { willReadFrequently: true });
      context.drawImage(timeline.layer, -x - 9, -y);
      return context.getImageData(0, 0, 1, 1).data[3];
    }"""
    assert found.ask(alpha, [round(x), round(y)]) == 255
    fill(found, **{"from": "9"})
    assert 0 < found.ask(alpha, [round(x), round(y)]) < 80


def test_the_filter_outlives_a_redraw_and_is_reset(found: Review) -> None:
    reset = found.page.get_by_role("button", name="Reset")
    expect(reset).to_be_disabled()
    fill(found, minConfidence="0.5", to="0:09")
    found.page.get_by_role("button", name="Seen first").click()
    found.ask("window.draw()")
    assert rows(found) == [1, 2, 3]
    expect(found.page.get_by_label("Seen before this time")).to_have_value("0:09")
    reset.click()
    assert rows(found) == [1, 2, 3, 4, 5]
    assert count(found) == "5 tracks"
    expect(reset).to_be_disabled()
    expect(found.page.get_by_label("Seen before this time")).to_have_value("")


def test_the_marked_range_is_taken_for_the_time(found: Review) -> None:
    found.canvas.focus()
    for seconds, key in ((9, "i"), (15, "o")):
        found.ask("seconds => window.review.player.seek(seconds)", seconds)
        found.rest()
        found.key(key)
    found.page.get_by_role("button", name="Range").click()
    expect(found.page.get_by_label("Seen after this time")).to_have_value("0:09.00")
    assert sorted(rows(found)) == [3, 4]
    found.canvas.focus()
    found.key("Escape")
    found.ask("window.review.timeline.setView({ start: 17, end: 20 })")
    found.page.get_by_role("button", name="Range").click()
    assert rows(found) == [5]


@pytest.mark.parametrize(
    ("fields", "words", "left"),
    [
        ({"minScreen": "5", "maxScreen": "4"}, "the first one is larger", 0),
        ({"from": "9", "to": "0:02"}, "the first one is larger", 0),
        ({"to": "soon"}, "This cannot be read", 5),
        ({"minConfidence": "7"}, "This cannot be read", 5),
        ({"from": "<b>9</b>" * 2000}, "This cannot be read", 5),
    ],
    ids=str,
)
def test_what_cannot_be_wanted_is_a_sentence(
    found: Review, fields: dict[str, str], words: str, left: int
) -> None:
    fill(found, **fields)
    expect(found.page.locator(".problem")).to_contain_text(words)
    expect(found.page.locator(f"input[name={list(fields)[-1]}]")).to_have_attribute(
        "aria-invalid", "true"
    )
    assert len(rows(found)) == left
    found.page.get_by_role("button", name="Reset").click()
    expect(found.page.locator(".problem")).to_have_text("")


def test_another_run_has_no_filter_of_the_one_before(browser: Browser, clip: Path) -> None:
    with review_server(short_run(), clip) as server, reviewed(browser, server) as review:
        review.open()
        fill(review, minScreen="5")
        review.ask("window.draw({ run: '/files/episodes/made/runs/r2' })")
        review.page.wait_for_function("window.review.tracks !== undefined")
        assert count(review) == "5 tracks"


# Three hours and 5,000 tracks.


@pytest.fixture(scope="module")
def long_page(browser: Browser, clip: Path) -> Iterator[Review]:
    with review_server(long_run(), clip) as server, reviewed(browser, server) as found:
        found.open()
        yield found


def test_of_5000_tracks_only_the_rows_in_sight_are_drawn(long_page: Review) -> None:
    assert count(long_page) == "5,000 tracks"
    box = long_page.page.locator(".rows")
    expect(box.locator("table")).to_have_attribute("aria-rowcount", "5001")
    height, row = box.evaluate(
        "box => [box.clientHeight, box.querySelector('tr[data-place]').offsetHeight]"
    )
    bound = height / row + 2 + 2 * 6  # what is in sight, and six rows on each side
    made = """async box => {
      let [made, most] = [0, 0];
      const watching = new MutationObserver(all => {
        for (const one of all) made += [...one.addedNodes].filter(n => n.dataset.place).length;
      });
      watching.observe(box.querySelector("tbody"), { childList: true });
      const end = box.scrollHeight - box.clientHeight;
      for (let n = 1; n <= 20; n += 1) {
        box.scrollTop = (n / 20) * end;
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        most = Math.max(most, box.querySelectorAll("tr[data-place]").length);
      }
      watching.disconnect();
      return [made, most, box.scrollHeight];
    }"""
    drawn, most, scrolled = box.evaluate(made)
    assert most <= bound
    assert drawn <= 20 * bound
    assert scrolled == pytest.approx(5000 * row, rel=0.01)
    expect(long_page.page.locator(".face")).to_have_count(24)
    last = long_page.page.locator(".rows tr[data-place]").last
    expect(last).to_have_attribute("aria-rowindex", "5001")


def test_faces_come_a_page_at_a_time(long_page: Review) -> None:
    page = long_page.page
    expect(page.locator(".page")).to_have_text("Page 1 of 209")
    first = faces(long_page)
    page.get_by_role("button", name="Further").click()
    expect(page.locator(".page")).to_have_text("Page 2 of 209")
    assert not set(first) & set(faces(long_page))
    assert page.locator(".face img").first.get_attribute("loading") == "lazy"
    long_page.ask("window.review.pick(window.review.found.order[100])")
    expect(page.locator(".page")).to_have_text("Page 5 of 209")
    expect(page.locator(".face[aria-current]")).to_be_visible()
    expect(page.locator(".rows tr[aria-current]")).to_be_visible()


def test_a_filter_of_5000_draws_no_more(long_page: Review) -> None:
    fill(long_page, minScreen="1", **{"from": "1:00:00", "to": "1:10:00"})
    run = long_page.server.run
    expected = sum(
        one.end_s - one.start_s >= 1 and one.times[-1] >= 3600 and one.times[0] <= 4200
        for one in run.tracks
    )
    assert 20 < expected < 1000
    assert count(long_page) == f"{expected} of 5,000 tracks"
    redraw = long_page.ask(
        """(() => {
          const { timeline } = window.review;
          timeline.fit();
          timeline.stale = true;
          timeline.draw();
          return timeline.stats.visited;
        })()"""
    )
    assert redraw <= 5000
    assert long_page.page.locator(".rows tr[data-place]").count() < 60


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 400])
def test_pictures_for_people(
    browser: Browser, clip: Path, theme: str, width: int, tmp_path: Path
) -> None:
    with (
        review_server(long_run(2400, 2300), clip) as server,
        tab(browser, server.url, width=width) as opened,
    ):
        review = Review(opened, server)
        review.open(f"?theme={theme}")
        fill(review, minScreen="1.5", **{"from": "2:00"})
        place: Any = review.ask("window.review.found.order[2]")
        review.ask("place => window.review.pick(place)", place)
        review.rest()
        review.page.locator(".found").scroll_into_view_if_needed()
        widths = "[document.documentElement.scrollWidth, window.innerWidth]"
        shown, room = review.ask(widths)
        assert shown <= room
        review.page.set_viewport_size({"width": width, "height": 1900 if width < 700 else 1500})
        screenshot(review.page, f"found-{theme}-{width}", tmp_path)


# People.


@pytest.fixture
def peopled(browser: Browser, clip: Path) -> Iterator[Review]:
    """Track 1 and 5 are Ann's, 3 is somebody's, the others nobody's."""
    run = short_run()
    run.people = [("Ann =1+1", [0, 4]), (None, [2])]
    with review_server(run, clip) as server, reviewed(browser, server) as found:
        found.open()
        yield found


def test_tracks_of_somebody_hidden_are_not_said_to_be_nobodys(browser: Browser, clip: Path) -> None:
    run = short_run()
    run.people, run.hidden = [("Ann", [0, 4]), ("Extra", [2])], ("Extra",)
    with review_server(run, clip) as server, reviewed(browser, server) as found:
        found.open()
        assert found.ask("window.review.timeline.owners") == ["Ann", "Hidden, or nobody", None]


def test_everybody_has_a_row_of_their_own(peopled: Review, tmp_path: Path) -> None:
    """On the timeline and in the table; the same colour for all tracks of a person."""
    page = peopled.page
    assert peopled.ask("[...window.review.tracks.lane]") == [0, 2, 1, 2, 0]
    owners = ["Ann =1+1", "Person 2", "Nobody in particular"]
    assert peopled.ask("window.review.timeline.owners") == owners
    # Their names stand before the rows: no bar is below them, and nothing is there to click.
    left = peopled.ask("window.review.timeline.left")
    assert 60 < left < peopled.ask("window.review.timeline.width") / 3
    assert peopled.ask("window.review.timeline.xOf(0)") == left
    row = "window.review.timeline.top + 5"
    assert peopled.ask(f"window.review.timeline.barAt({left - 2}, {row})") == -1
    assert peopled.ask(f"window.review.timeline.barAt({left + 2}, {row})") == 0
    colours = peopled.ask("[0, 4, 2, 1, 3].map(place => window.review.run.colour(place))")
    assert colours[0] == colours[1] != colours[2]
    assert colours[3:] == ["#80858f", "#80858f"]
    table = page.locator(".rows tr[data-place]")
    texts = [row.locator("th, td").all_inner_texts() for row in table.all()]
    assert texts == [
        ["Ann =1+1", "0:00.0", "15.7 ± 0.2 s", "66%", "2"],
        ["Person 2", "0:08.2", "7.7 ± 0.2 s", "32%", "1"],
    ]
    screenshot(page, "review-people", tmp_path)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download as CSV").click()
    saving.value.save_as(tmp_path / "people.csv")
    with (tmp_path / "people.csv").open(newline="") as file:
        saved = list(csv.DictReader(file))
    assert [row["name"] for row in saved] == ["Ann =1+1", ""]
    assert [row["tracks"] for row in saved] == ["2", "1"]
    page.get_by_role("button", name="Person 2: go there").click()
    expect(page.locator(".card strong")).to_have_text("Track 3")
    expect(page.locator(".rows tr[aria-current] th")).to_have_text("Person 2")

    page.get_by_label("Rows of the timeline").select_option("tracks")
    assert peopled.ask("[...window.review.tracks.lane]") == [0, 1, 0, 1, 0]
    assert rows(peopled) == BY_LENGTH
    first = table.first.locator("th, td").all_inner_texts()
    assert first[:3] == ["5", "Ann =1+1", "0:16.1"]
    expect(page.locator(".rows tr[aria-current] th")).to_have_text("3")
