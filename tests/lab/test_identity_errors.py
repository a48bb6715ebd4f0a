"""Takeovers and splits are counted as a person would count them, each event once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from lab.evaluation.errors import IdentityError, identity_errors
from lab.evaluation.rows import Found, Frames, FrameTable, Marked, Truth
from lab.evaluation.scores import score

STRIDE = 6
Places = Mapping[int, float]  # left edge of each face of 10 pixels, by its number


def frames(places: Iterable[Places]) -> Frames:
    """A frame in six, in order."""
    table = FrameTable()
    for step, numbers in enumerate(places):
        for number, x in numbers.items():
            table.add(STRIDE * step, number, (x, 0.0, x + 10, 10.0), 0.9)
    return table.frames()


def errors(
    true: list[Places],
    tracks: list[Places],
    ignored: Iterable[Places] = (),
    marked: Marked | None = None,
) -> tuple[IdentityError, ...]:
    length = STRIDE * len(true)
    truth = Truth(frames(true), frames(ignored), (), (), length, marked or Marked())
    sampled = tuple(range(0, length, STRIDE))
    found = Found(frames(tracks), sampled, video_seconds=length / 24)
    errors_found = identity_errors(truth, found, iou=0.5)
    scores = score(truth, found, iou=0.5)
    kinds = [error.kind for error in errors_found]
    assert (scores.takeovers, scores.splits) == (kinds.count("takeover"), kinds.count("split"))
    return errors_found


def facts(of: Iterable[IdentityError]) -> list[tuple[str, int, int, int, int, int | None, int]]:
    return [
        (e.kind, e.frame, e.gap, e.identity_before, e.identity, e.track_before, e.track) for e in of
    ]


def test_tracks_that_keep_their_faces_have_no_errors() -> None:
    still = [{1: 0.0, 2: 50.0}] * 4
    assert errors(still, [{7: 0.0, 8: 50.0}] * 4) == ()
    gone_for_a_while = [still[0], {2: 50.0}, still[0]]
    assert errors(gone_for_a_while, gone_for_a_while) == ()


def test_a_new_face_takes_the_track_of_one_that_vanished() -> None:
    """The library's scores call this no switch: the second face never had another track."""
    [error] = errors([{1: 0.0}, {}, {2: 30.0}, {2: 30.0}], [{5: 0.0}, {}, {5: 30.0}, {5: 30.0}])
    assert facts([error]) == [("takeover", 12, 12, 1, 2, None, 5)]
    assert error.jump == pytest.approx(3.0)
    assert error.time_s == pytest.approx(0.5)
    assert error.last_right == 0


def test_a_swap_is_two_takeovers_and_no_split() -> None:
    true = [{1: 0.0, 2: 50.0}] * 3
    tracks = [{7: 0.0, 8: 50.0}, {7: 0.0, 8: 50.0}, {8: 0.0, 7: 50.0}]
    assert facts(errors(true, tracks)) == [
        ("takeover", 12, 6, 2, 1, 7, 8),
        ("takeover", 12, 6, 1, 2, 8, 7),
    ]


def test_a_face_goes_on_in_a_new_track_after_a_gap() -> None:
    [error] = errors([{1: 0.0}] * 4, [{5: 0.0}, {}, {}, {6: 0.0}])
    assert facts([error]) == [("split", 18, 18, 1, 1, 5, 6)]


def test_a_split_and_a_takeover_that_follows_it_are_two_events() -> None:
    """The first face breaks; later somebody new gets the track that it left."""
    true = [{1: 0.0}, {1: 0.0}, {1: 0.0, 2: 50.0}]
    tracks = [{5: 0.0}, {6: 0.0}, {6: 0.0, 5: 50.0}]
    assert facts(errors(true, tracks)) == [
        ("split", 6, 6, 1, 1, 5, 6),
        ("takeover", 12, 12, 1, 2, None, 5),
    ]


def test_a_face_that_takes_anothers_track_is_not_split_too() -> None:
    true = [{1: 0.0, 2: 50.0}, {1: 0.0}]
    assert facts(errors(true, [{7: 0.0, 8: 50.0}, {8: 0.0}])) == [("takeover", 6, 6, 2, 1, 7, 8)]


@pytest.mark.parametrize("later", [0, 1])
def test_a_face_whose_track_was_taken_counts_once_and_not_in_its_new_one(later: int) -> None:
    taken = [{2: 50.0}] * later
    true = [{1: 0.0}, *taken, {1: 0.0, 2: 50.0}]
    tracks = [{5: 0.0}, *([{5: 50.0}] * later), {6: 0.0, 5: 50.0}]
    assert [error.kind for error in errors(true, tracks)] == ["takeover"]


def test_the_way_back_is_a_second_takeover_but_no_second_split() -> None:
    away = [{5: 0.0}, {5: 50.0}, {5: 0.0}]
    assert [e.kind for e in errors([{1: 0.0}, {2: 50.0}, {1: 0.0}], away)] == ["takeover"] * 2
    assert [e.kind for e in errors([{1: 0.0}] * 3, [{5: 0.0}, {6: 0.0}, {5: 0.0}])] == ["split"]


def test_a_second_track_on_a_face_that_keeps_its_first_is_none() -> None:
    """Wherever the better box lies, as in CLEAR."""
    tracks = [{5: 0.0}, {5: 2.0, 6: 0.0}, {5: 2.0, 6: 0.0}]
    assert errors([{1: 0.0}] * 3, tracks) == ()


def test_who_need_not_be_found_is_somebody_all_the_same() -> None:
    true = [{1: 0.0}, {1: 0.0}, {}]
    tracks = [{5: 0.0}, {5: 0.0}, {5: 50.0}]
    assert facts(errors(true, tracks, ignored=[{}, {}, {9: 50.0}])) == [
        ("takeover", 12, 6, 1, 9, None, 5)
    ]
    assert errors(true, tracks, ignored=[{}, {}, {-1: 50.0}]) == ()


def test_among_those_who_never_count_nothing_is_wrong() -> None:
    aside = [{8: 0.0}, {9: 50.0}, {9: 50.0}]
    assert errors([{}] * 3, [{5: 0.0}, {5: 50.0}, {6: 50.0}], ignored=aside) == ()


def test_a_face_that_turns_away_may_be_split_where_it_counts_again() -> None:
    true, away = [{1: 0.0}, {}, {1: 0.0}], [{}, {1: 0.0}]
    assert errors(true, [{5: 0.0}, {5: 0.0}, {5: 0.0}], ignored=away) == ()
    assert errors(true, [{5: 0.0}, {6: 0.0}, {5: 0.0}], ignored=away) == ()
    assert facts(errors(true, [{5: 0.0}, {6: 0.0}, {6: 0.0}], ignored=away)) == [
        ("split", 12, 12, 1, 1, 5, 6)
    ]


def test_only_marked_frames_tell() -> None:
    """Frame 6 is not marked, so the face that is not there is not missed, nor its track wrong."""
    true: list[Places] = [{1: 0.0}, {2: 0.0}, {1: 0.0}]
    assert len(errors(true, [{5: 0.0}] * 3)) == 2
    assert errors(true, [{5: 0.0}] * 3, marked=Marked(step=12)) == ()
