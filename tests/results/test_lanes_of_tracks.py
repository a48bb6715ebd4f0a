from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.results.lanes import Samples, lanes

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


def test_a_stretch_ends_at_the_cut_that_the_run_tells() -> None:
    """At 24 pictures a second and stride 6: samples lie a quarter of a second apart."""
    samples = Samples.of(6, 24)
    assert samples.cut(2.0, 1.8) == 1.8
    assert samples.cut(2.0, 1.7) == samples.cut(2.0, 2.1) == samples.cut(2.0)  # not of this sample
    assert samples.stretch(1.0, 1.75, [0.76, 1.98]) == (0.76, 1.98)
    assert samples.stretch(1.0, 1.5, [0.7, 1.98]) == pytest.approx((1 - 2.5 / 24, 1.5 + 3.5 / 24))


def test_at_stride_one_who_comes_after_a_cut_does_not_begin_with_it() -> None:
    assert Samples.of(1, 25).stretch(2.04, 2.96, [2.0, 3.0]) == (2.04, 3.0)


def test_a_face_that_is_seen_beyond_a_cut_as_in_a_dissolve_keeps_its_sightings() -> None:
    start_s, end_s = Samples.of(6, 24).stretch(1.0, 2.25, [2.0, 5.0])
    assert start_s <= 1.0
    assert 2.25 < end_s < 5.0


def test_a_stretch_stays_within_the_video() -> None:
    """It may begin late; the last sample stands for all that comes after it."""
    samples = Samples.of(12, 25, 0.852, 10.03)
    assert samples.cut(0.852) == 0.852
    assert samples.stretch(0.852, 1.332, []) == pytest.approx((0.852, 1.592))
    assert samples.stretch(2.0, 9.492, []) == pytest.approx((1.78, 9.752))
    assert samples.stretch(2.0, 9.64, []) == pytest.approx((1.78, 10.03))
    assert samples.stretch(2.0, 11.0, []) == pytest.approx((1.78, 11.0))  # of a damaged row


def test_a_run_that_does_not_tell_its_samples_has_its_sightings() -> None:
    assert Samples().stretch(1.0, 2.0, [2.5]) == (1.0, 2.0)
