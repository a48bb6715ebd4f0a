"""Corrections reach other runs: tracks are found again by time, place and face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.common.contracts.rows import PersonRow
from apps.common.layout import Layout
from apps.common.people_schemas import Unmatched
from apps.people.corrected import corrected_people
from tests.people.test_corrected import CUTS, PEOPLE, VISITS, correction, tracks_of
from tests.support.people_run import EP, Visit, complete_run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    complete_run(tmp_path, "r1", VISITS, PEOPLE, cuts=CUTS)
    return Layout(tmp_path)


def later(
    layout: Layout, visits: list[Visit], groups: list[list[int]], **more: Any
) -> dict[int, str]:
    return complete_run(layout.root, "r2", visits, groups, **{"cuts": CUTS, **more})


def people(layout: Layout) -> list[PersonRow]:
    return corrected_people(layout, EP, "r2").rows


def by_name(layout: Layout) -> dict[str | None, list[str]]:
    return {row.name: row.track_ids for row in people(layout) if row.name is not None}


def unmatched(layout: Layout) -> list[Unmatched]:
    return corrected_people(layout, EP, "r2").unmatched


@pytest.mark.parametrize("stride", [1, 5, 12])
@pytest.mark.parametrize("frame", [0.0, 0.02, -0.02])
def test_another_stride_and_another_detector(layout: Layout, stride: int, frame: float) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    correction(layout, "r1", "name", "person-0002", name="Ben")
    correction(layout, "r1", "move", "person-0002", tracks=["track-00006"])
    # This run has grouped nothing, and has its tracks in another order.
    order = [3, 5, 0, 4, 1, 2]
    visits = [VISITS[number] for number in order]
    names = later(layout, visits, [[n] for n in range(6)], stride=stride, frame=frame)
    assert unmatched(layout) == []
    of = {order[number]: name for number, name in names.items()}
    tracks: dict[str | None, set[str]] = {}
    for row in people(layout):
        tracks.setdefault(row.name, set()).update(row.track_ids)
    assert tracks == {
        "Anna": {of[0], of[2], of[4]},
        "Ben": {of[1], of[3], of[5]},
    }


def test_all_that_one_correction_does_is_done_in_the_other_run(layout: Layout) -> None:
    correction(layout, "r1", "merge", "person-0001", "person-0002")
    correction(layout, "r1", "move", tracks=["track-00005"])
    correction(layout, "r1", "hide", "person-0003")
    names = later(layout, VISITS, [[n] for n in range(6)], stride=5)
    rows = people(layout)
    assert unmatched(layout) == []
    assert {tuple(row.track_ids): row.hidden for row in rows} == {
        tuple(sorted(names[n] for n in (0, 1, 2, 3))): False,
        (names[4],): True,
        (names[5],): False,
    }
    correction(layout, "r2", "undo")
    assert [row.hidden for row in people(layout)] == [False] * 3


def test_a_face_at_the_same_place_beyond_a_cut_is_another_one(tmp_path: Path) -> None:
    """Interviews: everybody sits in the middle. Nothing is known of the faces."""
    visits = [Visit(0, 0, 480, 0.4), Visit(1, 480, 960, 0.4)]
    layout = Layout(tmp_path)
    complete_run(tmp_path, "r1", visits, [[0], [1]], cuts=[480])
    [first] = [p for p, tracks in tracks_of(layout).items() if tracks == ["track-00001"]]
    correction(layout, "r1", "name", first, name="Anna")
    later(layout, visits, [[0], [1]], cuts=[480], stride=7, model="another")
    [anna, other] = sorted(people(layout), key=lambda row: row.appearances)
    assert (anna.name, other.name) == ("Anna", None)


def test_what_is_not_there_is_told(layout: Layout) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    correction(layout, "r1", "hide", "person-0002")
    correction(layout, "r1", "move", "person-0001", tracks=["track-00004", "track-00006"])
    # Neither Ben nor the third face is seen here.
    later(layout, [VISITS[n] for n in (0, 2, 4)], [[0, 1, 2]])
    assert set(by_name(layout)) == {"Anna"}
    told = [
        (one.revision, one.action, one.reason, one.person_ids, one.track_ids)
        for one in unmatched(layout)
    ]
    assert told == [
        (2, "hide", "not_found", ["person-0002"], []),
        (3, "move", "not_found", [], ["track-00004", "track-00006"]),
    ]


def test_half_of_a_move_is_told_as_such(layout: Layout) -> None:
    correction(layout, "r1", "move", "person-0001", tracks=["track-00004", "track-00006"])
    names = later(layout, VISITS[:5], PEOPLE)
    [one] = unmatched(layout)
    assert (one.reason, one.track_ids) == ("partly_found", ["track-00006"])
    assert names[3] in max((row.track_ids for row in people(layout)), key=len)


def test_a_person_that_is_the_smaller_part_of_another_is_not_renamed(layout: Layout) -> None:
    """The later run has taken all for one; calling that Ben would rename Anna."""
    correction(layout, "r1", "name", "person-0002", name="Ben")
    later(layout, VISITS, [[0, 1, 2, 3, 4, 5]])
    [row] = people(layout)
    assert row.name is None
    assert [(one.reason, one.name) for one in unmatched(layout)] == [("not_found", "Ben")]


@pytest.mark.parametrize(("apart", "told"), [(3, True), (1, False)])
def test_a_person_of_whom_most_is_in_another_is_told_as_partly_found(
    layout: Layout, apart: int, told: bool
) -> None:
    """Ben's visits are 1 and 3: the later run has one of them for itself, the other with Anna's."""
    correction(layout, "r1", "name", "person-0002", name="Ben")
    [other] = {1, 3} - {apart}
    names = later(layout, VISITS, [[0, 2, 4, other], [apart], [5]])
    assert by_name(layout) == {"Ben": [names[apart]]}
    assert [(one.reason, one.name) for one in unmatched(layout)] == [("partly_found", "Ben")] * told


def test_all_parts_of_a_person_get_the_name(layout: Layout) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    later(layout, VISITS, [[0, 2], [4], [1, 3]])
    assert sorted(row.name or "" for row in people(layout)) == ["", "Anna", "Anna"]


def test_another_face_in_the_place_is_not_taken_for_the_same(layout: Layout) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    strangers = [Visit(90 + n, v.first, v.end, v.x) for n, v in enumerate(VISITS)]
    later(layout, strangers, PEOPLE)
    assert by_name(layout) == {}
    assert [one.reason for one in unmatched(layout)] == ["not_alike"]


def test_embeddings_of_two_networks_are_not_compared(layout: Layout) -> None:
    """The same numbers of another network say nothing: the place does."""
    correction(layout, "r1", "name", "person-0001", name="Anna")
    strangers = [Visit(90 + n, v.first, v.end, v.x) for n, v in enumerate(VISITS)]
    later(layout, strangers, PEOPLE, model="arcface")
    assert set(by_name(layout)) == {"Anna"}


def test_the_place_in_another_video_says_nothing_by_itself(layout: Layout) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    later(layout, VISITS, PEOPLE, fingerprint="another", model="arcface")
    assert by_name(layout) == {}
    assert [one.reason for one in unmatched(layout)] == ["not_found"]
    # A copy that was encoded again: place and face together do.
    complete_run(layout.root, "r3", VISITS, PEOPLE, cuts=CUTS, fingerprint="another")
    assert [row.name for row in corrected_people(layout, EP, "r3").rows] == ["Anna", None]


@pytest.mark.parametrize("damage", ["missing", "damaged", "text"])
def test_a_run_without_readable_embeddings_is_matched_by_place(layout: Layout, damage: str) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    correction(layout, "r1", "merge", "person-0001", "person-0002")
    later(layout, VISITS, PEOPLE, stride=5)
    file = layout.run(EP, "r2").embeddings
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:300] if damage == "damaged" else b"no arrays")
    [row] = people(layout)
    assert row.name == "Anna"
    assert 0 <= row.confidence <= 1


def test_a_run_that_was_deleted_is_not_needed(layout: Layout) -> None:
    correction(layout, "r1", "name", "person-0001", name="Anna")
    for path in sorted(layout.run(EP, "r1").folder.rglob("*"), reverse=True):
        path.unlink()
    names = later(layout, VISITS, PEOPLE, stride=12)
    assert by_name(layout) == {"Anna": sorted(names[n] for n in (0, 2, 4))}


def test_another_run_of_the_same_name_is_another_run(layout: Layout) -> None:
    """Its tracks have other numbers; those of the old one are found by time and place."""
    [first] = [p for p, tracks in tracks_of(layout).items() if "track-00001" in tracks]
    correction(layout, "r1", "name", first, name="Anna")
    for path in sorted(layout.run(EP, "r1").folder.rglob("*"), reverse=True):
        path.unlink()
    layout.run(EP, "r1").folder.rmdir()
    order = [1, 0, 3, 2, 5, 4]
    names = complete_run(
        layout.root, "r1", [VISITS[n] for n in order], [[0, 2], [1, 3, 5]], cuts=CUTS
    )
    anna = sorted(names[order.index(n)] for n in (0, 2, 4))
    assert {row.name: row.track_ids for row in corrected_people(layout, EP, "r1").rows}[
        "Anna"
    ] == anna
    correction(layout, "r1", "merge", *tracks_of(layout))
    assert len(corrected_people(layout, EP, "r1").rows) == 1
