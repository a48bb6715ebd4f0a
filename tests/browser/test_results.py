"""Looking at a run in a browser: video, timeline, tracks, files, and how it ran."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, expect

from lab.processes.service import wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab, tab

FOLDER = os.environ.get("SCREENALYTICS_SCREENSHOTS")
HAVE_CURRENT_DATA = 2  # of a video's readyState

_CUT_OFF = """figures => figures.flatMap(figure => [...figure.querySelectorAll('*')])
  .filter(part => part.clientWidth > 0 && part.scrollWidth > part.clientWidth + 1)
  .map(part => part.innerText)"""
_REVIEW = """root => {
  const { player, timeline, tracks, picked } = root.screenalytics;
  return { goal: player.goal, seeking: player.video.seeking, time: player.time, picked };
}"""
# Where the bar of a track is, on the timeline's canvas.
_BAR = """(root, id) => {
  const { timeline, tracks } = root.screenalytics;
  const place = tracks.byId.get(id);
  const x = timeline.xOf((tracks.start[place] + tracks.end[place]) / 2);
  for (let y = 0; y < timeline.height; y += 2) {
    if (timeline.barAt(x, y) === place) return { x, y: y + 1 };
  }
  return null;
}"""


@contextmanager
def results_of(browser: Browser, product: Product, shown_run: str) -> Iterator[Tab]:
    with tab(browser, product.page_url) as opened:
        opened.open(f"/results?episode={DEMO}&run={shown_run}")
        opened.see("Take away")
        opened.settle()
        yield opened


@pytest.fixture(scope="module")
def results(browser: Browser, product: Product, shown_run: str) -> Iterator[Tab]:
    """For those who only look: they share it."""
    with results_of(browser, product, shown_run) as opened:
        yield opened


@pytest.fixture
def own_results(browser: Browser, product: Product, shown_run: str) -> Iterator[Tab]:
    with results_of(browser, product, shown_run) as opened:
        yield opened


def review(tab: Tab) -> Locator:
    """The component, once its video and tracks are there."""
    found = tab.page.locator(".review[data-tracks]")
    found.wait_for()
    video = tab.page.locator("video")
    wait_for(
        lambda: video.evaluate("video => video.readyState") >= HAVE_CURRENT_DATA,
        what="the video's first picture",
    )
    return found


def at(tab: Tab) -> float:
    """Seconds of the frame that is shown, once no seek is on."""
    found = review(tab)

    def still() -> bool:
        state = found.evaluate(_REVIEW)
        return state["goal"] is None and not state["seeking"]

    wait_for(still, what="the video to rest")
    return float(found.evaluate(_REVIEW)["time"])


def wait_for_place(tab: Tab, start_s: float) -> None:
    """Exactly: times are told with three decimals."""
    wait_for(lambda: abs(at(tab) - start_s) < 0.001, what=f"the video to be at {start_s} s")


def click_bar(tab: Tab, track_id: str) -> None:
    place = review(tab).evaluate(_BAR, track_id)
    assert place is not None
    tab.page.locator(".timeline canvas").click(position=place)


def tracks(product: Product, run_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/episodes/{DEMO}/runs/{run_id}/tracks"
    items: list[dict[str, Any]] = product.server.client.get(path, params=query).json()["items"]
    return items


def test_the_episode_plays_with_boxes(own_results: Tab, product: Product, shown_run: str) -> None:
    found = review(own_results)
    video = own_results.page.locator("video")
    assert "/files/episodes/" in video.evaluate("video => video.currentSrc")
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [1280, 720]
    assert video.evaluate("video => video.duration") == pytest.approx(20.0, abs=0.1)
    video.evaluate("video => { video.muted = true; return video.play(); }")
    drawn = "root => root.screenalytics.player.drawn.length"
    wait_for(lambda: found.evaluate(drawn) > 0, what="boxes")
    wait_for(lambda: found.evaluate(_REVIEW)["time"] > 1, what="the video to play")
    video.evaluate("video => video.pause()")


def test_the_review_has_the_tracks_and_cuts(results: Tab, product: Product, shown_run: str) -> None:
    expected = len(tracks(product, shown_run))
    assert expected > 20
    expect(review(results)).to_have_attribute("data-tracks", str(expected))
    assert review(results).evaluate("root => root.screenalytics.tracks.cuts.length") == 7


def test_pointing_at_a_track_shows_its_face(results: Tab, product: Product, shown_run: str) -> None:
    place = review(results).evaluate(_BAR, tracks(product, shown_run)[4]["track_id"])
    results.page.locator(".timeline canvas").hover(position=place)
    tip = results.page.locator(".tip")
    tip.wait_for()
    face = tip.locator("img")
    wait_for(lambda: face.evaluate("image => image.naturalWidth") > 0, what="the face")
    results.picture("results-track-pointed-at")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1366, 768), (400, 800)])
def test_video_and_timeline_are_seen_whole(
    own_results: Tab, width: int, height: int, dark: bool
) -> None:
    own_results.look(width, dark=dark)
    own_results.page.set_viewport_size({"width": width, "height": height})
    own_results.settle()
    found = review(own_results)
    if width < 1000:
        found.evaluate("root => root.scrollIntoView()")

    def seen_whole() -> list[FloatRect]:
        """Where video and timeline are; nothing while one is not, since the page still grows."""
        parts = map(own_results.page.locator, ("video", ".timeline canvas"))
        boxes = [part.bounding_box() for part in parts]
        whole = [box for box in boxes if box and 0 <= box["y"] <= height - box["height"]]
        return whole if len(whole) == 2 else []

    video, timeline = wait_for(seen_whole, what="the video and the timeline, whole")
    assert video["y"] < timeline["y"]
    assert min(video["height"], timeline["height"]) > 100
    if FOLDER is not None:
        name = f"results-{width}-{'dark' if dark else 'light'}"
        own_results.page.screenshot(path=Path(FOLDER, f"{name}.png"))
        own_results.picture(f"{name}-whole")


def test_how_it_ran_is_asked_for_when_it_is_opened(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    """Its figures are not cut off on a small screen, and its histograms count all faces."""
    page = own_results.page
    page.set_viewport_size({"width": 1366, "height": 768})
    review(own_results)
    figures, drawn = page.get_by_test_id("stMetric"), page.get_by_test_id("stVegaLiteChart")
    assert figures.count() == drawn.count() == 0
    own_results.unfold("How it ran")
    expect(drawn).to_have_count(3)
    own_results.settle()
    rows = {box["y"] for figure in figures.all() if (box := figure.bounding_box()) is not None}
    assert len(rows) == 1
    assert figures.evaluate_all(_CUT_OFF) == []
    charts = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}/charts").json()
    for place, bins in ((1, charts["confidence"]), (2, charts["face_size"])):
        shapes = drawn.nth(place).locator("g.mark-rect.role-mark path")
        expect(shapes).to_have_count(len(bins))
    own_results.see("Using CPUExecutionProvider")  # of its log
    own_results.picture("results-how-it-ran")


def test_a_click_on_a_track_shows_its_first_sighting(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    late = [row for row in tracks(product, shown_run) if row["start_s"] > 5]
    for row in (late[-1], late[0], late[0]):
        click_bar(own_results, row["track_id"])
        wait_for_place(own_results, row["start_s"])
        review(own_results).evaluate("root => root.screenalytics.player.seek(2)")
        wait_for_place(own_results, 2)


def test_a_face_and_a_row_move_the_video_there_again_and_again(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    longest = tracks(product, shown_run, sort="length", descending=True)
    late = [row for row in longest[:12] if row["start_s"] > 2]
    page = own_results.page
    review(own_results)
    for row, where in ((late[0], ".face"), (late[1], ".rows tr")):
        place = review(own_results).evaluate(
            "(root, id) => root.screenalytics.tracks.byId.get(id)", row["track_id"]
        )
        shown = page.locator(f"{where}[data-place='{place}']")
        for _ in range(2):
            shown.click()
            wait_for_place(own_results, row["start_s"])
            expect(page.locator("video")).to_be_in_viewport(ratio=1)
            own_results.settle()
            review(own_results).evaluate("root => root.screenalytics.player.seek(1)")
            wait_for_place(own_results, 1)
        expect(shown).to_have_attribute("aria-current", "true")


def test_what_is_found_agrees_with_the_api(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    """The table with its filter, the timeline and the faces, and a list of the server's."""
    page = own_results.page
    review(own_results)
    whole = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}/review").json()
    share = round(100 * whole["with_faces_s"] / whole["length_s"])
    expect(page.locator(".found .seen")).to_have_text(f"Faces are seen in {share}% of 0:20")
    page.get_by_label("Seconds on screen, at least").fill("0.8")
    page.get_by_label("Mean confidence, at least").fill("0.6")
    page.get_by_label("Seen before this time").fill("0:12")
    wanted = {"min_screen_s": 0.8, "min_confidence": 0.6, "to_s": 12}
    order = {"sort": "length", "descending": True}
    expected = [row["track_id"] for row in tracks(product, shown_run, **wanted, **order)]
    total = len(whole["tracks"]["id"])
    assert 3 < len(expected) < total
    expect(page.locator(".found .count")).to_have_text(f"{len(expected)} of {total} tracks")
    named = page.locator(".face img")
    expect(named).to_have_count(min(24, len(expected)))
    faces: list[str] = named.evaluate_all("faces => faces.map(face => face.alt)")
    numbers = [str(int(name.removeprefix("track-"))) for name in expected]
    assert sorted(face.removeprefix("Face of track ") for face in faces) == sorted(numbers[:24])
    own_results.picture("results-filtered")


