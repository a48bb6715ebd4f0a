"""The review component alone: video, boxes, timeline and keys, in a browser, by a small server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from lab.processes.service import wait_for
from tests.support.page import Tab, note_figure, tab
from tests.support.review import (
    FPS,
    SHOWN_NUMBER,
    MadeRun,
    ReviewServer,
    long_run,
    review_server,
    short_run,
)

SAMPLE_S = 0.24
# Calls of the canvas, counted by name from now on, and those of one redraw of the timeline.
COUNT_CALLS = """() => {
  window.calls = {};
  const names = ["fillRect", "strokeRect", "stroke", "fill", "fillText", "drawImage", "clearRect"];
  for (const name of names) {
    const own = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...all) {
      window.calls[name] = (window.calls[name] ?? 0) + 1;
      return own.apply(this, all);
    };
  }
}"""
WORDS_OF_A_REDRAW = """() => {
  window.calls = {};
  window.review.player.draw();
  return window.calls.fillText ?? 0;
}"""
REDRAW = """view => {
  const { timeline } = window.review;
  if (view) timeline.view = { start: view[0], end: view[1] };
  const times = [];
  for (let n = 0; n < 9; n += 1) {
    timeline.stale = Boolean(view);
    window.calls = {};
    timeline.draw();
    times.push(timeline.stats.ms);
  }
  const all = Object.values(window.calls).reduce((a, b) => a + b, 0);
  return { calls: all, visited: timeline.stats.visited, ms: times.sort((a, b) => a - b)[4] };
}"""


@pytest.fixture
def served(clip: Path) -> Iterator[ReviewServer]:
    with review_server(short_run(), clip) as server:
        yield server


class Review:
    """A page with the component."""

    def __init__(self, opened: Tab, server: ReviewServer) -> None:
        self.tab = opened
        self.page = page = opened.page
        self.server = server
        self.box = page.locator(".review")
        self.canvas = page.locator(".timeline canvas")
        self.video = page.locator("video")

    def ask(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.server.url}/{query}")
        self.page.wait_for_function("window.review?.tracks !== undefined")
        self.page.wait_for_function("window.review.player.video.readyState >= 2")

    def rest(self) -> None:
        """Waits until no seek is on, and the frame is shown and drawn over."""
        self.page.wait_for_function(
            "(({ player }) => player.goal === null && !player.video.seeking)(window.review)"
        )
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def number(self) -> int:
        """Of the frame that is shown."""
        self.rest()
        return int(self.video.evaluate(SHOWN_NUMBER))

    def key(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def bar(self, place: int) -> tuple[float, float]:
        """The middle of a track's bar, on the canvas."""
        x, y = self.ask(
            """place => {
              const { timeline, tracks } = window.review;
              const x = timeline.xOf((tracks.start[place] + tracks.end[place]) / 2);
              for (let y = 0; y < timeline.height; y += 3) {
                if (timeline.barAt(x, y) === place) return [x, y + 2];
              }
              return [-1, -1];
            }""",
            place,
        )
        assert y > 0
        return float(x), float(y)

    def click(self, x: float, y: float) -> None:
        self.canvas.click(position={"x": x, "y": y})

    def x_of(self, seconds: float) -> float:
        return float(self.ask("seconds => window.review.timeline.xOf(seconds)", seconds))

    def view(self) -> tuple[float, float]:
        start, end = self.ask(
            "[window.review.timeline.view.start, window.review.timeline.view.end]"
        )
        return float(start), float(end)

    def place(self) -> float:
        return float(self.ask("window.review.player.time"))

    def told(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("window.told")
        return found

    def drawn(self) -> list[dict[str, Any]]:
        self.rest()
        found: list[dict[str, Any]] = self.ask("window.review.player.drawn")
        return found


@contextmanager
def reviewed(browser: Browser, server: ReviewServer, width: int = 1366) -> Iterator[Review]:
    with tab(browser, server.url, width=width) as opened:
        opened.page.set_viewport_size({"width": width, "height": 768})
        warnings: list[str] = []

        def note(message: ConsoleMessage) -> None:
            if message.type == "warning":
                warnings.append(message.text)

        opened.page.on("console", note)
        yield Review(opened, server)
        assert warnings == []


@pytest.fixture
def review(browser: Browser, served: ReviewServer) -> Iterator[Review]:
    with reviewed(browser, served) as found:
        found.open()
        yield found


# The small modules, by themselves.


@pytest.fixture(scope="module")
def ask(browser: Browser, clip: Path) -> Iterator[Callable[[str, str], Any]]:
    """Evaluates an expression in which a module's names stand as `m`."""
    with (
        review_server(short_run(), clip) as server,
        tab(browser, server.url) as opened,
    ):
        opened.page.goto(server.url)

        def evaluate(module: str, expression: str) -> Any:
            script = f"import('/files/review/{module}.js').then(m => ({expression}))"
            return opened.page.evaluate(script)

        yield evaluate


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("0, 1, 'en'", "0:00.0"),
        ("59.96, 1, 'en'", "1:00.0"),
        ("3599.999, 2, 'en'", "1:00:00.00"),
        ("3723.44, 1, 'de'", "1:02:03,4"),
        ("12345.6, 0, 'en'", "3:25:46"),
        ("-3, 0, 'en'", "0:00"),
        ("65.25, 2, 'ar-EG'", "١:٠٥٫٢٥"),
    ],
)
def test_times_are_in_the_readers_numbers(
    ask: Callable[[str, str], Any], arguments: str, shown: str
) -> None:
    assert ask("times", f"m.clock({arguments})") == shown


