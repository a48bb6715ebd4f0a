"""Scores of people are those that a person would count."""

from __future__ import annotations

import numpy as np
import pytest

from lab.evaluation.people_scores import (
    Item,
    KnownPeople,
    PeopleScore,
    b_cubed,
    score_people,
    true_seconds,
)
from lab.evaluation.rows import Found, FrameTable, Marked, Truth
from lab.evaluation.screen_time import FrameTimes

LEFT, RIGHT = (0.0, 0.0, 40.0, 50.0), (200.0, 0.0, 240.0, 50.0)
FAR = (400.0, 0.0, 440.0, 30.0)  # no clear face: 30 pixels high
Visit = tuple[int, range, tuple[float, float, float, float]]


def items(*given: tuple[str, str, float]) -> list[Item]:
    return [Item(cluster, person, weight) for cluster, person, weight in given]


def test_right_groups_are_perfect() -> None:
    score = b_cubed(items(("a", "Anna", 3), ("a", "Anna", 1), ("b", "Bert", 2)))

    assert (score.precision, score.recall, score.f1) == (1.0, 1.0, 1.0)


def test_one_group_of_two_people() -> None:
    """Anna 3 s, Bert 1 s: of four seconds three have 3/4 of their group, and one has 1/4."""
    score = b_cubed(items(("a", "Anna", 3), ("a", "Bert", 1)))

    assert score.recall == 1.0
    assert score.precision == pytest.approx((3 * 3 / 4 + 1 * 1 / 4) / 4)  # 0.625
    assert score.f1 == pytest.approx(2 * 0.625 / 1.625)


def test_one_person_in_two_groups() -> None:
    """Anna's 4 s are 3 s and 1 s, Bert's 4 s are together."""
    score = b_cubed(items(("a", "Anna", 3), ("b", "Anna", 1), ("c", "Bert", 4)))

    assert score.precision == 1.0
    assert score.recall == pytest.approx((3 * 3 / 4 + 1 * 1 / 4 + 4 * 1) / 8)  # 0.8125


def test_the_example_of_the_literature() -> None:
    """Amigo et al. 2009: items of equal weight; {x, x, x, y} and {y, y}."""
    score = b_cubed(items(*[("1", "x", 1)] * 3, ("1", "y", 1), *[("2", "y", 1)] * 2))

    assert score.precision == pytest.approx((3 * 3 / 4 + 1 / 4 + 2) / 6)
    assert score.recall == pytest.approx((3 + 1 / 3 + 2 * 2 / 3) / 6)


def test_nobody_is_right() -> None:
    assert b_cubed([]).f1 == 1.0


def frames(*visits: Visit) -> FrameTable:
    table = FrameTable()
    for number, when, box in visits:
        for frame in when:
            table.add(frame, number, box, 0.9)
    return table


def known(
    *visits: Visit, ignored: tuple[Visit, ...] = (), step: int = 1, length: int = 100
) -> KnownPeople:
    """Identities 1 and 3 are Anna, 2 and 4 are Bert; ten pictures a second."""
    truth = Truth(frames(*visits).frames(), frames(*ignored).frames(), (), (), length, Marked(step))
    names = {1: "Anna", 2: "Bert", 3: "Anna", 4: "Bert", 9: "audience"}
    return KnownPeople(truth, names, FrameTimes(np.arange(length) / 10, length / 10))


def judged(
    truth: KnownPeople,
    tracks: tuple[Visit, ...],
    groups: list[list[int]],
    seconds: list[float],
    stride: int = 1,
) -> PeopleScore:
    sampled = tuple(range(0, truth.truth.frames, stride))
    rows = {f: r for f, r in frames(*tracks).frames().items() if f % stride == 0}
    return score_people(truth, Found(rows, sampled), groups, seconds, iou=0.5)


VISITS: tuple[Visit, ...] = (
    (1, range(0, 40), LEFT),
    (2, range(0, 40), RIGHT),
    (3, range(60, 100), RIGHT),
)


@pytest.mark.parametrize("stride", [1, 6])
def test_who_is_found_as_one(stride: int) -> None:
    score = judged(known(*VISITS), VISITS, [[1, 3], [2]], [8.0, 4.0], stride)

    assert (score.b_cubed.f1, score.tracks, score.unassigned, score.found) == (1.0, 3, 0, 2)
    assert [person.is_one for person in score.people] == [True, True]
    assert score.mean_error_s == pytest.approx(0.0)