def test_nothing_is_drawn_anew_while_the_video_plays(own_results: Tab) -> None:
    found = review(own_results)
    calls = "root => root.screenalytics.calls"
    own_results.page.locator("video").evaluate(
        "video => { video.muted = true; video.currentTime = 0; return video.play(); }"
    )
    wait_for(lambda: found.evaluate(_REVIEW)["time"] > 0.3, what="the video to play")
    before = found.evaluate(calls)
    wait_for(lambda: found.evaluate(_REVIEW)["time"] > 3, what="the video to play on")
    assert found.evaluate(calls) == before


def test_every_face_is_there(own_results: Tab) -> None:
    review(own_results)
    faces = own_results.page.locator(".face img")
    faces.last.scroll_into_view_if_needed()
    loaded = "faces => faces.every(face => face.naturalWidth > 0)"
    wait_for(lambda: faces.evaluate_all(loaded), what="all faces")


FILES = {
    "Tracks (JSONL)": ".tracks.jsonl",
    "Detections (JSONL)": ".detections.jsonl",
    "CSV": ".csv",
    "MOT": ".mot.txt",
    "COCO": ".coco.json",
    "CVAT (XML)": ".cvat.xml",
    "Log": ".log",
}


def test_downloads(results: Tab, product: Product, shown_run: str, tmp_path: Path) -> None:
    found: dict[str, str] = {}
    for label, ending in FILES.items():
        link = results.page.get_by_role("link", name=label, exact=True)
        with results.page.context.expect_event("download") as coming:
            link.click()
        assert coming.value.suggested_filename == f"{DEMO}_{shown_run}{ending}"
        coming.value.save_as(tmp_path / label)
        found[label] = (tmp_path / label).read_text()
    faces = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}").json()["result"]
    assert len(found["Tracks (JSONL)"].splitlines()) == faces["tracks"]
    assert len(found["Detections (JSONL)"].splitlines()) == faces["detections"]
    assert len(found["CSV"].splitlines()) == faces["detections"] + 1
    assert len(json.loads(found["COCO"])["annotations"]) == faces["detections"]
    assert all(len(line.split(",")) == 10 for line in found["MOT"].splitlines())
    assert found["CVAT (XML)"].count('outside="0"') == len(found["MOT"].splitlines())
    assert "Using CPUExecutionProvider" in found["Log"]
    preview = results.page.get_by_role("link", name="Preview video", exact=True)
    with results.page.context.expect_event("download") as coming:
        preview.click()
    assert coming.value.suggested_filename == f"{DEMO}_{shown_run}.preview.mp4"
    coming.value.save_as(tmp_path / "preview.mp4")
    assert (tmp_path / "preview.mp4").read_bytes()[4:8] == b"ftyp"


