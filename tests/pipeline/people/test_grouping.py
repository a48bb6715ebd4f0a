"""Tracks of one person are one group; who is seen together never is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from apps.pipeline.arrays import FloatArray
from apps.pipeline.people.grouping import TrackFace, grouped

ANNA, BERT = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def track(number: int, face: tuple[float, ...], *frames: int) -> TrackFace:
    values: FloatArray = np.array(face, np.float32)
    return TrackFace(number, values / np.linalg.norm(values), np.array(frames, np.int64))


def people(*tracks: TrackFace, max_distance: float = 0.1) -> list[tuple[int, ...]]:
    return [group.tracks for group in grouped(tracks, max_distance)]


def test_no_tracks_are_nobody() -> None:
    assert grouped([], 0.1) == []


def test_one_track_is_one_person() -> None:
    (group,) = grouped([track(7, ANNA, 1, 2)], 0.1)

    assert (group.tracks, group.confidence) == ((7,), 1.0)


def test_tracks_that_look_alike_are_one_person() -> None:
    tracks = [track(3, ANNA, 20), track(1, ANNA, 0), track(2, BERT, 10)]

    assert people(*tracks) == [(1, 3), (2,)]


def test_who_is_seen_together_is_never_one() -> None:
    assert people(track(1, ANNA, 0, 6, 12), track(2, ANNA, 12, 18)) == [(1,), (2,)]


def test_a_third_track_joins_one_of_two_who_are_seen_together() -> None:
    """It may not bring the two together."""
    nearer = (1.0, 0.02, 0.0)
    tracks = [track(1, ANNA, 0, 6), track(2, (1.0, 0.1, 0.0), 6, 12), track(3, nearer, 30)]

    assert people(*tracks) == [(1, 3), (2,)]


def test_three_in_one_frame_are_three() -> None:
    assert people(*(track(n, ANNA, 5) for n in (1, 2, 3))) == [(1,), (2,), (3,)]


def test_the_distance_decides() -> None:
    aside = (1.0, 0.5, 0.0)  # a cosine of 0.894
    tracks = [track(1, ANNA, 0), track(2, aside, 10)]

    assert people(*tracks, max_distance=0.10) == [(1,), (2,)]
    assert people(*tracks, max_distance=0.11) == [(1, 2)]


@pytest.mark.parametrize("max_distance", [0.03, 0.05, 0.08])
def test_groups_are_those_of_scipy(max_distance: float) -> None:
    """Forty tracks of eight people in different states of blur, none seen with another."""
    random = np.random.default_rng(8)
    people = random.normal(size=(8, 64))[random.integers(0, 8, 40)]
    faces = 2 * random.normal(size=64) + 0.5 * people + 0.35 * random.normal(size=(40, 64))
    tracks = [track(n, tuple(face), 5 * n) for n, face in enumerate(faces)]
    unit = np.stack([each.embedding for each in tracks]).astype(float)
    near = np.maximum(1 - unit @ unit.T, 0)[np.triu_indices(40, 1)]
    labels = fcluster(linkage(near, "average"), max_distance, "distance")

    found = [group.tracks for group in grouped(tracks, max_distance)]

    wanted = {tuple(np.flatnonzero(labels == label).tolist()) for label in labels}
    assert 1 < len(found) < 40
    assert set(found) == wanted


def test_confidence_is_that_of_the_least_alike() -> None:
    (group,) = grouped([track(1, ANNA, 0), track(2, ANNA, 9), track(3, (1.0, 0.4, 0.0), 18)], 0.2)

    mean = np.array([2 + 1 / np.hypot(1, 0.4), 0.4 / np.hypot(1, 0.4), 0.0])
    wanted = np.array([1, 0.4, 0]) / np.hypot(1, 0.4) @ (mean / np.linalg.norm(mean))
    assert group.confidence == pytest.approx(wanted, abs=1e-5)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ANNA, BERT, (1.0, 0.05, 0.0), (0.7, 0.7, 0.1)]),
            st.sets(st.integers(0, 30), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=14,
    )
)
def test_every_track_is_in_one_group_without_a_shared_frame(
    drawn: list[tuple[tuple[float, ...], set[int]]],
) -> None:
    tracks = [track(n, face, *sorted(frames)) for n, (face, frames) in enumerate(drawn, start=1)]

    groups = people(*tracks)

    assert sorted(number for group in groups for number in group) == [t.number for t in tracks]
    assert groups == sorted(groups)
    for group in groups:
        frames = [frame for number in group for frame in tracks[number - 1].frames.tolist()]
        assert len(frames) == len(set(frames))
    assert people(*reversed(tracks)) == groups  # whatever the order
