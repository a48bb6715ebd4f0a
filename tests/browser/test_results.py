"""Looking at a run in a browser: video, timeline, faces, figures, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from lab.processes.service import wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab, tab

HAVE_CURRENT_DATA = 2  # of a video's readyState
SAMPLE_S = 6 / 24  # between two samples of the run that is shown
# Of a shape without its outline, which is not seen until it is picked.
_RIGHT_END = """shape => {
  const box = shape.getBBox(), place = shape.getScreenCTM();
  return place.a * (box.x + box.width) + place.e;
}"""
_CUT_OFF = """figures => figures.flatMap(figure => [...figure.querySelectorAll('*')])
  .filter(part => part.clientWidth > 0 && part.scrollWidth > part.clientWidth + 1)
  .map(part => part.innerText)"""
_LOWEST = "bars => Math.max(...bars.map(bar => bar.getBoundingClientRect().bottom))"


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


def video(tab: Tab) -> Locator:
    return tab.page.locator("video")


def at(tab: Tab) -> float:
    """Where the video is, seconds."""
    return float(video(tab).evaluate("video => video.currentTime"))


def wait_for_place(tab: Tab, start_s: float) -> None:
    """Streamlit starts a video at whole seconds, so up to one before the track's first frame."""
    wait_for(lambda: 0 <= start_s - at(tab) < 1, what=f"the video to be at {start_s} s")


def tracks(product: Product, run_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/episodes/{DEMO}/runs/{run_id}/tracks"
    items: list[dict[str, Any]] = product.server.client.get(path, params=query).json()["items"]
    return items


def bars(tab: Tab) -> Locator:
    """Of the timeline, in the order of appearance."""
    chart = tab.page.get_by_test_id("stVegaLiteChart").first
    return chart.locator("g.mark-rect.role-mark path[aria-label*='track-']")


def test_the_preview_plays_and_seeks(own_results: Tab) -> None:
    shown = video(own_results)
    wait_for(
        lambda: shown.evaluate("video => video.readyState") >= HAVE_CURRENT_DATA,
        what="the video's first picture",
    )
    assert shown.evaluate("video => [video.videoWidth, video.videoHeight]") == [1280, 720]
    assert shown.evaluate("video => video.duration") == pytest.approx(20.0, abs=0.1)
    shown.evaluate("video => { video.muted = true; return video.play(); }")
    wait_for(lambda: at(own_results) > 0.3, what="the video to play")
    shown.evaluate("video => { video.pause(); video.currentTime = 15; }")
    wait_for(lambda: not shown.evaluate("video => video.seeking"), what="the video to seek")
    assert at(own_results) == pytest.approx(15, abs=0.1)
    assert shown.evaluate("video => video.readyState") >= HAVE_CURRENT_DATA


def test_the_timeline_has_the_tracks_and_cuts(
    results: Tab, product: Product, shown_run: str
) -> None:
    found = tracks(product, shown_run)
    expect(bars(results)).to_have_count(len(found))
    cuts = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}/charts").json()["cuts_s"]
    assert len(cuts) == 7
    chart = results.page.get_by_test_id("stVegaLiteChart").first
    expect(chart.locator("g.mark-rule.role-mark line[aria-label*='cut']")).to_have_count(7)
    results.see(f"{len(found)} tracks, 7 cuts (dashed).")


def test_pointing_at_a_track_shows_its_face(results: Tab) -> None:
    bars(results).nth(4).hover()
    tooltip = results.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "track-000" in tooltip.inner_text()
    face = tooltip.locator("img")
    wait_for(lambda: face.evaluate("image => image.naturalWidth") > 0, what="the face")
    results.picture("results-track-pointed-at", docs="page-results")


def test_figures_and_timeline_are_seen_whole_on_a_small_screen(own_results: Tab) -> None:
    width, height = 1366, 768
    own_results.page.set_viewport_size({"width": width, "height": height})
    own_results.settle()
    expect(bars(own_results).first).to_be_visible()
    figures = own_results.page.get_by_test_id("stMetric")
    expect(figures.first).to_be_visible()
    rows = {box["y"] for figure in figures.all() if (box := figure.bounding_box()) is not None}
    assert len(rows) == 1
    assert figures.evaluate_all(_CUT_OFF) == []
    wait_for(
        lambda: bars(own_results).evaluate_all(_LOWEST) <= height,
        what="the timeline to be seen whole",
    )
    own_results.picture("results-small-screen")