def test_people_are_taken_away_where_a_run_has_them(
    one_tab: Tab, product: Product, tmp_path: Path
) -> None:
    run_id = product.run("talk", stride=12, people=True)
    one_tab.open(f"/results?episode=talk&run={run_id}")
    people = product.server.client.get(f"/episodes/talk/runs/{run_id}/people").json()["total"]
    for label, ending in (("People (CSV)", "people.csv"), ("Timeline (OTIO)", "otio")):
        with one_tab.page.context.expect_event("download") as coming:
            one_tab.page.get_by_role("link", name=label, exact=True).click()
        assert coming.value.suggested_filename == f"talk_{run_id}.{ending}"
        coming.value.save_as(tmp_path / ending)
    assert len((tmp_path / "people.csv").read_text().splitlines()) == people + 1 > 1
    assert json.loads((tmp_path / "otio").read_text())["OTIO_SCHEMA"] == "Timeline.1"


def test_a_preview_is_made_when_it_is_wanted(one_tab: Tab, product: Product) -> None:
    run_id = product.run("talk", stride=12)
    one_tab.open(f"/results?episode=talk&run={run_id}")
    one_tab.see("This run has no preview video")
    one_tab.settle()
    one_tab.button("Make the preview")
    one_tab.see("Making the preview video")
    link = one_tab.page.get_by_role("link", name="Preview video", exact=True)
    link.wait_for()
    one_tab.lose("This run has no preview video")
    preview = product.server.client.get(f"/episodes/talk/runs/{run_id}/preview")
    assert preview.status_code == 200


