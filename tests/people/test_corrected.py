"""People as they are corrected: each action, figures that are counted again, undoing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.contracts.rows import PersonRow
from apps.common.errors import InvalidInput, PeopleChanged
from apps.common.layout import Layout
from apps.common.people_schemas import CorrectionRequest
from apps.people.correct import correct
from apps.people.corrected import CorrectedPeople, corrected_people
from apps.people.log import read_log
from tests.support.people_run import EP, Visit, complete_run

# Two people in three shots; the third shot has one alone, and a face that is nobody's.
VISITS = [
    Visit(0, 0, 200, 0.1), Visit(1, 0, 250, 0.6),
    Visit(0, 300, 560, 0.5), Visit(1, 310, 500, 0.1),
    Visit(0, 600, 900, 0.3), Visit(2, 700, 740, 0.7),
]  # fmt: skip
CUTS = [280, 600]
PEOPLE = [[0, 2, 4], [1, 3]]
Correct = Callable[..., CorrectedPeople]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    complete_run(tmp_path, "r1", VISITS, PEOPLE, cuts=CUTS)
    return Layout(tmp_path)


@pytest.fixture
def by_hand(layout: Layout) -> Correct:
    """Corrects the run, as somebody who has seen the newest revision."""

    def do(action: str, *people: str, tracks: list[str] | None = None, **more: Any) -> Any:
        return correction(layout, "r1", action, *people, tracks=tracks, **more)

    return do


def correction(
    layout: Layout,
    run_id: str,
    action: str,
    *people: str,
    tracks: list[str] | None = None,
    **more: Any,
) -> CorrectedPeople:
    body = {
        "revision": read_log(layout, EP).revision,
        "action": action,
        "person_ids": list(people),
        "track_ids": tracks or [],
        **more,
    }
    return correct(layout, EP, run_id, CorrectionRequest.model_validate(body))


def rows(layout: Layout, run_id: str = "r1") -> dict[str, PersonRow]:
    return {row.person_id: row for row in corrected_people(layout, EP, run_id).rows}


def tracks_of(layout: Layout, run_id: str = "r1") -> dict[str, list[str]]:
    return {person: row.track_ids for person, row in rows(layout, run_id).items()}


def track(number: int) -> str:
    return f"track-{number:05d}"


def test_without_corrections_rows_are_those_of_the_run(layout: Layout) -> None:
    found = corrected_people(layout, EP, "latest")
    written = [
        PersonRow.model_validate_json(line)
        for line in layout.run(EP, "r1").people.read_text().splitlines()
    ]
    assert found.rows == written
    assert (found.revision, found.unmatched, found.damaged_lines) == (0, [], 0)


@pytest.mark.parametrize(
    "name",
    ["Anna", "<script>alert(1)</script>", "عمر بن‏", "مرحبا <b>", "x" * 200],
)
def test_a_name_is_kept_as_it_is(layout: Layout, by_hand: Correct, name: str) -> None:
    found = by_hand("name", "person-0001", name=name)
    assert found.revision == 1
    assert rows(layout)["person-0001"].name == name
    assert by_hand("name", "person-0001", name="").rows[0].name is None


@pytest.mark.parametrize("name", ["x" * 201, "x" * 10_000, "two\nlines", "a\u2028b", "nul\0"])
def test_what_is_no_name_is_refused(layout: Layout, name: str) -> None:
    with pytest.raises(ValueError, match=r"200|one line"):
        correction(layout, "r1", "name", "person-0001", name=name)
    assert not layout.corrections(EP).exists()


def test_a_run_s_own_files_stay(layout: Layout, by_hand: Correct) -> None:
    folder = layout.run(EP, "r1").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    by_hand("merge", "person-0001", "person-0002")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_merged_people_are_one(layout: Layout, by_hand: Correct) -> None:
    first, second = rows(layout)["person-0001"], rows(layout)["person-0002"]
    by_hand("name", "person-0002", name="Ben")
    [row] = by_hand("merge", "person-0001", "person-0002").rows
    assert row.person_id == "person-0001"
    assert row.name == "Ben"  # the one that stays had none
    assert row.track_ids == sorted(first.track_ids + second.track_ids)
    # Seen side by side: each moment counts once.
    assert max(first.screen_seconds, second.screen_seconds) < row.screen_seconds
    assert row.screen_seconds < first.screen_seconds + second.screen_seconds
    assert row.screen_seconds == pytest.approx(sum(e - b for b, e in row.appearances), abs=2e-3)
    assert row.share == pytest.approx(row.screen_seconds / 40, abs=1e-4)
    assert row.confidence < first.confidence
    assert {face.track_id for face in row.best_faces} == set(row.track_ids)


def test_the_first_one_keeps_its_name(layout: Layout, by_hand: Correct) -> None:
    by_hand("name", "person-0001", name="Anna")
    by_hand("name", "person-0002", name="Ben")
    [row] = by_hand("merge", "person-0002", "person-0001").rows
    assert (row.person_id, row.name) == ("person-0002", "Ben")


def test_moved_tracks_are_a_person_of_their_own(layout: Layout, by_hand: Correct) -> None:
    before = rows(layout)
    by_hand("move", tracks=before["person-0001"].track_ids[:1])
    after = rows(layout)
    assert after["person-0003"].track_ids == before["person-0001"].track_ids[:1]
    assert after["person-0001"].track_ids == before["person-0001"].track_ids[1:]
    assert after["person-0002"] == before["person-0002"]
    whole = after["person-0001"].screen_seconds + after["person-0003"].screen_seconds
    assert whole == pytest.approx(before["person-0001"].screen_seconds, abs=1e-3)
    assert after["person-0003"].best_faces[0].track_id == before["person-0001"].track_ids[0]
    assert after["person-0003"].confidence == 1.0


def test_a_track_of_nobody_can_be_moved(layout: Layout, by_hand: Correct) -> None:
    nobody = track(6)
    assert all(nobody not in row.track_ids for row in rows(layout).values())
    by_hand("move", "person-0002", tracks=[nobody])
    row = rows(layout)["person-0002"]
    assert nobody in row.track_ids
    assert nobody in {face.track_id for face in row.best_faces}


def test_who_has_no_track_left_is_gone(layout: Layout, by_hand: Correct) -> None:
    tracks = rows(layout)["person-0002"].track_ids
    by_hand("move", "person-0001", tracks=tracks)
    assert set(rows(layout)) == {"person-0001"}
    by_hand("undo")
    assert set(rows(layout)) == {"person-0001", "person-0002"}


def test_hidden_people_stay_among_the_rows(layout: Layout, by_hand: Correct) -> None:
    assert [row.hidden for row in by_hand("hide", "person-0002").rows] == [False, True]
    assert [row.hidden for row in by_hand("show", "person-0002").rows] == [False, False]


def test_undo_takes_back_one_after_the_other(layout: Layout, by_hand: Correct) -> None:
    stand = [rows(layout)]
    by_hand("name", "person-0001", name="Anna")
    stand.append(rows(layout))
    by_hand("merge", "person-0001", "person-0002")
    by_hand("undo")
    assert rows(layout) == stand[1]
    by_hand("undo")
    assert rows(layout) == stand[0]
    with pytest.raises(InvalidInput, match="no correction"):
        by_hand("undo")
    assert [each.undone for each in read_log(layout, EP).told()] == [True, True, False, False]


@pytest.mark.parametrize(
    ("action", "people", "tracks", "says"),
    [
        ("name", [], [], "about 1 of"),
        ("merge", ["person-0001"], [], "2 or more"),
        ("merge", ["person-0001", "person-0001"], [], "twice"),
        ("hide", [], [], "1 or more"),
        ("move", ["person-0001"], [], "track_ids"),
        ("move", ["person-0001", "person-0002"], [track(1)], "one at most"),
        ("hide", ["person-0001"], [track(1)], "track_ids"),
        ("move", [], [track(99)], "no track"),
        ("hide", ["person-0099"], [], "no person"),
        ("move", [], [track(1), track(3), track(5)], "already"),
        ("undo", ["person-0001"], [], "about 0 of"),
    ],
)
def test_what_makes_no_sense_is_refused(
    layout: Layout, action: str, people: list[str], tracks: list[str], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        correction(layout, "r1", action, *people, tracks=tracks)
    assert read_log(layout, EP).rows == ()


def test_who_has_not_seen_the_newest_changes_nothing(layout: Layout, by_hand: Correct) -> None:
    by_hand("name", "person-0001", name="Anna")
    late = CorrectionRequest(revision=0, action="name", person_ids=["person-0001"], name="Eve")
    with pytest.raises(PeopleChanged) as refusal:
        correct(layout, EP, "r1", late)
    assert refusal.value.extra["revision"] == 1
    assert [each["name"] for each in refusal.value.extra["changed"]] == ["Anna"]
    assert rows(layout)["person-0001"].name == "Anna"


@pytest.mark.parametrize(
    ("stride", "begins_s", "uneven"), [(1, 0.0, 0.0), (6, 0.0, 0.0), (12, 0.8520, 0.0), (6, 0, 0.9)]
)
def test_what_is_put_together_again_is_counted_as_the_run_counts_it(
    tmp_path: Path, stride: int, begins_s: float, uneven: float
) -> None:
    """The same two people by their tracks: once by the run, once by hand."""
    by_track = [[number] for number in range(len(VISITS) - 1)]
    more = {"stride": stride, "cuts": CUTS, "begins_s": begins_s, "uneven": uneven}
    complete_run(tmp_path, "whole", VISITS, PEOPLE, ep_id="whole", **more)  # type: ignore[arg-type]
    names = complete_run(tmp_path, "r1", VISITS, by_track, **more)  # type: ignore[arg-type]
    layout = Layout(tmp_path)
    for group in PEOPLE:
        found = tracks_of(layout)
        people = [p for v in group for p, tracks in found.items() if tracks == [names[v]]]
        correction(layout, "r1", "merge", *people)
    expected = corrected_people(layout, "whole", "whole").rows
    for row, person in zip(corrected_people(layout, EP, "r1").rows, expected, strict=True):
        assert row.track_ids == person.track_ids
        for found_s, run_s in zip(row.appearances, person.appearances, strict=True):
            assert found_s == pytest.approx(run_s, abs=2e-4)
        assert row.screen_seconds == pytest.approx(person.screen_seconds, abs=1e-3)
        assert row.screen_error_seconds == pytest.approx(person.screen_error_seconds, abs=1e-3)
        assert row.share == pytest.approx(person.share, abs=1e-4)
        assert row.confidence == pytest.approx(person.confidence, abs=1e-3)


@pytest.mark.parametrize(
    "told",
    [
        {"scene_cuts_s": "soon"},
        {"scene_cuts_s": [1e300, -5.0]},
        {"scene_cuts_s": [float("nan"), True]},
        {"scene_cuts_error_s": [1e200, 1e200]},
        {"scene_cuts_error_s": [10**400, None]},
        {"scene_cuts": [-6, 10**30]},
        {"scene_cuts_s": None, "scene_cuts_error_s": None},
    ],
)
def test_times_of_cuts_that_cannot_be_are_not_believed(
    layout: Layout, by_hand: Correct, told: dict[str, Any]
) -> None:
    metrics = layout.run(EP, "r1").metrics
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | told))
    by_hand("merge", "person-0001", "person-0002")
    (person,) = rows(layout).values()
    assert person.screen_seconds == pytest.approx((250 + 260 + 300) / 24, abs=0.3)
    assert 0 < (person.screen_error_seconds or 0) < 0.5


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("property")
    complete_run(root, "r1", VISITS, PEOPLE, cuts=CUTS, stride=24)
    return Layout(root)


ACTIONS = st.sampled_from(["name", "merge", "move", "hide"])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 99)), min_size=1, max_size=8))
def test_whatever_was_corrected_is_a_partition_and_can_be_undone(
    shared: Layout, wishes: list[tuple[str, int]]
) -> None:
    shared.corrections(EP).unlink(missing_ok=True)
    stand = [rows(shared)]
    for action, seed in wishes:
        wish = _wish(action, random.Random(seed), stand[-1])
        if wish is None:
            continue
        answer = correction(shared, "r1", action, *wish[0], tracks=wish[1], name=wish[2])
        stand.append({row.person_id: row for row in answer.rows})
        tracks = [one for row in stand[-1].values() for one in row.track_ids]
        assert len(set(tracks)) == len(tracks)
        assert {one for row in stand[0].values() for one in row.track_ids} <= set(tracks)
        assert all(row.track_ids for row in stand[-1].values())
        assert answer.unmatched == []
    while len(stand) > 1:
        assert rows(shared) == stand.pop()
        correction(shared, "r1", "undo")
    assert rows(shared) == stand[0]


def _wish(
    action: str, chance: random.Random, people: dict[str, PersonRow]
) -> tuple[list[str], list[str], str | None] | None:
    """A correction that makes sense, if there is one."""
    ids = sorted(people)
    if action == "merge":
        return (chance.sample(ids, 2), [], None) if len(ids) > 1 else None
    if action == "move":
        number = chance.randint(1, 6)
        wholes = [row.track_ids for row in people.values()]
        if chance.random() < 0.5:
            return [chance.choice(ids)], [track(number)], None
        return None if [track(number)] in wholes else ([], [track(number)], None)
    return [chance.choice(ids)], [], "Anna" if action == "name" else None
