from __future__ import annotations

from apps.common.schemas import FacesBin, HistogramBin, RunCharts
from apps.ui.parts.track_charts import faces_over_time, histogram


def test_a_run_without_faces_can_be_drawn() -> None:
    empty = RunCharts(
        duration_s=0,
        bin_seconds=1,
        faces=[],
        confidence=[],
        face_size=[],
        cuts_s=[],
        unreadable_rows=0,
    )
    assert faces_over_time(empty).to_dict()["data"]["values"] == []
    assert histogram(empty.confidence, "confidence").to_dict()["data"]["values"] == []


def test_histograms_keep_their_bins() -> None:
    rows = histogram([HistogramBin(low=0.5, high=0.55, count=7)], "confidence").to_dict()
    assert rows["data"]["values"] == [{"low": 0.5, "high": 0.55, "faces": 7}]


def test_faces_against_time_begin_where_their_stretch_begins() -> None:
    charts = RunCharts(
        duration_s=2,
        bin_seconds=1,
        faces=[FacesBin(start_s=1.0, faces_per_frame=2.5, tracks=3)],
        confidence=[],
        face_size=[],
        cuts_s=[],
        unreadable_rows=0,
    )
    assert faces_over_time(charts).to_dict()["data"]["values"] == [
        {"second": 1.0, "faces": 2.5, "tracks": 3}
    ]


def test_the_clock_has_no_second_twice() -> None:
    """Its labels are whole seconds, so a chart of a second or two has no ticks between them."""
    empty = RunCharts(
        duration_s=1.5,
        bin_seconds=0.1,
        faces=[],
        confidence=[],
        face_size=[],
        cuts_s=[],
        unreadable_rows=0,
    )
    assert faces_over_time(empty).to_dict()["encoding"]["x"]["axis"]["tickMinStep"] == 1
