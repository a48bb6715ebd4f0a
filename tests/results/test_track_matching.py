"""Which tracks of two runs are the same face, by rows written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.results.track_matching import Box, Matching, Moment, match, pairs

FPS, FRAMES = 24.0, 2400
LEFT: Box = (0.1, 0.2, 0.3, 0.6)
RIGHT: Box = (0.6, 0.2, 0.8, 0.6)


def moved(box: Box, x: float) -> Box:
    return (box[0] + x, box[1], box[2] + x, box[3])


def run(stride: int, tracks: dict[str, tuple[int, int, Box]], speed: float = 0.0) -> list[Moment]:
    """Each track is there from its first to before its last frame, and moves to the right."""
    found = []
    for frame in range(0, FRAMES, stride):
        faces = {
            name: moved(box, speed * frame)
            for name, (first, end, box) in tracks.items()
            if first <= frame < end
        }
        if faces:
            found.append(Moment(frame, frame / FPS, faces))
    return found


def matched(a: Iterable[Moment], b: Iterable[Moment], *strides: int) -> Matching:
    return match(a, b, (strides[0], strides[-1]), FRAMES, FPS)


def names(found: Matching) -> list[tuple[list[str], list[str]]]:
    return sorted(found.groups())


def test_a_run_does_not_differ_from_itself() -> None:
    one = run(6, {"t1": (0, 240, LEFT), "t2": (60, 300, RIGHT), "t3": (400, 500, LEFT)})
    found = matched(one, one, 6)
    assert names(found) == [(["t1"], ["t1"]), (["t2"], ["t2"]), (["t3"], ["t3"])]
    assert found.together["t1", "t1"] == (40, pytest.approx(40.0))
    assert found.alone == ([], [])
    assert found.compared[0] == found.compared[1]


def test_a_track_that_one_lacks_and_where_only_the_other_sees_faces() -> None:
    tracks = {"t1": (0, 240, LEFT), "t2": (120, 480, RIGHT)}
    found = matched(run(6, tracks), run(6, {"t1": tracks["t1"]}), 6)
    assert names(found) == [(["t1"], ["t1"])]
    assert found.compared[0]["t2"] == 60
    [(start_s, end_s)] = found.alone[0]
    assert (start_s, end_s) == pytest.approx((237 / FPS, 477 / FPS), abs=1e-3)
    assert found.alone[1] == []
    turned = matched(run(6, {"t1": tracks["t1"]}), run(6, tracks), 6)
    assert turned.alone == (found.alone[1], found.alone[0])


def test_other_numbers_are_the_same_tracks() -> None:
    a = run(6, {"t1": (0, 240, LEFT), "t2": (0, 240, RIGHT)})
    b = run(6, {"t7": (0, 240, RIGHT), "t8": (0, 240, LEFT)})
    assert names(matched(a, b, 6)) == [(["t1"], ["t8"]), (["t2"], ["t7"])]


@pytest.mark.parametrize(("stride", "other"), [(6, 12), (12, 6), (5, 7), (7, 24), (1, 6)])
def test_other_strides_of_moving_faces(stride: int, other: int) -> None:
    """A face that walks over the picture overlaps itself no more after a few samples."""
    tracks = {"t1": (0, 480, LEFT), "t2": (48, 96, (0.0, 0.7, 0.1, 0.9))}
    found = matched(run(stride, tracks, 0.001), run(other, tracks, 0.001), stride, other)
    assert names(found) == [(["t1"], ["t1"]), (["t2"], ["t2"])]
    count, total = found.together["t1", "t1"]
    assert count == pytest.approx(480 / max(stride, other), abs=1.5)
    assert total / count > 0.97
    assert found.compared[0]["t1"] == pytest.approx(count, abs=1)
    for intervals in found.alone:  # ends of tracks lie between samples
        assert sum(end - start for start, end in intervals) <= max(stride, other) / FPS + 1e-3


def test_no_box_is_made_up_in_frames_that_were_processed() -> None:
    """The run of the smaller stride looked there, and saw nobody."""
    a = [moment for moment in run(6, {"t1": (0, 240, LEFT)}) if moment.frame % 12]
    b = run(12, {"t1": (0, 240, LEFT)})
    found = matched(a, b, 6, 12)
    assert found.groups() == []
    assert found.compared[0] == {}
    assert found.compared[1]["t1"] == 20


def test_what_the_other_run_has_not_looked_at_is_known() -> None:
    a = run(6, {"t1": (0, 240, LEFT), "brief": (126, 131, RIGHT)})
    found = matched(a, run(24, {"t1": (0, 240, LEFT)}), 6, 24)
    assert found.compared[0]["brief"] == 0
    assert names(found) == [(["t1"], ["t1"])]
    assert found.alone == ([], [])


def test_a_track_in_two_parts_is_one_group() -> None:
    a = run(6, {"t1": (0, 480, LEFT)})
    b = run(6, {"t1": (0, 200, LEFT), "t2": (220, 480, LEFT), "t3": (0, 480, RIGHT)})
    found = matched(a, b, 6)
    assert names(found) == [(["t1"], ["t1", "t2"])]


def test_a_face_that_is_somewhere_else_is_another_one() -> None:
    a, b = run(6, {"t1": (0, 240, LEFT)}), run(6, {"t1": (0, 240, RIGHT)})
    found = matched(a, b, 6)
    assert found.groups() == []
    assert found.alone == ([], [])  # both see a face


def test_one_moment_in_a_hundred_makes_no_match() -> None:
    a = run(6, {"t1": (0, 600, LEFT)})
    b = [Moment(one.frame, one.seconds, {"t9": LEFT if one.frame == 300 else RIGHT}) for one in a]
    assert matched(a, b, 6).groups() == []


def test_each_box_has_one_partner_and_the_nearest_one() -> None:
    some = {"a1": LEFT, "a2": moved(LEFT, 0.04)}
    others = {"b1": moved(LEFT, 0.03), "b2": moved(LEFT, -0.01)}
    assert {pair for pair, _ in pairs(some, others)} == {("a1", "b2"), ("a2", "b1")}
    assert pairs({"a1": LEFT}, {"b1": RIGHT}) == []
    assert pairs({"a1": (0.1, 0.1, 0.1, 0.1)}, {"b1": (0.1, 0.1, 0.1, 0.1)}) == []


def test_frames_behind_the_end_are_not_compared() -> None:
    """The last sample stands for what is after it, but the other run has no frame there."""
    a = [Moment(FRAMES - 1, (FRAMES - 1) / FPS, {"t1": LEFT})]
    found = match(a, [], (6, FRAMES), FRAMES, FPS)
    assert found.compared[0] == {}
    assert found.alone == ([], [])


FACES = st.dictionaries(
    st.sampled_from(["t1", "t2", "t3"]), st.sampled_from([LEFT, RIGHT, (0.3, 0.3, 0.6, 0.7)])
)


@given(
    st.integers(1, 9), st.integers(1, 9), st.lists(FACES, max_size=40), st.lists(FACES, max_size=40)
)
def test_order_does_not_matter(
    stride: int, other: int, ours: list[dict[str, Box]], theirs: list[dict[str, Box]]
) -> None:
    """Turned round the answer is turned round, and no interval overlaps another one."""
    a = [Moment(n * stride, n * stride / FPS, faces) for n, faces in enumerate(ours) if faces]
    b = [Moment(n * other, n * other / FPS, faces) for n, faces in enumerate(theirs) if faces]
    found, turned = matched(a, b, stride, other), matched(b, a, other, stride)
    assert found.compared == turned.compared[::-1]
    assert found.alone == turned.alone[::-1]
    intervals = sorted([*found.alone[0], *found.alone[1]])
    assert all(end > start for start, end in intervals)
    assert all(one[1] <= after[0] + 1e-3 for one, after in pairwise(intervals))
    for (one, another), (count, total) in found.together.items():
        assert count <= min(found.compared[0][one], found.compared[1][another])
        assert 0.3 * count <= total <= count + 1e-9
