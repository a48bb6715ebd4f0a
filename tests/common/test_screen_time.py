"""Seconds on the screen: hand-computed, exact at stride 1, right on average at any other."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.screen_time import CutSpan, Edge, Presence, SampleEdges, ScreenTotal

FPS = 24.0
D = 1 / FPS
MISSED = 0.3


def at_constant_rate(frames: int, stride: int) -> SampleEdges:
    return SampleEdges(np.arange(frames) / FPS, frames / FPS, stride)


def presence(edges: SampleEdges, seen: list[int], missed_seconds: float = MISSED) -> Presence:
    found = Presence(missed_seconds)
    for frame in seen:
        found.see(edges.before(frame), edges.after(frame))
    return found


def test_an_edge_lies_half_a_picture_behind_the_middle() -> None:
    edges = at_constant_rate(61, 6)
    # The change is one of the pictures 13 to 18, so on average 15.5.
    assert edges.after(12).at_s == pytest.approx(15.5 * D)
    assert edges.after(12).variance == pytest.approx((6**2 - 1) / 12 * D**2)
    assert edges.before(18) == edges.after(12)


def test_a_single_sighting_stands_for_one_interval() -> None:
    found = presence(at_constant_rate(61, 6), [30])
    assert found.seconds == pytest.approx(0.25)
    assert found.error_s == pytest.approx(math.sqrt(2 * 35 / 12) * D)


def test_sightings_stand_for_an_interval_each() -> None:
    found = presence(at_constant_rate(61, 6), [12, 18, 24])
    assert found.seconds == pytest.approx(0.75)
    assert found.error_s == pytest.approx(math.sqrt(2 * 35 / 12) * D)


def test_the_file_begins_with_its_first_picture_and_that_is_exact() -> None:
    found = presence(at_constant_rate(61, 6), [0, 6])
    assert found.seconds == pytest.approx(9.5 * D)  # pictures 0 to 6, and half of 7 to 11
    assert found.error_s == pytest.approx(math.sqrt(35 / 12) * D)


def test_the_file_ends_with_its_last_picture_and_that_is_exact_where_it_was_seen() -> None:
    found = presence(at_constant_rate(61, 6), [54, 60])
    assert found.seconds == pytest.approx(9.5 * D)  # to 61, from the middle of 49 to 54
    assert found.error_s == pytest.approx(math.sqrt(35 / 12) * D)


def test_pictures_behind_the_last_sample_belong_to_it_and_are_not_sure() -> None:
    edges = at_constant_rate(64, 6)  # samples to 60; 61, 62 and 63 follow
    found = presence(edges, [60])
    assert found.seconds == pytest.approx((64 - 57.5) * D)
    tail = (4**2 - 1) / 12  # it leaves with 61, 62, 63 or the end
    assert found.error_s == pytest.approx(math.sqrt(35 / 12 + tail) * D)


def test_a_stride_beyond_the_file_makes_one_sample_of_it() -> None:
    found = presence(at_constant_rate(20, 24), [0])
    assert found.seconds == pytest.approx(20 * D)
    assert found.error_s == pytest.approx(math.sqrt((20**2 - 1) / 12) * D)


def test_one_picture_is_a_file() -> None:
    found = presence(at_constant_rate(1, 6), [0])
    assert (found.seconds, found.error_s) == (pytest.approx(D), 0.0)


def test_true_times_are_used() -> None:
    # Pictures at 0, 0.1, 0.2, then slower: 0.4, 0.8, 1.0; the last one stays for 0.1.
    edges = SampleEdges(np.array([0.0, 0.1, 0.2, 0.4, 0.8, 1.0]), 1.1, 2)
    # A change between the samples at 0.2 and 0.8: at 0.4 with chance 1/3, at 0.8 with 2/3.
    assert edges.after(2).at_s == pytest.approx(0.4 / 3 + 2 * 0.8 / 3)
    assert edges.after(2).variance == pytest.approx(2 / 9 * 0.4**2)
    assert edges.after(0).at_s == pytest.approx(0.15)
    found = presence(edges, [2])
    assert found.seconds == pytest.approx(2 / 3 - 0.15)


def test_the_clock_may_begin_anywhere() -> None:
    late = SampleEdges(100.0 + np.arange(61) / FPS, 100.0 + 61 / FPS, 6)
    assert presence(late, [0, 6]).seconds == pytest.approx(9.5 * D)


def test_pictures_of_one_time_are_no_time() -> None:
    edges = SampleEdges(np.zeros(6), 0.0, 3)
    found = presence(edges, [0, 3])
    assert (found.seconds, found.error_s) == (0.0, 0.0)


def test_a_short_interruption_was_overlooked() -> None:
    edges = at_constant_rate(121, 6)
    found = presence(edges, [12, 24])
    assert found.seconds == pytest.approx(0.75)
    assert found.error_s == pytest.approx(math.sqrt(2 * 35 / 12) * D)


def test_a_long_interruption_is_not_on_the_screen() -> None:
    edges = at_constant_rate(121, 6)
    found = presence(edges, [12, 30])  # two samples without it: half a second
    assert found.seconds == pytest.approx(0.5)
    assert found.error_s == pytest.approx(math.sqrt(4 * 35 / 12) * D)


def test_what_nobody_could_see_counts_for_nobody() -> None:
    """Samples 18 to 108 could not be decoded; the face was there before and after."""
    edges = at_constant_rate(241, 6)
    found = presence(edges, [12, 114])
    assert found.seconds == pytest.approx(0.5)


def test_a_cut_between_two_samples_is_divided_between_its_sides() -> None:
    edges = at_constant_rate(121, 6)
    before, after = presence(edges, [12, 18, 24]), presence(edges, [30, 36])
    assert edges.after(24) == edges.before(30)
    assert before.seconds + after.seconds == pytest.approx(5 * 0.25)


def test_a_cut_lies_between_the_pictures_that_are_known() -> None:
    """Samples 24 and 30; 26 and 28 were decoded, and the jump is between them."""
    edges = at_constant_rate(121, 6)
    edge = edges.cut(30, CutSpan(26 * D, 28 * D))
    assert edge.at_s == pytest.approx(27.5 * D)  # 27 or 28
    assert edge.variance == pytest.approx((2**2 - 1) / 12 * D**2)
    assert edges.before(30) is edges.after(24) is edge
    assert edges.after(30).at_s == pytest.approx(33.5 * D)  # as it was


def test_a_cut_between_neighbours_is_exact() -> None:
    edge = at_constant_rate(121, 6).cut(30, CutSpan(26 * D, 27 * D))
    assert (edge.at_s, edge.variance) == (pytest.approx(27 * D), pytest.approx(0.0))


def test_a_shot_begins_with_the_picture_that_needs_no_other() -> None:
    edge = at_constant_rate(121, 6).cut(30, CutSpan(24 * D, 28 * D, ends_intra=True))
    assert 27.8 * D < edge.at_s < 28 * D
    assert 0.2 * D < math.sqrt(edge.variance) < 0.5 * D


def test_a_cut_never_leaves_its_samples() -> None:
    """Samples before it could not be decoded, so the jump is from one long before."""
    edges = at_constant_rate(121, 6)
    usual = edges.after(24)
    assert edges.cut(30, CutSpan(6 * D, 30 * D)) == usual
    assert edges.cut(30, CutSpan(6 * D, 18 * D)) == usual  # nothing is known of that
    edges = SampleEdges(np.zeros(13), 0.0, 6)
    assert edges.cut(6, CutSpan(0.0, 0.0)) == Edge(0.0, 0.0)


def test_who_was_there_before_a_cut_was_there_until_then() -> None:
    edges = at_constant_rate(121, 6)
    before = presence(edges, [12, 18, 24])
    edge = edges.cut(30, CutSpan(28 * D, 29 * D))
    before.end_at(edge)
    behind = presence(edges, [30, 36])
    assert before.stretches == [(pytest.approx(9.5 * D), pytest.approx(29 * D))]
    assert before.seconds == pytest.approx(19.5 * D)
    assert behind.stretches[0][0] == pytest.approx(29 * D)
    assert before.error_s == pytest.approx(math.sqrt(35 / 12) * D)
    assert behind.error_s == pytest.approx(math.sqrt(35 / 12) * D)
    nobody = Presence(MISSED)
    nobody.end_at(edge)
    assert (nobody.seconds, nobody.stretches) == (0.0, [])


def test_errors_at_a_cut_cancel_between_its_sides() -> None:
    cut, outer = Edge(1.0, 0.01), Edge(0.5, 0.04)
    left, right, beside = Presence(MISSED), Presence(MISSED), Presence(MISSED)
    left.see(outer, cut)
    right.see(cut, Edge(2.0, 0.0))
    total = ScreenTotal()
    total.add(left, first=None, last=cut)
    total.add(right, first=cut, last=None)
    assert total.seconds == pytest.approx(1.5)
    assert total.error_s == pytest.approx(0.2)  # of the outer edge alone
    beside.see(outer, cut)
    total.add(beside, first=None, last=cut)
    assert total.error_s == pytest.approx(math.sqrt(0.04 + 0.04 + 0.01))


def test_errors_at_a_cut_add_on_one_side() -> None:
    cut = Edge(1.0, 0.01)
    total = ScreenTotal()
    for _ in range(3):
        found = Presence(MISSED)
        found.see(Edge(0.0, 0.0), cut)
        total.add(found, first=None, last=cut)
    assert total.error_s == pytest.approx(0.3)  # not 0.1 * sqrt(3)


RATES = st.lists(st.integers(1, 5), min_size=1, max_size=80)
STRIDES = st.integers(1, 30)


@given(RATES, st.data())
def test_at_stride_one_every_visit_is_exact(units: list[int], data: st.DataObject) -> None:
    times = np.concatenate([[0.0], np.cumsum(units)]) / 60
    edges = SampleEdges(times[:-1], float(times[-1]), 1)
    first = data.draw(st.integers(0, len(units) - 1))
    last = data.draw(st.integers(first, len(units) - 1))
    found = presence(edges, list(range(first, last + 1)))
    assert found.seconds == pytest.approx(times[last + 1] - times[first])
    assert found.error_s == pytest.approx(0.0, abs=1e-9)


@given(RATES, STRIDES)
def test_the_samples_stand_for_the_whole_file_each_moment_once(
    units: list[int], stride: int
) -> None:
    times = np.concatenate([[0.0], np.cumsum(units)]) / 60
    edges = SampleEdges(times[:-1], float(times[-1]), stride)
    samples = list(range(0, len(units), stride))
    assert edges.before(0).at_s == 0.0
    for sample, following in pairwise(samples):
        assert edges.after(sample) == edges.before(following)
        assert times[sample] < edges.after(sample).at_s <= times[following]
    assert edges.after(samples[-1]).at_s == times[-1]
    assert presence(edges, samples).seconds == pytest.approx(times[-1])


@given(st.integers(1, 60), st.integers(1, 24))
def test_over_all_phases_the_mean_is_right(length: int, stride: int) -> None:
    """Visits that fall between two samples count: 0 s were found of them."""
    edges = at_constant_rate(400, stride)
    start = 4 * stride
    found = [
        presence(edges, [f for f in range(0, 400, stride) if begin <= f < begin + length])
        for begin in range(start, start + stride)
    ]
    mean = sum(visit.seconds for visit in found) / stride
    assert mean == pytest.approx(length * D)


@given(st.integers(1, 24), st.integers(0, 5))
def test_the_standard_error_is_that_of_all_phases(stride: int, intervals: int) -> None:
    """Of visits whose ends are independent: each end with each phase."""
    edges = at_constant_rate(400, stride)
    first, last = 4 * stride, (4 + intervals) * stride  # the first and last sample that see it
    found = presence(edges, list(range(first, last + 1, stride)))
    errors = [
        found.seconds - (end - begin) * D
        for begin in range(first - stride + 1, first + 1)
        for end in range(last + 1, last + stride + 1)
    ]
    assert np.mean(errors) == pytest.approx(0.0, abs=1e-9)
    assert np.std(errors) == pytest.approx(found.error_s, abs=1e-9)
