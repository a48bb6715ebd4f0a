"""Times are mended where they are wrong, and only there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.pipeline.decode.timeline import Timeline, by_counting, by_slots, mended

NONE = math.nan
D = 0.04


def line(seconds: list[float], *, longest_gap: float = 30.0) -> Timeline:
    return mended(np.array(seconds), usual=D, longest_gap=longest_gap)


def steps(*lengths: float) -> list[float]:
    return [0.0, *np.cumsum(lengths).tolist()]


REGULAR = [number * D for number in range(20)]


def changed(**by_place: float) -> list[float]:
    times = list(REGULAR)
    for place, time in by_place.items():
        times[int(place.removeprefix("at"))] = time
    return times


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(REGULAR, id="one rate"),
        pytest.param(steps(*[0.04, 0.1, 0.03, 0.5] * 4), id="variable rate"),
        pytest.param([*REGULAR, *(t + 20 for t in REGULAR)], id="a loss of signal of 19 s"),
        pytest.param([0.0, 0.1, 0.1, 0.2, 0.3], id="two equal ones"),
        pytest.param([5.0], id="one picture"),
        pytest.param([0.0, 60.0, 120.0, 180.0], id="a slide show"),
    ],
)
def test_what_is_right_stays_as_it_is(times: list[float]) -> None:
    found = line(times)
    assert found.seconds.tolist() == times
    assert (found.missing, found.wrong, found.jumps) == (0, 0, ())


@pytest.mark.parametrize(
    ("times", "missing", "wrong"),
    [
        (changed(at7=NONE), 1, 0),
        (changed(at0=NONE), 1, 0),
        (changed(at19=NONE), 1, 0),
        (changed(at7=NONE, at8=NONE, at9=NONE), 3, 0),
        ([NONE] * 20, 20, 0),
        (changed(at7=100.0), 0, 1),
        (changed(at7=5.0), 0, 1),
        (changed(at7=-3.0), 0, 1),
        (changed(at7=5.0, at8=5.04, at9=5.08), 0, 3),
        (changed(at0=1000.0), 0, 1),
        (changed(at7=0.0), 0, 1),
        (changed(at7=5.0, at9=NONE), 1, 1),
    ],
)
def test_a_wrong_or_missing_time_is_replaced_by_one_between_its_neighbours(
    times: list[float], missing: int, wrong: int
) -> None:
    found = line(times)
    assert found.seconds - found.seconds[0] == pytest.approx(REGULAR)
    assert (found.missing, found.wrong, found.jumps) == (missing, wrong, ())


@pytest.mark.parametrize("clock", [-100.0, 0.0, 0.5, 0.7, 40.0, 1e5])
def test_another_clock_goes_on_by_the_usual_distance(clock: float) -> None:
    """Lower, the same again, overlapping by much and by little, later, wrapped around."""
    found = line([*REGULAR, *(t + clock for t in REGULAR)])
    assert found.seconds == pytest.approx([n * D for n in range(40)])
    assert (found.wrong, found.jumps) == (0, (20,))


def test_each_of_three_clocks_is_reported() -> None:
    found = line([*REGULAR, *(t + 500 for t in REGULAR), *(t - 7 for t in REGULAR)])
    assert found.seconds == pytest.approx([n * D for n in range(60)])
    assert found.jumps == (20, 40)


def test_a_missing_time_in_front_of_a_pause_is_not_in_the_middle_of_it() -> None:
    times = [*REGULAR, NONE, *(t + 20 for t in REGULAR)]
    assert line(times).seconds[20] == pytest.approx(20 * D)


def test_the_end_of_a_file_may_leap() -> None:
    assert line([*REGULAR, 95_000.0]).seconds[-1] == pytest.approx(20 * D)


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(NONE), max_size=60),
    st.sampled_from([30.0, 3600.0]),
)
@example([-26.0, 0.5, 1.0, 0.0], 30.0)  # so few that the usual distance is a guess
def test_no_time_goes_back_whatever_the_file_says(times: list[float], gap: float) -> None:
    found = line(times, longest_gap=gap).seconds
    assert len(found) == len(times)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9).all()


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (REGULAR, 25.0),
        ([*REGULAR, *(t + 20 for t in REGULAR)], 25.0),  # a pause does not count
        ([n * D for n in range(40) if n % 10 != 3], 25.0),  # nor do frames that were left out
        (steps(*[1 / 24 + 1e-4, 1 / 24 - 1e-4] * 10), 24.0),  # rounded times
        (steps(*[0.033, 0.05] * 10), 1 / 0.0415),  # two rates in turn: telecined film
        (steps(*[0.04, 0.1, 0.03, 0.5] * 4), 1 / 0.1675),
    ],
)
def test_the_frame_rate_is_that_of_most_frames(times: list[float], rate: float) -> None:
    assert line(times).rate() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0]])
def test_no_rate_without_a_distance(times: list[float]) -> None:
    assert line(times).rate() is None


def test_irregular_is_what_varies_not_what_pauses() -> None:
    assert not line([*REGULAR, *(t + 20 for t in REGULAR)]).is_irregular()
    assert line(steps(*[0.04, 0.1] * 10)).is_irregular()


def test_where_nothing_is_stored_frames_are_counted() -> None:
    assert by_counting(4, 50).seconds.tolist() == [0.0, 0.02, 0.04, 0.06]


@pytest.mark.parametrize(
    ("slots", "held_back", "shown"),
    [
        ([0, 1, 2, 3], 0, [0, 1, 2, 3]),
        ([0, 1, 5, 6], 0, [0, 1, 5, 6]),
        ([3, 4, 5], 0, [3, 4, 5]),
        ([0, 4, 5, 6], 1, [4, 5, 6, 7]),  # a muxer keeps none empty before the first
        # Frame 1 is left out: as one picture is held back, its slot is empty one picture later.
        ([0, 1, 3, 4, 5], 1, [1, 3, 4, 5, 6]),
        ([0, 2, 4, 6], 1, [2, 4, 6, 8]),  # two fields, a slot each
        ([0], 2, [2]),
    ],
)
def test_slots_of_avi(slots: list[int], held_back: int, shown: list[int]) -> None:
    assert by_slots(np.array(slots), held_back, 1.0).seconds.tolist() == shown