def test_seconds_on_screen_tell_their_error(ask: Callable[[str, str], Any]) -> None:
    assert ask("times", "m.onScreen(4.83, 0.12, 'de')") == "4,8 ± 0,1 s"
    assert ask("times", "m.onScreen(483, 3.4, 'en')") == "483 ± 3 s"
    assert ask("times", "m.onScreen(null, null, 'en')") == "–"


@pytest.mark.parametrize("seconds", [0.4, 3, 20, 90, 600, 3600, 10800, 86400])
def test_ticks_are_apart_and_divide_the_words(
    ask: Callable[[str, str], Any], seconds: float
) -> None:
    steps = ask("times", f"m.rulerSteps({seconds} / 1300)")
    assert steps["word"] / seconds * 1300 >= 76 or steps["word"] == 36000
    assert steps["tick"] / seconds * 1300 >= 8
    assert steps["word"] / steps["tick"] == pytest.approx(round(steps["word"] / steps["tick"]))
    assert seconds / steps["word"] < 18


def test_a_picture_keeps_its_shape_in_any_box(ask: Callable[[str, str], Any]) -> None:
    assert ask("layout", "m.letterbox(800, 300, 1600, 900)") == pytest.approx(
        {"x": 400 - 800 / 3, "y": 0, "width": 1600 / 3, "height": 300}
    )
    assert ask("layout", "m.letterbox(320, 600, 1600, 900)")["y"] == pytest.approx(210)
    assert ask("layout", "m.letterbox(320, 600, 0, 0)")["width"] == 320


def test_zoom_keeps_what_is_under_the_pointer(ask: Callable[[str, str], Any]) -> None:
    view = ask("layout", "m.zoomed({start: 100, end: 200}, 125, 0.5, 1000)")
    assert view == {"start": 112.5, "end": 162.5}
    assert ask("layout", "m.zoomed({start: 0, end: 900}, 100, 3, 1000)") == {
        "start": 0,
        "end": 1000,
    }
    short = ask("layout", "m.zoomed({start: 5, end: 6}, 5.5, 0.01, 1000)")
    assert short["end"] - short["start"] == pytest.approx(0.4)
    assert ask("layout", "m.panned({start: 5, end: 6}, -100, 1000)") == {"start": 0, "end": 1}


def test_a_pinch_holds_both_fingers_places(ask: Callable[[str, str], Any]) -> None:
    view = ask("layout", "m.pinched({start: 100, end: 200}, [25, 75], [10, 90], 100, 1000)")
    assert view["start"] + 10 / 100 * (view["end"] - view["start"]) == pytest.approx(125)
    assert view["start"] + 90 / 100 * (view["end"] - view["start"]) == pytest.approx(175)


def test_bounds_are_found_as_by_looking_at_all(ask: Callable[[str, str], Any]) -> None:
    values = [1, 1, 2, 3, 3, 3, 5]
    for value in (0, 1, 2.5, 3, 5, 6):
        low = ask("tracks", f"m.lowerBound({values}, {value})")
        assert low == sum(one < value for one in values)
        assert ask("tracks", f"m.upperBound({values}, {value})") == sum(v <= value for v in values)


def test_the_tracks_of_a_moment_and_their_number(ask: Callable[[str, str], Any]) -> None:
    run = long_run(600, 400)
    answer = run.review()
    found = ask(
        "tracks",
        f"""(() => {{
          const tracks = new m.Tracks({answer!r}), density = new m.Density(tracks);
          const times = Array.from({{ length: 200 }}, (_, i) => i * 3.01);
          return times.map(t => [tracks.at(t).sort((a, b) => a - b), density.most(t, t)]);
        }})()""".replace("None", "null"),
    )
    for number, (places, most) in enumerate(found):
        now = number * 3.01
        alive = [i for i, one in enumerate(run.tracks) if one.start_s <= now < one.end_s]
        assert places == alive
        assert most == len(alive)
    assert max(len(places) for places, _ in found) > 3


SEEN = "{ times: [1, 1.24, 2], boxes: [0, 0, 0.1, 0.1, 0.2, 0, 0.3, 0.1, 0.5, 0, 0.6, 0.1] }"


