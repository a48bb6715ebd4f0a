"""A clip and a still, taken from the review in a browser."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import expect

from apps.pipeline.decode.video import open_video
from lab.processes.service import wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import PATIENCE_MS, Tab

WORK_MS = 4 * PATIENCE_MS  # a process begins, and encodes a second of video
_AT = "root => root.screenalytics.player.time"
_SEEK = "(root, seconds) => root.screenalytics.player.seek(seconds)"
_STILL = """root => {
  const { goal, video } = root.screenalytics.player;
  return goal === null && !video.seeking;
}"""


def test_a_clip_and_a_still_are_taken(
    one_tab: Tab, product: Product, shown_run: str, tmp_path: Path
) -> None:
    one_tab.open(f"/results?episode={DEMO}&run={shown_run}")
    review = one_tab.page.locator(".review[data-tracks]")
    review.wait_for()
    taking = review.locator(".taking")
    review.get_by_role("button", name="Clip", exact=True).click()
    expect(taking).to_have_text("Mark a range with I and O, or pick a track.")

    def go(seconds: float) -> float:
        review.evaluate(_SEEK, seconds)
        wait_for(lambda: review.evaluate(_STILL), what="the frame")
        return float(review.evaluate(_AT))

    start = go(1.0)
    review.focus()
    one_tab.page.keyboard.press("i")
    end = go(2.0)
    one_tab.page.keyboard.press("o")
    with one_tab.page.expect_download(timeout=WORK_MS) as waiting:
        review.get_by_role("button", name="Clip", exact=True).click()
    clip = tmp_path / "clip.mp4"
    waiting.value.save_as(clip)
    assert waiting.value.suggested_filename == f"{DEMO}_{start:.2f}-{end:.2f}s.mp4"
    expect(taking).to_contain_text("The clip is saved.")
    one_tab.picture("review-clip")
    [source] = (product.data_root / "videos" / DEMO).glob("episode.*")
    with open_video(source, threads=1) as whole, open_video(clip, threads=1) as part:
        seconds = whole.index.timeline.seconds
        wanted = np.flatnonzero((seconds > start - 0.01) & (seconds < end + 0.01))
        assert part.index.count == len(wanted)
        pictures = {
            one.index: one.picture.pixels() for one in whole.decoded() if one.index == wanted[-1]
        }

    with one_tab.page.expect_download(timeout=WORK_MS) as waiting:
        review.get_by_role("button", name="Still", exact=True).click()
    assert waiting.value.suggested_filename == f"{DEMO}_{end:.3f}s.png"
    still = tmp_path / "still.png"
    waiting.value.save_as(still)
    assert np.array_equal(cv2.imread(str(still)), pictures[int(wanted[-1])])

    # Of the picked track, where no range is marked.
    one_tab.page.keyboard.press("Escape")
    review.get_by_role("button", name="The next track").click()
    with one_tab.page.expect_download(timeout=WORK_MS) as waiting:
        review.get_by_role("button", name="Clip", exact=True).click()
    assert waiting.value.suggested_filename.startswith(f"{DEMO}_{shown_run}_track-")
