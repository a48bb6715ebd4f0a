"""Which face continues which track."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import pipeline_config
from apps.pipeline.associate import Places, pairs

CONFIG = pipeline_config().track


def places(*rows: tuple[float, ...]) -> Places:
    """Rows of x, y, size, look."""
    table = np.array(rows, np.float32).reshape(-1, 4)
    return Places(table[:, :2], np.repeat(table[:, 2:3], 2, axis=1), table[:, 3:])


def chosen(tracks: Places, faces: Places, reach: float = 2.0) -> list[tuple[int, int]]:
    far = np.full(len(tracks), reach, np.float32)
    return pairs(tracks, far, faces, CONFIG.most_unlike, CONFIG)


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
    assert chosen(track, places((0.5, 0.5, 0.1, CONFIG.most_unlike + 1))) == []


def test_distance_is_measured_in_faces() -> None:
    near, far = places((0.5, 0.5, 0.4, 0)), places((0.5, 0.5, 0.05, 0))
    assert chosen(near, places((0.9, 0.5, 0.4, 0))) == [(0, 0)]
    assert chosen(far, places((0.9, 0.5, 0.05, 0))) == []


def test_looks_decide_between_two_that_are_as_near() -> None:
    tracks = places((0.45, 0.5, 0.1, 0), (0.55, 0.5, 0.1, 8))
    faces = places((0.5, 0.5, 0.1, 8), (0.5, 0.5, 0.1, 0))
    assert chosen(tracks, faces) == [(1, 0), (0, 1)]


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