def place_at(
    ask: Callable[[str, str], Any], seconds: float, cuts: str = "[]", start: float = 0.9
) -> Any:
    tracks = f"""{{ fps: 25, before: 0.1, after: 0.14,
      cutBetween: (a, b) => {cuts}.some(cut => a < cut && cut <= b) }}"""
    return ask("boxes", f"m.placeAt({SEEN}, {seconds}, {{ start: {start}, end: 2.14 }}, {tracks})")


def test_boxes_are_between_their_neighbours(ask: Callable[[str, str], Any]) -> None:
    assert place_at(ask, 1)["exact"]
    assert place_at(ask, 1.015)["exact"]
    between = place_at(ask, 1.12)
    assert not between["exact"]
    assert between["box"] == pytest.approx([0.1, 0, 0.2, 0.1])


def test_boxes_end_with_the_stretch(ask: Callable[[str, str], Any]) -> None:
    assert place_at(ask, 0.95)["box"] == pytest.approx([0, 0, 0.1, 0.1])
    assert place_at(ask, 0.85) is None
    assert place_at(ask, 2.1)["box"] == pytest.approx([0.5, 0, 0.6, 0.1])
    assert place_at(ask, 2.14) is None


def test_no_box_goes_over_a_cut(ask: Callable[[str, str], Any]) -> None:
    assert place_at(ask, 1.3, "[1.7]")["box"] == pytest.approx([0.2, 0, 0.3, 0.1])
    assert place_at(ask, 1.5, "[1.7]") is None
    assert place_at(ask, 1.75, "[1.7]") is None
    assert place_at(ask, 1.95, "[1.7]")["box"] == pytest.approx([0.5, 0, 0.6, 0.1])
    # A frame at the cut is the new shot's, one a hair before is not.
    assert place_at(ask, 2.02, "[2.02]") is None
    assert place_at(ask, 0.98, "[1]", start=0.9) is None


# What is on the page.


def test_video_and_timeline_are_both_in_sight(review: Review) -> None:
    for part in ("video", ".timeline canvas"):
        box = review.page.locator(part).bounding_box()
        assert box is not None
        assert box["height"] > 100
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 768
    review.page.set_viewport_size({"width": 400, "height": 800})
    review.box.evaluate("box => box.scrollIntoView()")
    heights = [review.page.locator(part).bounding_box() for part in ("video", ".timeline")]
    assert all(box is not None and 0 <= box["y"] <= 800 - box["height"] for box in heights)
    assert review.ask("document.documentElement.scrollWidth") <= 400


def test_the_video_has_sound(review: Review) -> None:
    assert not review.video.evaluate("video => video.muted")
    assert review.video.evaluate("video => video.controls")
    review.video.evaluate("video => video.play()")
    wait_for(lambda: review.place() > 0.3, what="the video to play")
    assert review.video.evaluate("video => video.webkitAudioDecodedByteCount") > 0


@pytest.mark.parametrize("seconds", [0, 0.04, 1.92, 7.88, 7.92, 9.84, 15.6, 16.08, 23.96])
def test_a_seek_shows_exactly_that_frame(review: Review, seconds: float) -> None:
    review.ask("seconds => window.review.player.seek(seconds)", seconds)
    assert review.number() == round(seconds * FPS)


def test_a_click_on_a_bar_goes_to_its_first_sighting_again_and_again(review: Review) -> None:
    for place in (2, 4, 2, 2):
        review.click(*review.bar(place))
        assert review.number() == round(review.server.run.tracks[place].times[0] * FPS)
        expect(review.page.locator(".card strong")).to_have_text(f"Track {place + 1}")
        review.click(review.x_of(6.5), 8)  # the ruler
        assert review.number() == pytest.approx(6.5 * FPS, abs=2)


def test_a_click_on_an_empty_place_goes_there(review: Review) -> None:
    x, _ = review.bar(4)
    height = review.canvas.evaluate("canvas => canvas.clientHeight")
    review.click(x, height - 3)
    assert review.number() == pytest.approx(
        review.ask("window.review.timeline.playhead") * FPS, abs=1
    )
    assert review.told()[-1:] == [] or review.told()[-1]["track"] is None


def test_boxes_are_where_the_faces_are(review: Review) -> None:
    """On a picture with bars beside it; solid at a sighting, dashed between, none where none is."""
    stage = review.video.bounding_box()
    assert stage is not None
    shown = stage["height"] * 320 / 240
    left = (stage["width"] - shown) / 2
    assert left > 50
    for seconds, exact, share in ((2.16, True, 9 / 32), (2.28, False, 9.5 / 32)):
        review.ask("seconds => window.review.player.seek(seconds)", seconds)
        first = review.drawn()[0]
        assert first["exact"] is exact
        x, y, width, height = first["place"]
        assert x == pytest.approx(left + (0.1 + 0.2 * share) * shown, abs=1)
        assert y == pytest.approx(0.30 * stage["height"], abs=1)
        assert width == pytest.approx(0.15 * shown, abs=1)
        assert height == pytest.approx(0.25 * stage["height"], abs=1)
        assert len(review.drawn()) == 2
    review.ask("window.review.player.seek(8.0)")
    assert review.drawn() == []


