"""Which face continues which track."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import pipeline_config
from apps.pipeline.track.association import PairLimits, Places, far_pairs, pairs

CONFIG = pipeline_config().track


def places(*rows: tuple[float, ...]) -> Places:
    """Rows of x, y, size, look."""
    table = np.array(rows, np.float32).reshape(-1, 4)
    return Places(table[:, :2], np.repeat(table[:, 2:3], 2, axis=1), table[:, 3:])


def chosen(
    tracks: Places, faces: Places, reach: float = 2.0, max_surprise: float = np.inf
) -> list[tuple[int, int]]:
    every = (
        np.full(len(tracks), most) for most in (reach, max_surprise, CONFIG.max_appearance_distance)
    )
    return pairs(tracks, faces, PairLimits(*every, CONFIG.most_growth), CONFIG)


def test_the_nearest_are_pairs_and_the_sum_decides() -> None:
    tracks = places((0.2, 0.5, 0.1, 0), (0.3, 0.5, 0.1, 0))
    # The face between them is nearer to the second, which has a face of its own farther right.
    faces = places((0.27, 0.5, 0.1, 0), (0.4, 0.5, 0.1, 0))
    assert chosen(tracks, faces) == [(0, 0), (1, 1)]


def test_what_is_too_far_too_large_or_too_unlike_is_no_pair() -> None:
    track = places((0.5, 0.5, 0.1, 0))
    assert chosen(track, places((0.69, 0.5, 0.1, 0))) == [(0, 0)]
    assert chosen(track, places((0.71, 0.5, 0.1, 0))) == []
    assert chosen(track, places((0.5, 0.5, 0.1 * CONFIG.most_growth * 1.05, 0))) == []
    assert chosen(track, places((0.5, 0.5, 0.1 / CONFIG.most_growth / 1.05, 0))) == []
    assert chosen(track, places((0.5, 0.5, 0.1, CONFIG.max_appearance_distance + 1))) == []


def test_distance_is_measured_in_faces() -> None:
    near, far = places((0.5, 0.5, 0.4, 0)), places((0.5, 0.5, 0.05, 0))
    assert chosen(near, places((0.9, 0.5, 0.4, 0))) == [(0, 0)]
    assert chosen(far, places((0.9, 0.5, 0.05, 0))) == []


def test_looks_decide_between_two_that_are_as_near() -> None:
    tracks = places((0.45, 0.5, 0.1, 0), (0.55, 0.5, 0.1, 8))
    faces = places((0.5, 0.5, 0.1, 8), (0.5, 0.5, 0.1, 0))
    assert chosen(tracks, faces) == [(1, 0), (0, 1)]


def test_place_size_and_looks_together_surprise_more_than_each_alone() -> None:
    track = places((0.5, 0.5, 0.1, 0))
    size = 0.1 * np.exp(CONFIG.surprising_growth)
    look = CONFIG.surprising_appearance
    for face in ((0.6, 0.5, 0.1, 0), (0.5, 0.5, size, 0), (0.5, 0.5, 0.1, look)):
        assert chosen(track, places(face), max_surprise=1.01) == [(0, 0)]
        assert chosen(track, places(face), max_surprise=0.99) == []
    every = places((0.5 + np.sqrt(0.1 * size), 0.5, size, look))
    assert chosen(track, every, max_surprise=3.01) == [(0, 0)]
    assert chosen(track, every, max_surprise=2.99) == []


def test_far_apart_is_who_can_be_nobody_else() -> None:
    track, there = places((0.1, 0.5, 0.1, 0)), (0.7, 0.5, 0.1, 1)
    assert far_pairs(track, places(there), CONFIG) == [(0, 0)]
    assert far_pairs(track, places((0.1 + 0.101 * CONFIG.far_reach, 0.5, 0.1, 1)), CONFIG) == []
    larger = 0.1 * np.exp(CONFIG.far_growth) * 1.01
    assert far_pairs(track, places((0.7, 0.5, larger, 1)), CONFIG) == []
    assert (
        far_pairs(track, places((0.7, 0.5, 0.1, CONFIG.far_appearance_distance + 0.1)), CONFIG)
        == []
    )
    two = places(there, (0.5, 0.5, 0.1, 2))
    assert far_pairs(track, two, CONFIG) == []
    assert far_pairs(two, track, CONFIG) == []
    assert far_pairs(places((0.1, 0.5, 0.1, 0), (0.5, 0.5, 0.1, 30)), two, CONFIG) == []
    assert far_pairs(places(), two, CONFIG) == far_pairs(two, places(), CONFIG) == []


def test_none_of_nothing() -> None:
    assert chosen(places(), places((0.5, 0.5, 0.1, 0))) == []
    assert chosen(places((0.5, 0.5, 0.1, 0)), places()) == []


row = st.tuples(
    st.floats(0, 1, width=32),
    st.floats(0, 1, width=32),
    st.floats(0.03125, 0.25, width=32),
    st.floats(0, 20, width=32),
)


@given(st.lists(row, max_size=6), st.lists(row, max_size=6), st.floats(0, 4, width=32))
@settings(max_examples=150, deadline=None)
def test_nothing_is_used_twice(
    tracks: list[tuple[float, ...]], faces: list[tuple[float, ...]], reach: float
) -> None:
    found = chosen(places(*tracks), places(*faces), reach)
    assert len({track for track, _ in found}) == len({face for _, face in found}) == len(found)
    assert [face for _, face in found] == sorted(face for _, face in found)
