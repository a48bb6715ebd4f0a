"""The mean of a track's faces is one person's."""

from __future__ import annotations

import numpy as np
import pytest

from apps.pipeline.people.track_mean import track_mean

ANNA, BERT = (1.0, 0.0), (0.0, 1.0)
ANNA_ASIDE = (0.96, 0.28)  # of length 1


def mean(
    *faces: tuple[float, float], weights: tuple[float, ...] | None = None, other_person: float = 0.8
) -> tuple[list[float], float]:
    given = np.ones(len(faces)) if weights is None else np.array(weights)
    embedding, spread = track_mean(np.array(faces, np.float32), given, other_person)
    return embedding.tolist(), spread


def test_of_one_face_it_is_the_face() -> None:
    embedding, spread = mean(ANNA)

    assert (embedding, spread) == ([1.0, 0.0], 0.0)


def test_it_is_of_length_one_and_between_its_faces() -> None:
    embedding, spread = mean(ANNA, ANNA_ASIDE)

    assert np.linalg.norm(embedding) == pytest.approx(1.0)
    assert embedding == pytest.approx([0.98995, 0.14142], abs=1e-4)  # half of 16.26 degrees
    assert spread == pytest.approx(1 - 0.98995, abs=1e-4)


def test_a_better_face_counts_more() -> None:
    towards, _ = mean(ANNA, ANNA_ASIDE, weights=(0.1, 0.9))

    assert towards[1] == pytest.approx(0.9 * 0.28, abs=0.01)


def test_faces_of_another_person_are_left_out() -> None:
    embedding, _ = mean(ANNA, BERT, ANNA_ASIDE)

    assert embedding == pytest.approx([0.98995, 0.14142], abs=1e-4)


def test_of_two_people_the_better_seen_one_counts() -> None:
    assert mean(ANNA, BERT, weights=(0.4, 0.6))[0] == [0.0, 1.0]
    assert mean(ANNA, BERT, weights=(0.5, 0.5))[0] == [1.0, 0.0]


def test_who_is_seen_longer_counts_before_who_is_seen_better() -> None:
    assert mean(ANNA, BERT, BERT, weights=(0.9, 0.1, 0.1))[0] == [0.0, 1.0]


def test_where_nobody_is_another_all_count() -> None:
    embedding, _ = mean(ANNA, BERT, other_person=-1.0)

    assert embedding == pytest.approx([np.sqrt(0.5)] * 2)