def painted(review: Review) -> list[int]:
    """The overlay's colour in the middle of the left side of the first box."""
    x, y, _, height = review.drawn()[0]["place"]
    found: list[int] = review.ask(
        """([x, y]) => {
          const { canvas, context } = window.review.player;
          const ratio = canvas.width / canvas.clientWidth;
          return [...context.getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data];
        }""",
        [x, y + height / 2],
    )
    return found


def test_a_box_has_the_colour_of_its_bar_and_card(review: Review) -> None:
    review.click(*review.bar(2))
    red, green, blue, _ = painted(review)
    colour = f"rgb({red}, {green}, {blue})"
    assert colour == "rgb(173, 46, 219)"  # of the number 3
    card = review.page.locator(".card")
    assert card.evaluate("card => getComputedStyle(card).borderTopColor") == colour
    x, y = review.bar(2)
    bar = review.ask(
        """([x, y]) => {
          const { layer } = window.review.timeline;
          return [...layer.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
        }""",
        [round(x) + 20, round(y)],
    )
    assert bar == [red, green, blue]


def test_boxes_can_be_off_and_without_names(review: Review) -> None:
    review.click(*review.bar(0))
    review.ask(COUNT_CALLS)
    review.rest()
    assert review.ask(WORDS_OF_A_REDRAW) == 1
    review.page.get_by_label("Boxes").select_option("faces")
    assert review.ask(WORDS_OF_A_REDRAW) == 0
    assert len(review.drawn()) == 1
    review.page.get_by_label("Boxes").select_option("off")
    assert review.drawn() == []


def test_boxes_follow_the_video_as_it_plays(review: Review) -> None:
    review.video.evaluate("video => { video.muted = true; video.playbackRate = 2; video.play(); }")
    wait_for(lambda: review.place() > 3, what="the video to play")
    seconds, drawn = review.ask("[window.review.player.drawnAt, window.review.player.drawn.length]")
    assert seconds == pytest.approx(review.place(), abs=0.5)
    assert drawn == 2
    review.key("Escape")
    assert review.told() == []


def test_more_boxes_than_an_answer_may_have_are_asked_for_in_parts(
    browser: Browser, served: ReviewServer
) -> None:
    served.most_rows = 40
    with reviewed(browser, served) as review:
        review.open()
        assert review.ask("window.review.player.seek(8.64)") is None
        wait_for(lambda: len(review.drawn()) == 1, what="the box")
        assert any("start_s=0&end_s=10" in one for one in served.asked)
        assert review.page.locator(".live").inner_text() == ""
        assert review.tab.forgive("status of 422") < 5  # which the browser itself notes


def test_windows_of_boxes_are_kept_within_bounds(browser: Browser, clip: Path) -> None:
    with review_server(long_run(), clip) as server, reviewed(browser, server) as review:
        review.open()
        script = """async () => {
          const { boxes } = window.review;
          for (let n = 0; n < 60; n += 1) {
            boxes.want(n * 100);
            while (boxes.coming.size > 0) await Promise.all(boxes.coming.values());
          }
          return [boxes.windows.size, boxes.at(59 * 100) !== null];
        }"""
        size, there = review.ask(script)
        assert size <= 12
        assert there


# By hand.


def test_the_wheel_zooms_and_lets_go_at_the_ends(review: Review) -> None:
    box = review.canvas.bounding_box()
    assert box is not None
    x = review.x_of(8.0)
    review.page.mouse.move(box["x"] + x, box["y"] + 60)
    review.page.mouse.wheel(0, -300)
    wait_for(lambda: review.view()[1] - review.view()[0] < 16, what="the timeline to be zoomed")
    assert review.x_of(8.0) == pytest.approx(x, abs=1)
    assert review.ask("window.scrollY") == 0
    for _ in range(4):
        review.page.mouse.wheel(0, 400)
    wait_for(lambda: review.view() == (0, 24), what="the whole to be in sight")
    review.page.mouse.wheel(0, 400)
    wait_for(lambda: review.ask("window.scrollY") > 100, what="the page to be scrolled")


def test_with_ctrl_the_wheel_never_zooms_the_page(review: Review) -> None:
    prevented = """deltaY => {
      const canvas = window.review.timeline.canvas;
      const how = { deltaY, ctrlKey: true, clientX: 300, cancelable: true };
      const wheel = new WheelEvent("wheel", how);
      canvas.dispatchEvent(wheel);
      return wheel.defaultPrevented;
    }"""
    assert review.ask(prevented, 50)
    assert review.view() == (0, 24)
    assert review.ask(prevented, -50)
    assert review.view() != (0, 24)


