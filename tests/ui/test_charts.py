from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.schemas import FacesBin, HistogramBin, RunCharts
from apps.ui.parts.track_charts import (
    PICKED,
    Samples,
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


@given(st.integers(1, 60), st.floats(1, 240), st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_tracks_that_last_a_whole_shot_fill_it(stride: int, fps: float, shots: list[int]) -> None:
    """Each sighting stands for one distance of samples, and no bar goes over a cut."""
    samples, step = Samples.of(stride, fps), stride / fps
    firsts = [sum(shots[:number]) for number in range(len(shots) + 1)]
    cuts = [samples.cut(first * step) for first in firsts[1:-1]]
    ends = [*cuts, firsts[-1] * step]
    for number, length in enumerate(shots):
        first, last = firsts[number] * step, (firsts[number + 1] - 1) * step
        start_s, end_s = samples.stretch(first, last, cuts)
        begin = 0.0 if number == 0 else cuts[number - 1]
        assert start_s == pytest.approx(begin)
        assert start_s >= begin
        if number < len(cuts):
            assert end_s == pytest.approx(cuts[number])
            assert end_s <= cuts[number]
            lacking = samples.before_s if number == 0 else 0.0  # before the file's first picture
            assert end_s - start_s == pytest.approx(length * step - lacking)
        else:
            assert end_s == pytest.approx(ends[number] - samples.before_s)


def test_a_stretch_where_every_picture_is_a_sample_is_exact() -> None:
    samples = Samples.of(1, 25)
    assert samples.cut(2.0) == 2.0
    assert samples.stretch(1.0, 1.96, [2.0]) == (1.0, 2.0)
    assert samples.stretch(1.0, 1.96, []) == (1.0, 2.0)


def test_a_stretch_at_a_rate_that_changes_ends_at_the_cut_all_the_same() -> None:
    assert Samples.of(6, 24).stretch(1.0, 1.9, [0.95, 2.0]) == (0.95, 2.0)


def test_a_face_that_is_seen_beyond_a_cut_as_in_a_dissolve_keeps_its_sightings() -> None:
    start_s, end_s = Samples.of(6, 24).stretch(1.0, 2.25, [2.0, 5.0])
    assert start_s <= 1.0
    assert 2.25 < end_s < 5.0


def test_a_run_that_does_not_tell_its_samples_has_its_sightings() -> None:
    assert Samples().stretch(1.0, 2.0, [2.5]) == (1.0, 2.0)


def bar(track_id: str = "track-00001", **changes: object) -> TrackBar:
    facts = {
        "first_s": 61.0,
        "last_s": 65.5,
        "start_s": 60.9,
        "end_s": 65.7,
        "lane": 0,
        "sightings": 9,
        "confidence": 0.87654,
        "picture": "http://h/p",
        "screen": "4.8 ± 0.1 s",
        "ended": "left the picture",
    }
    return TrackBar(track_id=track_id, **{**facts, **changes})  # type: ignore[arg-type]


def test_the_timeline_names_what_is_shown_and_picked() -> None:
    spec = timeline([bar()], [63.0], (0.0, 70.0)).to_dict()
    text = json.dumps(spec)
    assert '"track": "track-00001"' in text
    assert '"start": 60.9, "end": 65.7' in text
    assert '"first": "1:01.0", "last": "1:05.5"' in text
    assert '"screen": "4.8 \\u00b1 0.1 s"' in text
    titles = [word["title"] for word in spec["layer"][1]["encoding"]["tooltip"] if "title" in word]
    assert titles == ["first seen", "last seen", "on the screen"]
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
