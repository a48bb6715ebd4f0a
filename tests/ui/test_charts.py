from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from apps.common.schemas import FacesBin, HistogramBin, RunCharts
from apps.ui.parts.track_charts import (
    PICKED,
    TrackBar,
    faces_over_time,
    histogram,
    lanes,
    timeline,
)

TIMES = st.floats(0, 4000, allow_nan=False).map(lambda seconds: round(seconds, 3))
SPANS = st.lists(
    st.tuples(TIMES, TIMES).map(lambda pair: (min(pair), max(pair))), max_size=200
).map(sorted)


@given(SPANS)
def test_no_two_tracks_of_a_lane_overlap(spans: list[tuple[float, float]]) -> None:
    rows = lanes(spans)
    assert len(rows) == len(spans)
    last_end: dict[int, float] = {}
    for (start, end), row in zip(spans, rows, strict=True):
        assert start > last_end.get(row, -1.0)
        last_end[row] = end


@given(SPANS)
def test_there_are_no_more_lanes_than_tracks_at_once(spans: list[tuple[float, float]]) -> None:
    at_once = max((sum(start <= now <= end for start, end in spans) for now, _ in spans), default=0)
    assert len(set(lanes(spans))) == at_once
    assert set(lanes(spans)) == set(range(at_once))


def test_lanes_are_filled_from_the_top() -> None:
    assert lanes([(0, 2), (1, 3), (2.5, 4), (3.5, 5)]) == [0, 1, 0, 1]
    assert lanes([]) == []


def bar(track_id: str = "track-00001", **changes: object) -> TrackBar:
    facts = {
        "start_s": 61.0,
        "end_s": 65.5,
        "lane": 0,
        "faces": 9,
        "confidence": 0.87654,
        "picture": "http://h/p",
        "screen": "4.7 s ± 0.1 s",
        "ended": "left the picture",
    }
    return TrackBar(track_id=track_id, **{**facts, **changes})  # type: ignore[arg-type]


def test_the_timeline_names_what_is_shown_and_picked() -> None:
    spec = timeline([bar()], [63.0], (0.0, 70.0)).to_dict()
    text = json.dumps(spec)
    assert '"track": "track-00001"' in text
    assert '"from": "1:01"' in text
    assert '"screen": "4.7 s \\u00b1 0.1 s"' in text
    assert '"ended": "left the picture"' in text
    assert '"image": "http://h/p"' in text
    assert '"cut": 63.0' in text
    assert [param["name"] for param in spec["params"]] == [PICKED]


def test_a_track_of_one_sighting_can_be_seen_and_clicked() -> None:
    spec = timeline([bar(start_s=5.0, end_s=5.0)], [], (0.0, 70.0)).to_dict()
    [row] = next(layer["data"]["values"] for layer in spec["layer"] if layer["data"]["values"])
    assert row["end"] > row["start"]


def test_the_timeline_does_not_grow_without_end() -> None:
    many = [bar(f"track-{number:05d}", lane=number) for number in range(500)]
    assert timeline(many, [], (0.0, 70.0)).to_dict()["height"] <= 420
    assert timeline([bar()], [], (0.0, 70.0)).to_dict()["height"] < 100


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
