"""Pictures are in the order in which they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from apps.pipeline.order import NO_TIME, display_order

NO = NO_TIME


def order(
    pts: list[int],
    dts: list[int] | None = None,
    places: list[int] | None = None,
    *,
    trust: bool = False,
) -> list[int] | None:
    decoding = list(range(len(pts))) if dts is None else dts
    found = display_order(
        np.array(pts, np.int64),
        np.array(decoding, np.int64),
        None if places is None else np.array(places, np.int64),
        trust_places=trust,
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
    """Where a count begins anew without a word, the pieces are mixed for some pictures only."""
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