def test_dragging_moves_the_timeline_and_seeks_nothing(review: Review) -> None:
    review.ask("window.review.timeline.setView({ start: 4, end: 12 })")
    box = review.canvas.bounding_box()
    assert box is not None
    review.page.mouse.move(box["x"] + 800, box["y"] + 100)
    review.page.mouse.down()
    review.page.mouse.move(box["x"] + 600, box["y"] + 100, steps=4)
    review.page.mouse.up()
    start, end = review.view()
    assert start == pytest.approx(4 + 8 * 200 / box["width"], abs=0.01)
    assert end - start == pytest.approx(8)
    assert review.place() == 0


def test_dragging_on_the_ruler_scrubs(review: Review) -> None:
    box = review.canvas.bounding_box()
    assert box is not None
    review.page.mouse.move(box["x"] + review.x_of(3), box["y"] + 8)
    review.page.mouse.down()
    assert review.number() == pytest.approx(75, abs=1)
    for seconds in (5, 9, 14, 20.02):
        review.page.mouse.move(box["x"] + review.x_of(seconds), box["y"] + 8)
    assert review.number() == pytest.approx(500, abs=1)
    review.page.mouse.up()
    assert review.view() == (0, 24)


def test_two_fingers_zoom(browser: Browser, served: ReviewServer) -> None:
    with reviewed(browser, served) as review:
        review.open()
        touch = """(points) => {
          const { canvas } = window.review.timeline;
          const box = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => {};
          for (const [type, id, x] of points) {
            canvas.dispatchEvent(new PointerEvent(type, { pointerId: id, pointerType: "touch",
              clientX: box.left + x, clientY: box.top + 60, bubbles: true }));
          }
        }"""
        review.ask(touch, [["pointerdown", 1, 400], ["pointerdown", 2, 600]])
        review.ask(touch, [["pointermove", 1, 300], ["pointermove", 2, 700]])
        review.ask(touch, [["pointerup", 1, 300], ["pointerup", 2, 700]])
        start, end = review.view()
        assert end - start == pytest.approx(12, abs=0.1)
        assert review.place() == 0