def test_bars_reach_the_cuts_that_end_their_tracks(
    results: Tab, product: Product, shown_run: str
) -> None:
    chart = results.page.get_by_test_id("stVegaLiteChart").first
    lines = chart.locator("g.mark-rule.role-mark line[aria-label*='cut']")
    expect(lines).to_have_count(7)
    cuts = lines.evaluate_all("lines => lines.map(line => line.getBoundingClientRect().left)")
    charts = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}/charts").json()
    step = SAMPLE_S + 0.01
    ended = [  # by a cut, whose first sample follows their last one
        row["track_id"]
        for row in tracks(product, shown_run)
        if any(0 < cut - row["end_s"] < step for cut in charts["cuts_s"])
    ]
    assert len(ended) > 5
    for track_id in ended:
        right = chart.locator(f"path[aria-label*='{track_id}']").first.evaluate(_RIGHT_END)
        assert min(abs(right - cut) for cut in cuts) < 2, track_id


def test_clicking_a_track_moves_the_video_there(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    late = [row for row in tracks(product, shown_run) if row["start_s"] > 5]
    for row in (late[-1], late[0]):
        own_results.page.locator(f"path[aria-label*='{row['track_id']}']").first.click()
        wait_for_place(own_results, row["start_s"])


def test_a_face_of_the_gallery_moves_the_video_there(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    own_results.choose("Order", "Longest first")
    longest = tracks(product, shown_run, sort="length", descending=True)
    row = next(row for row in longest[:12] if row["start_s"] > 2)
    place = own_results.page.locator("[data-testid=stVerticalBlock]", has_text=row["track_id"][6:])
    place.last.get_by_role("button").last.click()
    wait_for_place(own_results, row["start_s"])


def test_the_gallery_is_sorted_and_has_pages(
    own_results: Tab, product: Product, shown_run: str
) -> None:
    def shown() -> list[str]:
        faces = own_results.page.locator("img[alt^='Face of track-']")
        names: list[str] = faces.evaluate_all("faces => faces.map(face => face.alt)")
        return [name.removeprefix("Face of ") for name in names]

    in_order = [row["track_id"] for row in tracks(product, shown_run, sort="start")]
    wait_for(lambda: shown() == in_order[:12], what="the first page")
    own_results.choose("Order", "Most confident first")
    rows = tracks(product, shown_run, sort="confidence", descending=True)
    best = [row["track_id"] for row in rows]
    wait_for(lambda: shown() == best[:12], what="the best")
    own_results.page.get_by_test_id("stPagination").get_by_role("button", name="3").click()
    wait_for(lambda: shown() == best[24:36], what="the third page")


def test_every_picture_is_there(results: Tab) -> None:
    wait_for(results.pictures_loaded, what="all pictures")


def test_the_histograms_count_the_faces(results: Tab, product: Product, shown_run: str) -> None:
    charts = product.server.client.get(f"/episodes/{DEMO}/runs/{shown_run}/charts").json()
    drawn = results.page.get_by_test_id("stVegaLiteChart")
    expect(drawn).to_have_count(4)
    for place, bins in ((2, charts["confidence"]), (3, charts["face_size"])):
        shapes = drawn.nth(place).locator("g.mark-rect.role-mark path")
        expect(shapes).to_have_count(len(bins))


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


def test_a_preview_is_made_when_it_is_wanted(one_tab: Tab, product: Product) -> None:
    run_id = product.run("talk", stride=12)
    one_tab.open(f"/results?episode=talk&run={run_id}")
    one_tab.see("This run has no preview video.")
    one_tab.settle()
    one_tab.button("Make the preview")
    one_tab.see("Making the preview video")
    video(one_tab).wait_for()
    wait_for(
        lambda: video(one_tab).evaluate("video => video.readyState") >= HAVE_CURRENT_DATA,
        what="the video's first picture",
    )


def test_what_is_wrong_with_a_run_stands_on_top(one_tab: Tab, product: Product) -> None:
    run_id = product.run("talk", stride=30, det_size=1280)
    one_tab.open(f"/results?episode=talk&run={run_id}")
    one_tab.see("The detector's picture is larger than the 640 that suits the device.")
    one_tab.see("Take away")
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
    one_tab.see("This run is cancelled; it has no results.")
