"""Names from other episodes of a show: who is suggested, who is not, and what was said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.common.errors import CorrectionsUnreadable, InvalidInput
from apps.common.layout import Layout
from apps.common.library_schemas import EpisodeChange
from apps.common.people_schemas import CorrectionRequest, Suggestion
from apps.people import cast
from apps.people.correct import correct
from apps.people.corrected import corrected_people
from apps.people.forget import forget_everywhere
from apps.people.known import Known
from apps.people.log import CorrectionLog, read_log
from apps.people.suggestions import suggestions
from apps.runs.about import change_episode
from tests.support.people_run import Visit, complete_run

FIRST, SECOND, OTHER = "talk-s01e01", "talk-s01e02", "news-s01e01"
# In the first episode two people, in the second the same two, one of them twice, and a third one.
TWO = [Visit(0, 0, 250, 0.1), Visit(1, 0, 200, 0.6)]
FOUR = [
    Visit(1, 0, 240, 0.1),
    Visit(0, 0, 300, 0.6),
    Visit(0, 600, 900, 0.3),
    Visit(2, 700, 800, 0.7),
]
CUTS = [400]
Run = Callable[..., dict[int, str]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    complete_run(tmp_path, "r1", TWO, [[0], [1]], ep_id=FIRST)
    complete_run(tmp_path, "r1", FOUR, [[0], [1], [2], [3]], ep_id=SECOND, cuts=CUTS)
    return Layout(tmp_path)


def say(
    layout: Layout, ep_id: str, action: str, *people: str, run: str = "r1", **more: Any
) -> None:
    revision = read_log(layout, ep_id).revision
    body = {"revision": revision, "action": action, "person_ids": list(people), **more}
    correct(layout, ep_id, run, CorrectionRequest.model_validate(body))


def name_both(layout: Layout) -> None:
    say(layout, FIRST, "name", "person-0001", name="Anna")
    say(layout, FIRST, "name", "person-0002", name="Ben")


def found(layout: Layout, ep_id: str = SECOND, known: Known | None = None) -> dict[str, Suggestion]:
    return {one.person_id: one for one in suggestions(layout, ep_id, "latest", known).items}


def names(layout: Layout, ep_id: str = SECOND) -> dict[str, str]:
    return {person: one.name for person, one in found(layout, ep_id).items()}


def person_of(layout: Layout, track: int, ep_id: str = SECOND) -> str:
    rows = corrected_people(layout, ep_id, "latest").rows
    [found] = [row.person_id for row in rows if f"track-{track:05d}" in row.track_ids]
    return found


@pytest.fixture
def people(layout: Layout) -> dict[str, str]:
    """Persons of the second episode: `ben`, `anna`, `anna again`, `stranger`."""
    called = ("ben", "anna", "anna again", "stranger")
    return {name: person_of(layout, track) for track, name in enumerate(called, start=1)}


def test_nobody_is_suggested_before_somebody_is_named(layout: Layout) -> None:
    answer = suggestions(layout, SECOND, "r1")
    assert (answer.show, answer.items, answer.ep_ids) == ("talk", [], [])


def test_who_is_named_in_another_episode_is_suggested(
    layout: Layout, people: dict[str, str]
) -> None:
    name_both(layout)
    assert names(layout) == {
        people["ben"]: "Ben", people["anna"]: "Anna", people["anna again"]: "Anna",
    }  # fmt: skip
    one = found(layout)[people["ben"]]
    assert 0.9 < one.likeness <= 1
    [seen] = one.seen_in
    assert (seen.ep_id, seen.run_id, seen.person_id) == (FIRST, "r1", "person-0002")
    assert seen.track_id in {row.track_ids[0] for row in corrected_people(layout, FIRST, "r1").rows}
    assert suggestions(layout, SECOND, "r1").ep_ids == [FIRST]
    assert names(layout, FIRST) == {}  # its own names are none for it


def test_a_confirmed_name_stays_and_draws_who_is_alike(
    layout: Layout, people: dict[str, str]
) -> None:
    name_both(layout)
    say(layout, SECOND, "name", people["anna"], name="Anna")
    again = found(layout)[people["anna again"]]
    assert (again.name, again.into) == ("Anna", people["anna"])
    say(layout, SECOND, "merge", people["anna"], people["anna again"])
    assert names(layout) == {people["ben"]: "Ben"}
    # The other way round: the first episode learns from the second.
    complete_run(layout.root, "r1", TWO, [[0], [1]], ep_id="talk-s01e03")
    assert set(names(layout, "talk-s01e03").values()) == {"Anna", "Ben"}
    assert [one.ep_id for one in found(layout, "talk-s01e03")["person-0001"].seen_in] in (
        [FIRST, SECOND], [SECOND, FIRST],
    )  # fmt: skip


@pytest.mark.parametrize("since", [100, 198])  # in the second case in one sample
def test_two_who_are_seen_together_are_not_both_the_same(tmp_path: Path, since: int) -> None:
    complete_run(tmp_path, "r1", [Visit(0, 0, 200)], [[0]], ep_id=FIRST)
    twins = [Visit(0, 0, 200, 0.1), Visit(0, since, 300, 0.6)]
    complete_run(tmp_path, "r1", twins, [[0], [1]], ep_id=SECOND)
    layout = Layout(tmp_path)
    say(layout, FIRST, "name", "person-0001", name="Anna")
    [(first, one)] = found(layout).items()
    # Nor one who is seen together with somebody that has the name already.
    say(layout, SECOND, "name", first, name=one.name)
    assert found(layout) == {}


def test_what_was_declined_is_not_suggested_again(layout: Layout, people: dict[str, str]) -> None:
    name_both(layout)
    say(layout, SECOND, "decline", people["anna"], name="Anna")
    assert people["anna"] not in names(layout)
    complete_run(layout.root, "r2", FOUR, [[0], [1], [2], [3]], ep_id=SECOND, cuts=CUTS)
    assert set(names(layout).values()) == {"Anna", "Ben"}  # Anna: she who comes later
    assert len(names(layout)) == 2
    say(layout, SECOND, "undo")
    assert len(names(layout)) == 3


def test_a_wrong_name_in_one_episode_hides_no_right_one(
    layout: Layout, people: dict[str, str]
) -> None:
    name_both(layout)
    third, fourth = "talk-s01e03", "talk-s01e04"
    for ep_id in (third, fourth):
        complete_run(layout.root, "r1", TWO, [[0], [1]], ep_id=ep_id)
    for ep_id, track, name in ((third, 2, "Anna"), (fourth, 1, "Anna"), (fourth, 2, "Ben")):
        say(layout, ep_id, "name", person_of(layout, track, ep_id), name=name)
    assert names(layout) == {
        people["ben"]: "Ben", people["anna"]: "Anna", people["anna again"]: "Anna",
    }  # fmt: skip


def test_what_was_declined_goes_with_the_tracks(layout: Layout, people: dict[str, str]) -> None:
    name_both(layout)
    anna, again = people["anna"], people["anna again"]
    say(layout, SECOND, "merge", anna, again)
    say(layout, SECOND, "decline", anna, name="Anna")
    assert anna not in names(layout)
    rows = {row.person_id: row for row in corrected_people(layout, SECOND, "r1").rows}
    say(layout, SECOND, "move", track_ids=[rows[anna].track_ids[0]])
    assert set(names(layout).values()) == {"Ben"}  # it was said of the one that is by itself now
    say(layout, SECOND, "undo")
    say(layout, SECOND, "undo")
    say(layout, SECOND, "move", track_ids=[rows[anna].track_ids[0]])
    assert set(names(layout).values()) == {"Ben", "Anna"}


def test_what_was_declined_of_the_smaller_part_is_not_said_of_the_whole(
    layout: Layout, people: dict[str, str]
) -> None:
    name_both(layout)
    anna, again = people["anna"], people["anna again"]  # who is on the screen longer
    say(layout, SECOND, "decline", anna, name="Anna")
    say(layout, SECOND, "merge", anna, again)
    assert names(layout)[anna] == "Anna"
    say(layout, SECOND, "decline", anna, name="Anna")
    assert anna not in names(layout)


def test_only_a_decline_needs_a_reader_that_knows_it(
    layout: Layout, people: dict[str, str]
) -> None:
    say(layout, SECOND, "name", people["ben"], name="Ben")
    say(layout, SECOND, "decline", people["anna"], name="Anna")
    versions = [row.schema_version for row in read_log(layout, SECOND).rows]
    assert versions == ["people_correction_v1", "people_correction_v2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": ""},
        {"person_ids": []},
        {"person_ids": ["person-0001", "person-0002"]},
    ],
)
def test_a_decline_says_who_and_which_name(layout: Layout, wrong: dict[str, Any]) -> None:
    body = {"revision": 0, "action": "decline", "person_ids": ["person-0001"], "name": "Anna"}
    with pytest.raises(InvalidInput):
        correct(layout, SECOND, "r1", CorrectionRequest.model_validate(body | wrong))


def test_hidden_people_are_neither_asked_nor_suggested(
    layout: Layout, people: dict[str, str]
) -> None:
    name_both(layout)
    say(layout, SECOND, "hide", people["anna again"])
    say(layout, FIRST, "hide", "person-0002")
    assert names(layout) == {people["anna"]: "Anna"}


def test_another_show_and_an_episode_of_none(layout: Layout) -> None:
    for ep_id in (OTHER, "holiday"):
        complete_run(layout.root, "r1", TWO, [[0], [1]], ep_id=ep_id)
    name_both(layout)
    assert names(layout, OTHER) == {}
    assert suggestions(layout, "holiday", "r1").show is None
    for ep_id in (OTHER, "holiday"):
        change_episode(layout, ep_id, EpisodeChange(show="talk"))
        assert set(names(layout, ep_id).values()) == {"Anna", "Ben"}
    change_episode(layout, OTHER, EpisodeChange(show=""))
    assert suggestions(layout, OTHER, "r1").show == "news"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Talk", "tALK"), ("Café", "Cafe\u0301"), ("Talk Show", "Talk  Show\u200b"), ("ﬁn", "fin")],
)
def test_names_of_one_show_that_are_typed_otherwise(layout: Layout, one: str, other: str) -> None:
    name_both(layout)
    change_episode(layout, FIRST, EpisodeChange(show=one))
    change_episode(layout, SECOND, EpisodeChange(show=other))
    assert set(names(layout).values()) == {"Anna", "Ben"}


def test_a_run_without_its_own_embeddings_says_so(layout: Layout) -> None:
    name_both(layout)
    assert suggestions(layout, SECOND, "r1").described
    layout.run(SECOND, "r1").embeddings.unlink()
    answer = suggestions(layout, SECOND, "r1")
    assert (answer.items, answer.ep_ids, answer.other_model) == ([], [FIRST], [])
    assert not answer.described


def test_faces_of_two_networks_are_never_compared(layout: Layout) -> None:
    name_both(layout)
    complete_run(layout.root, "r2", FOUR, [[0], [1], [2], [3]], ep_id=SECOND, model="other")
    answer = suggestions(layout, SECOND, "r2")
    assert (answer.items, answer.ep_ids, answer.other_model) == ([], [FIRST], [FIRST])


def test_a_damaged_or_missing_file_of_another_episode_costs_its_names_alone(layout: Layout) -> None:
    complete_run(layout.root, "r1", TWO, [[0], [1]], ep_id="talk-s01e03")
    name_both(layout)
    say(layout, "talk-s01e03", "name", "person-0001", name="Anna")
    before = names(layout)
    layout.run("talk-s01e03", "r1").embeddings.write_bytes(b"PK damaged")
    layout.run(FIRST, "r1").embeddings.unlink()
    assert set(before.values()) == {"Anna", "Ben"}
    assert names(layout) == {}
    assert suggestions(layout, SECOND, "r1").other_model == []


def test_a_log_of_a_later_version_is_told(layout: Layout) -> None:
    name_both(layout)
    text = layout.corrections(FIRST).read_bytes()
    later = text.replace(b"people_correction_v1", b"people_correction_v3")
    layout.corrections(FIRST).write_bytes(later)
    answer = suggestions(layout, SECOND, "r1")
    assert (answer.items, answer.unreadable) == ([], [FIRST])
    with pytest.raises(CorrectionsUnreadable):
        suggestions(layout, FIRST, "r1")


def test_who_was_removed_is_suggested_nowhere(layout: Layout, people: dict[str, str]) -> None:
    name_both(layout)
    say(layout, SECOND, "decline", people["stranger"], name="Anna")
    known = Known()
    assert "Anna" in {one.name for one in found(layout, known=known).values()}
    forget_everywhere(layout, "Anna")
    assert {one.name for one in found(layout, known=known).values()} == {"Ben"}
    assert b"Anna" not in b"".join(path.read_bytes() for path in layout.root.rglob("*.jsonl"))


def test_a_newer_run_of_the_other_episode_has_the_names_as_well(layout: Layout) -> None:
    name_both(layout)
    complete_run(layout.root, "r2", TWO, [[0], [1]], ep_id=FIRST, stride=12)
    assert {one.seen_in[0].run_id for one in found(layout).values()} == {"r1"}
    say(layout, FIRST, "hide", "person-0001", run="r2")  # which gives no name
    say(layout, FIRST, "show", "person-0001", run="r2")
    assert {one.seen_in[0].run_id for one in found(layout).values()} == {"r1"}
    layout.run(FIRST, "r1").people.unlink()
    assert {one.seen_in[0].run_id for one in found(layout).values()} == {"r2"}


def test_what_was_read_is_not_read_again(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    name_both(layout)
    known = Known()
    before = found(layout, known=known)
    made: list[str] = []

    def note(*_: Any) -> Any:
        made.append("a cast")
        return ()

    monkeypatch.setattr("apps.people.cast._named", note)
    assert found(layout, known=known) == before
    assert made == []
    say(layout, FIRST, "name", "person-0001", name="Annabel")
    assert found(layout, known=known) == {}  # it is read now, by what stands in its place
    assert made == ["a cast"]


@pytest.mark.parametrize(
    ("ep_id", "show"),
    [
        ("talk-s01e02", "talk"), ("Talk.Show.S1E2.1080p", "Talk.Show"), ("rhobh_s05e02", "rhobh"),
        ("a-s01-e02", "a"), ("s01e02", None), ("talk", None), ("class-101e2", None),
        ("boss01e02", None), ("talk-s01e02x", None),
    ],
)  # fmt: skip
def test_the_show_that_a_name_tells(ep_id: str, show: str | None) -> None:
    from apps.common.names import show_of

    assert show_of(ep_id) == show


def test_a_name_that_is_given_while_it_is_read_is_not_missed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_both(layout)
    known, read = Known(), cast.read_log
    done: list[str] = []

    def read_then_rename(where: Layout, ep_id: str) -> CorrectionLog:
        log = read(where, ep_id)
        if not done:
            done.append(ep_id)
            say(layout, FIRST, "name", "person-0001", name="Anne")
        return log

    monkeypatch.setattr(cast, "read_log", read_then_rename)
    assert "Anna" in {one.name for one in found(layout, known=known).values()}
    assert {one.name for one in found(layout, known=known).values()} == {"Anne", "Ben"}


def test_embeddings_of_another_length_are_not_compared(layout: Layout) -> None:
    name_both(layout)
    path = layout.run(FIRST, "r1").embeddings
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "embeddings": arrays["embeddings"][:, :7]})
    assert found(layout) == {}
    np.savez(path, **{**arrays, "embeddings": arrays["embeddings"][:, :0]})
    assert found(layout) == {}
