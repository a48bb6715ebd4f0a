"""What a local run's reports change on the page."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def board_of(reports: int) -> AppTest:
    """The page after so many reports, one each half second."""

    def script(reports: int) -> None:
        from apps.common.contracts.manifest import Progress
        from apps.ui.parts.progress_board import History, ProgressBoard

        board = ProgressBoard(History(), 50.0)
        for number in range(reports):
            board.show(
                Progress(
                    phase="running", frames_done=number, frames_total=100, video_frames_total=100,
                    elapsed_sec=number / 2, analyzed_fps=2.0, eta_sec=None, run_id="r1",
                    updated_at="2026-01-01T00:00:00Z", cpu_percent=40.0 + number,
                )
            )  # fmt: skip

    page = AppTest.from_function(script, args=(reports,)).run()
    assert not page.exception
    return page


def points(page: AppTest) -> list[dict[str, Any]]:
    [chart] = page.get("vega_lite_chart")
    found: list[dict[str, Any]] = json.loads(chart.proto.spec)["layer"][0]["data"]["values"]
    return found


def test_figures_are_those_of_the_last_report_and_the_chart_follows_each_two_seconds() -> None:
    for reports, drawn in ((1, 1), (4, 1), (5, 5), (8, 5), (9, 9)):
        page = board_of(reports)
        assert page.metric[2].value == f"{39 + reports} %"
        assert len(points(page)) == drawn
