"""Which face continues which track."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import pipeline_config
from apps.pipeline.track.association import BoxStates, PairLimits, far_pairs, pairs

CONFIG = pipeline_config().track


def states(*rows: tuple[float, ...]) -> BoxStates:
    """Rows of x, y, size, appearance."""
    table = np.array(rows, np.float32).reshape(-1, 4)
    return BoxStates(table[:, :2], np.repeat(table[:, 2:3], 2, axis=1), table[:, 3:])


def chosen(
    tracks: BoxStates, faces: BoxStates, gate_distance: float = 2.0, max_surprise: float = np.inf
) -> list[tuple[int, int]]:
    every = (
        np.full(len(tracks), limit)
        for limit in (gate_distance, max_surprise, CONFIG.max_appearance_distance)
    )
    return pairs(tracks, faces, PairLimits(*every, CONFIG.max_scale_change), CONFIG)


def test_the_nearest_are_pairs_and_the_sum_decides() -> None:
    tracks = states((0.2, 0.5, 0.1, 0), (0.3, 0.5, 0.1, 0))
    # The face between them is nearer to the second, which has a face of its own farther right.
    faces = states((0.27, 0.5, 0.1, 0), (0.4, 0.5, 0.1, 0))
    assert chosen(tracks, faces) == [(0, 0), (1, 1)]


def test_what_is_too_far_too_large_or_too_different_is_no_pair() -> None:
    track = states((0.5, 0.5, 0.1, 0))
    assert chosen(track, states((0.69, 0.5, 0.1, 0))) == [(0, 0)]
    assert chosen(track, states((0.71, 0.5, 0.1, 0))) == []
    assert chosen(track, states((0.5, 0.5, 0.1 * CONFIG.max_scale_change * 1.05, 0))) == []
    assert chosen(track, states((0.5, 0.5, 0.1 / CONFIG.max_scale_change / 1.05, 0))) == []
    assert chosen(track, states((0.5, 0.5, 0.1, CONFIG.max_appearance_distance + 1))) == []


def test_distance_is_measured_in_faces() -> None:
    near, far = states((0.5, 0.5, 0.4, 0)), states((0.5, 0.5, 0.05, 0))
    assert chosen(near, states((0.9, 0.5, 0.4, 0))) == [(0, 0)]
    assert chosen(far, states((0.9, 0.5, 0.05, 0))) == []


def test_appearance_decides_between_two_that_are_as_near() -> None:
    tracks = states((0.45, 0.5, 0.1, 0), (0.55, 0.5, 0.1, 8))
    faces = states((0.5, 0.5, 0.1, 8), (0.5, 0.5, 0.1, 0))
    assert chosen(tracks, faces) == [(1, 0), (0, 1)]


def test_place_size_and_appearance_together_surprise_more_than_each_alone() -> None:
    track = states((0.5, 0.5, 0.1, 0))
    size = 0.1 * np.exp(CONFIG.surprising_scale_change)
    appearance = CONFIG.surprising_appearance
    for face in ((0.6, 0.5, 0.1, 0), (0.5, 0.5, size, 0), (0.5, 0.5, 0.1, appearance)):
        assert chosen(track, states(face), max_surprise=1.01) == [(0, 0)]
        assert chosen(track, states(face), max_surprise=0.99) == []
    every = states((0.5 + np.sqrt(0.1 * size), 0.5, size, appearance))
    assert chosen(track, every, max_surprise=3.01) == [(0, 0)]
    assert chosen(track, every, max_surprise=2.99) == []


def test_far_apart_is_who_can_be_nobody_else() -> None:
    track, there = states((0.1, 0.5, 0.1, 0)), (0.7, 0.5, 0.1, 1)
    assert far_pairs(track, states(there), CONFIG) == [(0, 0)]
    assert (
        far_pairs(track, states((0.1 + 0.101 * CONFIG.far_gate_distance, 0.5, 0.1, 1)), CONFIG)
        == []
    )
    larger = 0.1 * np.exp(CONFIG.far_scale_change) * 1.01
    assert far_pairs(track, states((0.7, 0.5, larger, 1)), CONFIG) == []
    assert (
        far_pairs(track, states((0.7, 0.5, 0.1, CONFIG.far_appearance_distance + 0.1)), CONFIG)
        == []
    )
    two = states(there, (0.5, 0.5, 0.1, 2))
    assert far_pairs(track, two, CONFIG) == []
    assert far_pairs(two, track, CONFIG) == []
    assert far_pairs(states((0.1, 0.5, 0.1, 0), (0.5, 0.5, 0.1, 30)), two, CONFIG) == []
    assert far_pairs(states(), two, CONFIG) == far_pairs(two, states(), CONFIG) == []


def test_none_of_nothing() -> None:
    assert chosen(states(), states((0.5, 0.5, 0.1, 0))) == []
    assert chosen(states((0.5, 0.5, 0.1, 0)), states()) == []


row = st.tuples(
    st.floats(0, 1, width=32),
    st.floats(0, 1, width=32),
    st.floats(0.03125, 0.25, width=32),
    st.floats(0, 20, width=32),
)


@given(st.lists(row, max_size=6), st.lists(row, max_size=6), st.floats(0, 4, width=32))
@settings(max_examples=150, deadline=None)
def test_nothing_is_used_twice(
    tracks: list[tuple[float, ...]], faces: list[tuple[float, ...]], gate_distance: float
) -> None:
    found = chosen(states(*tracks), states(*faces), gate_distance)
    assert len({track for track, _ in found}) == len({face for _, face in found}) == len(found)
    assert [face for _, face in found] == sorted(face for _, face in found)