def test_what_slowed_a_run_stands_above_its_figures(one_tab: Tab, product: Product) -> None:
    run_id = product.run("talk", stride=30, det_size=1280)
    one_tab.open(f"/results?episode=talk&run={run_id}")
    one_tab.see("Take away")
    one_tab.unfold("How it ran")
    one_tab.see("The detector's picture is larger than the 640 that suits the device.")
    problem = one_tab.page.get_by_test_id("stAlert").filter(has_text="larger than the 640")
    figures = one_tab.page.get_by_test_id("stMetric").first
    above, below = problem.bounding_box(), figures.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] < below["y"]
    one_tab.picture("results-problem")


def test_a_run_that_was_stopped_has_no_results(one_tab: Tab, product: Product) -> None:
    client = product.server.client
    body = {"ep_id": "talk", "stride": 1, "fps": 1000, "max_cpu_percent": 10}
    run_id = client.post("/jobs/detect_track", json=body).json()["run_id"]
    wait_for(
        lambda: client.get(f"/episodes/talk/runs/{run_id}").status_code == 200, what="its manifest"
    )
    assert client.post(f"/episodes/talk/runs/{run_id}/cancel").status_code == 200
    one_tab.open(f"/results?episode=talk&run={run_id}")
    one_tab.see("This run was cancelled; it has no results.")
    expect(one_tab.page.get_by_test_id("stAlert")).to_have_count(2)  # and why
    one_tab.unfold("How it ran")
    one_tab.see("ERROR   The run was stopped")  # of its log
    expect(one_tab.page.get_by_test_id("stVegaLiteChart")).to_have_count(0)


def test_a_run_is_named_deleted_and_put_back(one_tab: Tab, product: Product) -> None:
    kept = product.run("show", stride=30)
    gone = product.run("show", stride=40)
    page = one_tab.page
    box = page.get_by_test_id("stSelectbox").filter(has_text="Run").locator("input")
    one_tab.open("/results?episode=show")
    expect(box).to_have_value(re.compile(gone))
    one_tab.button("This run")
    page.get_by_label("Title").fill("tried <b>once</b>")
    one_tab.picture("run-actions")
    page.get_by_role("button", name="Save the title").click()
    expect(box).to_have_value(re.compile(r"^tried <b>once</b> · "))

    one_tab.settle()
    one_tab.button("This run")
    page.get_by_role("button", name="Delete this run").click()
    expect(box).to_have_value(re.compile(kept))
    one_tab.see("Deleted: tried <b>once</b>")
    assert gone not in [run["run_id"] for run in product.runs_of("show")]
    one_tab.see_in_address(kept)
    one_tab.picture("run-deleted")
    one_tab.button("Put it back")
    one_tab.lose("Deleted: ")
    assert gone in [run["run_id"] for run in product.runs_of("show")]
    one_tab.choose("Run", re.compile(gone))
    one_tab.see("Take away")
    one_tab.settle()
    one_tab.forgive("404")  # what the review of the deleted run had asked for meanwhile