def test_pointing_at_a_bar_shows_its_face(review: Review) -> None:
    x, y = review.bar(2)
    review.canvas.hover(position={"x": x, "y": y})
    tip = review.page.locator(".tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("Track 3")
    expect(tip).to_contain_text("0:08.2 – 0:15.6")
    expect(tip).to_contain_text("On screen 7.7 ± 0.1 s")
    wait_for(lambda: tip.locator("img").evaluate("one => one.naturalWidth") == 96, what="the face")
    box, inside = tip.bounding_box(), review.box.bounding_box()
    assert box is not None
    assert inside is not None
    assert inside["x"] <= box["x"]
    assert box["x"] + box["width"] <= inside["x"] + inside["width"]
    review.canvas.hover(position={"x": x, "y": 5})
    expect(tip).to_be_hidden()


# By keys.


@pytest.fixture
def focused(review: Review) -> Review:
    review.canvas.focus()
    return review


def test_frames_by_keys(focused: Review) -> None:
    focused.ask("window.review.player.seek(2)")
    assert focused.number() == 50
    for key, number in ((".", 51), (".", 52), (",", 51), (",", 50), (",", 49)):
        focused.key(key)
        wait_for(lambda number=number: focused.number() == number, what=f"frame {number}")


def test_space_and_k_play_and_pause(focused: Review) -> None:
    focused.video.evaluate("video => { video.muted = true; }")
    focused.key(" ")
    wait_for(lambda: focused.place() > 0.2, what="the video to play")
    focused.key("k")
    wait_for(lambda: focused.video.evaluate("video => video.paused"), what="a pause")
    assert focused.ask("window.scrollY") == 0
    # The video's own control would undo what the key has done.
    focused.video.focus()
    focused.key(" ")
    focused.page.wait_for_timeout(200)
    assert not focused.video.evaluate("video => video.paused")


def test_j_and_l_jump_and_change_the_speed(focused: Review) -> None:
    focused.key("l")
    assert focused.number() == 250
    focused.key("l", "l")
    assert focused.number() == pytest.approx(24 * FPS - 1, abs=1)
    focused.key("j")
    assert focused.place() == pytest.approx(14, abs=0.1)
    focused.key("Shift+L", "Shift+L")
    assert focused.video.evaluate("video => video.playbackRate") == 1.5
    expect(focused.page.locator(".rate")).to_contain_text("1.50")
    focused.key("Shift+J", "Shift+J", "Shift+J")
    assert focused.video.evaluate("video => video.playbackRate") == 0.75


def test_arrows_go_to_sightings_of_the_picked_track(focused: Review) -> None:
    focused.click(*focused.bar(1))
    times = focused.server.run.tracks[1].times
    for number, key in ((1, "ArrowRight"), (2, "ArrowRight"), (1, "ArrowLeft"), (0, "ArrowLeft")):
        focused.key(key)
        want = round(times[number] * FPS)
        wait_for(lambda want=want: focused.number() == want, what=f"sighting {number}")
    focused.key("ArrowLeft")
    expect(focused.page.locator(".live")).to_have_text("There is no earlier sighting.")


def test_arrows_go_to_samples_with_a_face_where_no_track_is_picked(focused: Review) -> None:
    focused.ask("window.review.player.seek(7.68)")
    focused.rest()
    for key, number in (("ArrowRight", 204), ("ArrowRight", 210), ("ArrowLeft", 204)):
        focused.key(key)
        wait_for(lambda number=number: focused.number() == number, what=f"frame {number}")
    focused.key("ArrowLeft")
    wait_for(lambda: focused.number() == 192, what="the last sample of the shot before")


def test_arrows_look_in_windows_that_are_not_here_yet(focused: Review) -> None:
    focused.click(*focused.bar(4))
    focused.ask("window.review.player.seek(20.3)")
    focused.rest()
    for key, number in (("ArrowLeft", 504), ("ArrowLeft", 498), ("ArrowRight", 504)):
        focused.ask("window.review.boxes.windows.clear()")
        focused.key(key)
        wait_for(lambda number=number: focused.number() == number, what=f"frame {number}")


def test_n_and_p_go_from_track_to_track(focused: Review) -> None:
    shown = []
    for key in ("n", "n", "n", "p", "n", "n", "n"):
        focused.key(key)
        shown.append(focused.ask("window.review.picked"))
    assert shown == [1, 2, 3, 2, 3, 4, 4]
    expect(focused.page.locator(".live")).to_have_text("There is no later track.")
    assert focused.number() == round(16.08 * FPS)


def test_a_range_is_set_and_cleared(focused: Review) -> None:
    focused.ask("window.review.player.seek(2)")
    focused.key("i")
    focused.ask("window.review.player.seek(5.5)")
    focused.key("o")
    shown = focused.page.locator(".range")
    expect(shown).to_have_text("0:02.0 – 0:05.5 (3.5 s)")
    focused.click(*focused.bar(0))
    focused.key("Escape")
    expect(shown).to_have_text("")
    assert focused.ask("window.review.picked") == 0
    focused.key("Escape")
    assert focused.ask("window.review.picked") == -1
    expect(focused.page.locator(".card strong")).to_have_text("No track is picked")


def test_zoom_by_keys(focused: Review) -> None:
    focused.key("+", "+")
    start, end = focused.view()
    assert end - start == pytest.approx(6)
    focused.key("-")
    start, end = focused.view()
    assert end - start == pytest.approx(12)
    focused.key("0")
    assert focused.view() == (0, 24)


def test_help_is_a_dialog_that_escape_closes(focused: Review) -> None:
    focused.click(*focused.bar(0))
    focused.key("?")
    dialog = focused.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    for key in ("Space", "J", "←", "N", "I", "?"):
        expect(dialog.get_by_text(key, exact=True).first).to_be_visible()
    inside = "window.review.parts.help.contains(window.review.root.getRootNode().activeElement)"
    for _ in range(4):
        focused.key("Tab")
        outside = focused.ask("document.activeElement === document.body")
        assert focused.ask(inside) or outside  # the browser's own bar is between
    focused.key("n")
    assert focused.ask("window.review.picked") == 0
    focused.key("Escape")
    expect(dialog).to_be_hidden()
    assert focused.ask("window.review.picked") == 0
    assert focused.ask("window.review.root.getRootNode().activeElement.tagName") == "CANVAS"


def test_keys_of_other_places_are_left_alone(review: Review) -> None:
    review.ask("document.body.focus()")
    review.key("n")
    assert review.ask("window.review.picked") == -1
    review.page.get_by_label("Boxes").focus()
    review.key("n")
    assert review.ask("window.review.picked") == -1
    review.page.get_by_role("button", name="The next track").focus()
    review.key(" ")
    assert review.ask("window.review.picked") == 1
    assert review.video.evaluate("video => video.paused")


def test_the_timeline_tells_where_it_is(focused: Review) -> None:
    slider = focused.page.get_by_role("slider", name="Timeline")
    focused.click(*focused.bar(1))
    focused.rest()
    expect(slider).to_have_attribute("aria-valuetext", "0:01.9, shot 1, 2 faces")
    expect(slider).to_have_attribute("aria-valuenow", "1.92")
    expect(slider).to_have_attribute("aria-valuemax", "24")
    expect(focused.page.locator(".live")).to_have_text(
        "Track 2, 0:01.9 to 0:05.8, on screen 4.1 ± 0.1 s"
    )


def test_all_can_be_reached_by_tab(review: Review) -> None:
    names = """() => {
      const active = window.review.root.getRootNode().activeElement;
      return active === null ? "" : active.getAttribute("aria-label") ?? active.className;
    }"""
    reached = set()
    for _ in range(40):
        review.key("Tab")
        reached.add(review.ask(names))
    assert {"The episode", "Boxes", "The track before", "Zoom in", "Keys", "Timeline"} <= reached


# With the page around it.


def test_its_place_is_told_when_the_video_rests_only(review: Review) -> None:
    review.video.evaluate("video => { video.muted = true; video.play(); }")
    wait_for(lambda: review.place() > 1, what="the video to play")
    assert review.told() == []
    review.video.evaluate("video => video.pause()")
    wait_for(lambda: len(review.told()) == 1, what="its place")
    assert review.told()[0]["track"] is None
    assert review.told()[0]["t"] == pytest.approx(review.place(), abs=0.05)
    review.canvas.focus()
    review.key("n", "n", "p", "n", "n")
    wait_for(lambda: len(review.told()) == 2, what="the track")
    assert review.told()[1] == {"track": "track-00004", "t": 9.84}


def test_drawn_again_it_stays_one(review: Review) -> None:
    review.click(*review.bar(2))
    review.ask("window.first = window.review; window.before = window.cleanUp; window.draw()")
    review.ask("window.before()")  # Streamlit lets go of the draw before
    assert review.ask("window.first === window.review && window.review.picked") == 2
    review.canvas.focus()
    review.key("n")
    assert review.ask("window.review.picked") == 3
    review.ask("window.cleanUp()")  # of the last draw, which none follows
    expect(review.video).not_to_have_attribute("src", re.compile(""))


def test_a_video_that_no_browser_plays_is_made_playable(
    browser: Browser, served: ReviewServer
) -> None:
    served.ready = False
    with reviewed(browser, served) as review:
        review.page.goto(served.url)
        expect(review.page.locator(".notice")).to_contain_text("No browser plays MPEG-2.")
        review.page.get_by_role("button", name="Make it playable").click()
        expect(review.page.get_by_role("button", name="Stop")).to_be_visible()
        bar = review.page.locator(".notice progress")
        wait_for(lambda: (bar.get_attribute("value") or "0") >= "0.4", what="progress")
        review.page.wait_for_function("window.review.player.video.readyState >= 2")
        expect(review.page.locator(".notice")).to_be_hidden()
        assert any(one.startswith("GET made/playable/file") for one in served.asked)


def test_making_it_ends_with_the_stop_button(browser: Browser, served: ReviewServer) -> None:
    served.ready = False
    with reviewed(browser, served) as review:
        review.page.goto(served.url)
        review.page.get_by_role("button", name="Make it playable").click()
        review.page.get_by_role("button", name="Stop").click()
        expect(review.page.locator(".notice")).to_contain_text("It was stopped.")
        assert served.left.wait(5)
        assert not served.making.is_set()


def test_tracks_that_do_not_come_are_a_sentence(browser: Browser, served: ReviewServer) -> None:
    served.broken.add("review")
    with tab(browser, served.url) as opened:
        opened.page.goto(served.url)
        notice = opened.page.locator(".notice")
        expect(notice).to_contain_text("It broke. Mend it.")
        served.broken.clear()
        opened.page.get_by_role("button", name="Try again").click()
        opened.page.wait_for_function("window.review?.tracks !== undefined")
        expect(notice).to_be_hidden()
        assert opened.forgive("status of 500") == 1


def test_a_video_that_is_none_is_a_sentence(
    browser: Browser, served: ReviewServer, tmp_path: Path, clip: Path
) -> None:
    served.video = tmp_path / "notes.mp4"
    served.video.write_text("This is no video.\n" * 100)
    with reviewed(browser, served) as review:
        review.page.goto(served.url)
        notice = review.page.locator(".notice")
        expect(notice).to_contain_text("The browser cannot play this video.")
        served.video = clip
        review.page.get_by_role("button", name="Try again").click()
        review.page.wait_for_function("window.review.player.video.readyState >= 2")
        expect(notice).to_be_hidden()


def test_another_run_takes_the_place_of_the_one_before(review: Review) -> None:
    review.click(*review.bar(1))
    review.canvas.focus()
    review.key("i")
    review.ask("window.draw({ run: '/files/episodes/made/runs/r2' })")
    review.page.wait_for_function("window.review.tracks !== undefined")
    assert review.ask("window.review.picked") == -1
    expect(review.page.locator(".range")).to_have_text("")
    assert any("runs/r2/review" in one for one in review.server.asked)
    review.click(*review.bar(2))
    assert review.number() == 204


def test_how_long_a_click_takes_to_be_seen(review: Review) -> None:
    """Measured, not judged."""
    took = []
    for place in (2, 4, 0, 1, 3, 2):
        x, y = review.bar(place)
        took.append(
            review.ask(
                """([x, y]) => new Promise(done => {
                  const { canvas } = window.review.timeline;
                  const box = canvas.getBoundingClientRect();
                  canvas.setPointerCapture = () => {};
                  const began = performance.now();
                  window.review.player.video.requestVideoFrameCallback(
                    () => done(performance.now() - began));
                  for (const type of ["pointerdown", "pointerup"]) {
                    canvas.dispatchEvent(new PointerEvent(type, { pointerId: 1, button: 0,
                      clientX: box.left + x, clientY: box.top + y }));
                  }
                })""",
                [x, y],
            )
        )
        review.rest()
    print(f"click to frame: {sorted(round(one) for one in took)} ms")
    note_figure("review, ms from click to frame", sorted(took)[len(took) // 2])


def test_a_run_without_tracks_can_be_looked_at(browser: Browser, clip: Path) -> None:
    with (
        review_server(MadeRun(24.0, 6, [], []), clip) as server,
        reviewed(browser, server) as review,
    ):
        review.open()
        review.canvas.focus()
        review.key("n", "ArrowRight", "i", "+", "0", "ArrowDown", "l")
        assert review.number() == 250
        expect(review.page.locator(".card strong")).to_have_text("No faces were found")
        expect(review.page.locator(".count")).to_have_text("0 tracks")
        expect(review.page.get_by_role("button", name="Download as CSV")).to_be_disabled()


# Three hours and 5,000 tracks.


@pytest.fixture(scope="module")
def long_review(browser: Browser, clip: Path) -> Iterator[Review]:
    with review_server(long_run(), clip) as server, reviewed(browser, server) as found:
        found.open()
        found.ask(COUNT_CALLS)
        yield found


def test_the_work_of_a_redraw_has_a_bound(long_review: Review) -> None:
    """Whatever is in sight: a bar a pixel and lane at most, and most often far less."""
    run = long_review.server.run
    lanes = long_review.ask("window.review.tracks.lanes.length")
    assert lanes >= 20
    width = long_review.ask("window.review.timeline.width")
    for span in (10800, 3600, 600, 60, 5):
        redraw = long_review.ask(
            REDRAW, [5000 - span / 2, 5000 + span / 2] if span < 10800 else [0, span]
        )
        view = long_review.view()
        in_sight = sum(one.start_s <= view[1] and one.end_s >= view[0] for one in run.tracks)
        assert redraw["visited"] <= in_sight
        assert redraw["visited"] <= lanes * (width + 2)
        # The strip has a rectangle a pixel at most, cuts one each four pixels.
        assert redraw["calls"] <= redraw["visited"] + 1.25 * width + 200
        note_figure(f"review redraw, ms, {span} s in sight", redraw["ms"])
        print(f"{span} s in sight: {in_sight} tracks, {redraw}")


def test_all_lanes_in_sight_keep_the_bound(long_review: Review) -> None:
    long_review.page.set_viewport_size({"width": 1366, "height": 2400})
    long_review.ask("window.review.root.style.gridTemplateRows = '200px auto 1fr'")
    long_review.ask("window.review.root.style.height = '1800px'")
    long_review.page.wait_for_timeout(100)
    redraw = long_review.ask(REDRAW, [0, 10800])
    assert 2000 < redraw["visited"] <= 5000
    print(f"all lanes, 3 h in sight: {redraw}")
    note_figure("review redraw, ms, all lanes", redraw["ms"])


def test_a_playing_video_moves_the_playhead_alone(long_review: Review) -> None:
    layers = "window.review.timeline.stats.layers"
    long_review.ask(REDRAW, [0, 10800])
    before = long_review.ask(layers)
    for seconds in range(5):
        long_review.ask("at => window.review.timeline.setPlayhead(at, true)", seconds)
        redraw = long_review.ask(REDRAW)
        assert redraw["calls"] <= 5
        print(f"playhead alone: {redraw}")
    assert long_review.ask(layers) == before


def test_sixty_zooms_are_sixty_redraws(long_review: Review) -> None:
    """Measured, not judged: how long the browser takes for a second of zooming."""
    took = long_review.ask(
        """async () => {
          const { timeline } = window.review;
          timeline.fit();
          const times = [];
          for (let n = 0; n < 60; n += 1) {
            timeline.zoom(n < 30 ? 0.85 : 1 / 0.85, 5000);
            await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
            times.push(timeline.stats.ms);
          }
          times.sort((a, b) => a - b);
          return [times[30], times[57]];
        }"""
    )
    print(f"redraws while zooming: median {took[0]:.2f} ms, 95th of 100 {took[1]:.2f} ms")
    note_figure("review redraw while zooming, ms, median", took[0])


# To be looked at.


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 400])
def test_pictures_for_people(
    browser: Browser, served: ReviewServer, theme: str, width: int, tmp_path: Path
) -> None:
    with reviewed(browser, served, width) as review:
        review.open(f"?theme={theme}")
        review.click(*review.bar(1))
        review.key("ArrowRight", "i", "l", "o", "j")
        review.rest()
        screenshot(review.page, f"review-{theme}-{width}", tmp_path)
        x, y = review.bar(2)
        review.canvas.hover(position={"x": x, "y": y})
        expect(review.page.locator(".tip")).to_be_visible()
        screenshot(review.page, f"review-{theme}-{width}-tip", tmp_path)
        review.key("?")
        screenshot(review.page, f"review-{theme}-{width}-help", tmp_path)


def screenshot(page: Page, name: str, otherwise: Path) -> None:
    folder = os.environ.get("SCREENALYTICS_SCREENSHOTS")
    page.screenshot(path=Path(folder or otherwise, f"{name}.png"))