def test_who_is_found_as_two_has_the_seconds_of_the_larger_one() -> None:
    """Anna is on the screen for 8 s of 10 s, and stands in two groups."""
    score = judged(known(*VISITS), VISITS, [[1], [2], [3]], [3.5, 4.0, 4.5])

    anna, bert = score.people
    assert (anna.groups, anna.is_one, bert.is_one) == ((0, 2), False, True)
    assert (anna.true_s, bert.error_s) == (pytest.approx(8.0), pytest.approx(0.0))
    assert anna.error_s == pytest.approx(-4.5)  # the first of two that share as much
    assert score.mean_error_s == pytest.approx(2.25)
    assert score.mean_share_error == pytest.approx(0.225)
    assert score.b_cubed.recall == pytest.approx((4 / 8 * 8 + 4) / 12)


def test_two_in_one_group_are_nobody() -> None:
    score = judged(known(*VISITS), VISITS, [[1, 2, 3]], [8.0])

    assert [person.is_one for person in score.people] == [False, False]
    assert (score.found, len(score.people)) == (1, 2)
    assert score.people[0].found_s == 8.0
    assert score.people[1].error_s == pytest.approx(-4.0)  # no group is left for Bert


def test_who_was_left_out_costs_recall_and_is_in_no_group() -> None:
    score = judged(known(*VISITS), VISITS, [[1], [2]], [4.0, 4.0])

    assert (score.unassigned, score.people[0].groups, score.people[0].is_one) == (1, (0,), True)
    assert score.b_cubed.precision == 1.0
    assert score.b_cubed.recall == pytest.approx((4 / 8 * 8 + 4) / 12)


def test_a_track_that_goes_over_is_that_of_the_one_where_it_is_longer() -> None:
    """Three of its seconds are Anna's, one is Bert's."""
    truth = known((1, range(0, 30), LEFT), (2, range(30, 40), LEFT))
    score = judged(truth, ((7, range(0, 40), LEFT),), [[7]], [4.0])

    assert (score.b_cubed.f1, score.tracks) == (1.0, 1)
    assert score.mixed_s == pytest.approx(1.0)
    assert [person.is_one for person in score.people] == [True, False]


def test_tracks_that_go_over_are_left_out_of_the_second_figure() -> None:
    """The mixed track is Anna's, and stands in Bert's group."""
    truth = known((1, range(0, 30), LEFT), (2, range(30, 90), LEFT))
    tracks: tuple[Visit, ...] = ((7, range(0, 50), LEFT), (8, range(50, 90), LEFT))
    score = judged(truth, tracks, [[7, 8]], [9.0])

    assert score.b_cubed.precision == pytest.approx((5 * 5 / 9 + 4 * 4 / 9) / 9)
    assert (score.of_pure.precision, score.of_pure.recall) == (1.0, 1.0)


def test_faces_that_need_not_be_found_make_no_people_and_faces_of_nobody_do() -> None:
    truth = known(*VISITS, ignored=((9, range(0, 40), FAR),))
    tracks: tuple[Visit, ...] = (*VISITS, (8, range(0, 40), FAR))
    nobody: Visit = (6, range(50, 55), (500.0, 100.0, 540.0, 150.0))

    assert judged(truth, tracks, [[1, 3], [2], [8]], [8, 4, 4]).found == 2
    assert judged(truth, (*tracks, nobody), [[1, 3], [2], [8], [6]], [8, 4, 4, 1]).found == 3


def test_only_clear_faces_are_clear() -> None:
    seconds, clear = true_seconds(known((1, range(0, 40), LEFT), (3, range(60, 80), FAR)))

    assert (seconds["Anna"], clear["Anna"]) == (pytest.approx(6.0), pytest.approx(4.0))


def test_a_marked_frame_stands_for_those_until_the_next() -> None:
    """Every third of a hundred frames is marked: frames 0, 3, ..., 39 stand for 4.2 s."""
    truth = known((1, range(0, 40, 3), LEFT), step=3)

    assert true_seconds(truth)[0]["Anna"] == pytest.approx(4.2)


def test_the_worst_of_those_who_are_seen_for_long() -> None:
    truth = known((1, range(0, 120), LEFT), (2, range(0, 50), RIGHT), length=120)
    score = judged(truth, ((1, range(0, 120), LEFT),), [[1]], [11.4])

    assert [person.person for person in score.long] == ["Anna"]
    assert score.worst_long_error == pytest.approx(0.05)
