"""Pictures are in the order in which they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from apps.pipeline.decode.order import NO_TIME, display_order

NO = NO_TIME


def order(
    pts: list[int],
    dts: list[int] | None = None,
    places: list[int] | None = None,
    *,
    trust: bool = False,
    held_back: int = 0,
) -> list[int] | None:
    decoding = list(range(len(pts))) if dts is None else dts
    found = display_order(
        np.array(pts, np.int64),
        np.array(decoding, np.int64),
        None if places is None else np.array(places, np.int64),
        trust_places=trust,
        held_back=held_back,
    )
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("pts", "shown"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 3, 1, 2], [0, 3, 1, 2]),
        ([9000, 9120, 9040, 9080], [0, 3, 1, 2]),
        ([], []),
    ],
)
def test_by_sound_times(pts: list[int], shown: list[int]) -> None:
    assert order(pts) == shown
    assert order(pts, [NO] * len(pts)) == shown


@pytest.mark.parametrize(
    "pts",
    [
        [0, 3, 1, 1, 4],  # two equal ones
        [0, 3, NO, 2, 4],
        [NO] * 5,
    ],
)
def test_by_the_coded_pictures_where_times_are_not_sound(pts: list[int]) -> None:
    assert order(pts, None, [0, 6, 2, 4, 8]) == [0, 3, 1, 2, 4]
    assert order(pts) is None


def test_a_clock_that_goes_back_does_not_mix_two_recordings() -> None:
    pts, dts = [0, 3, 1, 2, 1, 4, 2, 3], [-1, 0, 1, 2, 0, 1, 2, 3]
    shown = [0, 3, 1, 2, 4, 7, 5, 6]
    assert order(pts, dts) == shown  # by the pieces' own times
    epochs = [0, 6, 2, 4, 100, 106, 102, 104]
    assert order(pts, dts, epochs) == shown


def test_a_rule_is_stronger_than_times() -> None:
    assert order([0, 1, 2, 3], None, [0, 2, 1, 3]) == [0, 1, 2, 3]
    assert order([0, 1, 2, 3], None, [0, 2, 1, 3], trust=True) == [0, 2, 1, 3]


def test_no_picture_waits_longer_than_a_decoder_can_hold_it() -> None:
    """Where a count begins again without a word, the pieces are mixed for some pictures only."""
    count = 100
    places = [*range(1000, 1000 + count), *range(count)]
    shown = order([NO] * (2 * count), None, places)
    assert shown is not None
    moved = np.abs(np.array(shown) - np.arange(2 * count))
    assert sorted(shown) == list(range(2 * count))
    assert moved.max() <= count
    assert shown[: count - 20] == list(range(count - 20))


def test_times_that_move_a_picture_farther_than_it_may_be_are_not_believed() -> None:
    pts = [*range(100), 1]
    pts[1] = 100
    assert order(pts, [NO] * 101, list(range(101))) == list(range(101))


def test_times_in_the_order_of_coding_tell_nothing_of_a_video_that_is_reordered() -> None:
    """As copied out of AVI, which has no presentation times."""
    places = [0, 6, 2, 4, 12, 8, 10]
    assert order([*range(7)], None, places, held_back=1) == [0, 3, 1, 2, 6, 4, 5]
    assert order([*range(7)], None, places, held_back=0) == [0, 1, 2, 3, 4, 5, 6]


def test_parts_joined_without_a_gap_are_no_break_of_the_clock() -> None:
    """The first pictures of the second part are decoded before the last ones of the first."""
    pts = [0, 30, 10, 20, 40, 70, 50, 60]
    dts = [-20, -10, 0, 10, 5, 15, 25, 35]
    overlapping = [0, 6, 2, 4, 3, 9, 5, 7]
    assert order(pts, dts, overlapping, held_back=2) == [0, 3, 1, 2, 4, 7, 5, 6]


def test_a_decoder_holds_back_no_more_than_it_must() -> None:
    """A second recording whose count starts below where the first one's ended."""
    places = [0, 4, 2, 8, 6, -4, 0, -2, 4, 2]
    shown = order([NO] * 10, None, places, held_back=1)
    assert shown is not None
    assert shown[:2] == [0, 2]
    assert sorted(shown) == list(range(10))
