"""Who is who, from the pixels of a rendered episode to the tables of docs/quality.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from apps.demo.encode import VIDEO_NAME
from apps.pipeline.recognise.base import FaceView
from lab.evaluation.embedding_cache import RememberingRecogniser
from lab.evaluation.people import PeopleMeasure, PeopleResult, PeopleVideo, evaluate_people
from lab.evaluation.people_ablation import ABLATIONS
from lab.evaluation.people_document import TITLE, people_section, with_section
from lab.evaluation.people_report import HEAD, people_table
from lab.evaluation.people_sheet import Picked, write_people_sheet
from lab.scenes.recurring import packaged_portraits, recurring_episode, render_missing
from tests.pipeline.people.test_stage import ANNA, ASIDE, BERT, FRONT, Colours, patch_of, points

STRIDE = 4


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> PeopleResult:
    """Of six shots in which four people come back, in other sizes and lights and turned around."""
    root = tmp_path_factory.mktemp("people")
    episode = recurring_episode("tuning", packaged_portraits(), take=1, shots=6)
    folder = render_missing(episode, root)
    video = PeopleVideo("tuning", "tuning 1", folder / VIDEO_NAME, folder=folder)
    measure = PeopleMeasure((STRIDE,), root, root / "cache", ablated_sets=("tuning",))
    [result] = evaluate_people(video, measure)
    assert list((root / "cache" / "embeddings").glob("*.npz"))
    return result


def test_people_are_known_again(result: PeopleResult) -> None:
    """Every track alone, or all of them together, would be far below this bound."""
    score = result.score

    assert score.tracks >= 8
    assert score.unassigned == 0
    assert score.b_cubed.f1 >= 0.98
    assert score.found == len(score.people) >= 3
    assert all(person.is_one for person in score.clear)
    assert len(score.clear) >= 3
    assert score.mean_error_s < 0.3
    assert result.picked == ()


def test_one_thing_is_changed_at_a_time(result: PeopleResult) -> None:
    assert list(result.ablations) == [ablation.name for ablation in ABLATIONS]
    assert result.ablations["as configured"] == result.score.b_cubed
    assert result.ablations["group_distance 0.05"].recall <= result.score.b_cubed.recall
    assert result.ablations["group_distance 0.1"].precision <= result.score.b_cubed.precision


def test_the_section_has_every_table_and_takes_the_place_of_the_one_before(
    result: PeopleResult,
) -> None:
    lines = list(people_section([result]))
    text = with_section(f"# Title\n\n{TITLE}\n\nreplaced\n\n## Next\n\nkept\n", lines)

    assert text.startswith(f"# Title\n\n{TITLE}\n")
    assert text.endswith("\n## Next\n\nkept\n")
    assert "replaced" not in text
    assert with_section(text, lines) == text
    assert with_section("# Title\n", lines).startswith(f"# Title\n\n{TITLE}\n")
    assert re.search(rf"\| tuning 1 \| {STRIDE} \| \d+ \| 0 \| 1\.000 \|", text)
    for title in ("Seconds of people", "grouped wrongly", "What each part of the grouping buys"):
        assert title in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_table_for_the_terminal_has_a_row_for_each_result(result: PeopleResult) -> None:
    table = people_table([result, result])

    assert (table.row_count, len(table.columns)) == (2, len(HEAD))


def test_what_went_wrong_is_drawn(tmp_path: Path) -> None:
    face = np.full((112, 90, 3), 200, np.uint8)
    picked = [Picked(1, 0, "Anna", 2.0, face), Picked(2, 0, "Bert", 1.0, face)]

    path = write_people_sheet([("an episode", picked)], tmp_path / "new" / "people.png")

    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
    assert write_people_sheet([("an episode", [])], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_a_face_is_described_once(tmp_path: Path) -> None:
    inner = Colours()
    first = RememberingRecogniser(inner, tmp_path, "episode")
    given = first.embed(
        [FaceView(patch_of(colour), points(FRONT)) for colour in (ANNA, BERT, ANNA)]
    )
    first.save()
    again = RememberingRecogniser(inner, tmp_path, "episode")

    assert inner.asked == 2
    assert (again.embed([FaceView(patch_of(BERT), points(FRONT))])[0] == given[1]).all()
    assert inner.asked == 2
    again.embed([FaceView(patch_of(ANNA), points(ASIDE))])  # the same picture, other landmarks
    assert inner.asked == 3
