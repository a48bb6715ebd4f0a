"""The evaluation episodes are what their sentences say, and the same every time."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from apps.common.config import pipeline_config
from apps.demo.look import FLASH, Look
from apps.demo.scene import (
    HARDLY_VISIBLE,
    MIN_VISIBILITY,
    Box,
    Camera,
    Episode,
    GroundTruth,
    Image,
    Shake,
    Shot,
    View,
    ground_truth,
    render_frames,
)
from lab.make_evaluation_set import main
from lab.scenes.director import Director, Stage, along, keyed
from lab.scenes.evaluation_set import RECIPES, Recipe, make_episode
from lab.scenes.library import PARTIAL_NAME, entries, fingerprint, is_current, render
from lab.scenes.people import GARAGE, PEOPLE, mirrored
from lab.scenes.seeds import SEEDS

TAKES = [(name, take) for name, seeds in SEEDS.items() for take in range(1, len(seeds) + 1)]
STAGE = Stage(GARAGE)
LOST_SECONDS = pipeline_config().track.lost_seconds
QUICK = [recipe for recipe in RECIPES if recipe.name != "crowd"]  # its truth takes seconds


@cache
def truth_of(recipe: Recipe) -> GroundTruth:
    return ground_truth(make_episode("heldout", recipe))


def shot(frames: int, x: float = 0.5, person: int = 0, **changes: object) -> Shot:
    """One person who stands, 25 frames a second."""
    sprite = STAGE.standing(PEOPLE[person], x, 0.42, 0.12)
    plain = Shot(frames, GARAGE, Camera((STAGE.view,)), (sprite,))
    return replace(plain, **changes)  # type: ignore[arg-type]


def episode(*shots: Shot) -> Episode:
    return Episode("short", shots, 320, 180, 25, lost_seconds=LOST_SECONDS)


def frames_of(truth: GroundTruth, number: int) -> list[int]:
    return [row.frame for row in truth.rows if row.id == number]


def first_pictures(made: Episode, count: int) -> list[Image]:
    return [picture for picture, _ in zip(render_frames(made), range(count), strict=False)]


# ------------------------------------------------------------------------------- all the recipes


def test_there_are_two_sets_of_different_episodes() -> None:
    assert len(RECIPES) == 19
    assert len({recipe.name for recipe in RECIPES}) == len({r.tests for r in RECIPES}) == 19
    for recipe in RECIPES:
        tuning, heldout = (make_episode(name, recipe) for name in ("tuning", "heldout"))
        assert tuning.ep_id != heldout.ep_id
        assert tuning.shots != heldout.shots


def test_every_take_is_another_one() -> None:
    for recipe in RECIPES:
        made = [make_episode(name, recipe, take) for name, take in TAKES]
        assert len({episode.ep_id for episode in made}) == len(TAKES)
        assert all(a.shots != b.shots for a, b in combinations(made, 2))


@pytest.mark.parametrize(("set_name", "take"), TAKES)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_episodes_are_of_use_and_of_bearable_length(
    recipe: Recipe, set_name: str, take: int
) -> None:
    made = make_episode(set_name, recipe, take)
    assert 16 <= made.seconds(made.frames) <= 40
    assert len(made.cuts) + len(made.transitions) == len(made.shots) - 1 >= 1
    assert (made.width, made.height) in {(640, 360), (960, 540)}


@pytest.mark.parametrize("recipe", QUICK, ids=lambda recipe: recipe.name)
def test_ground_truth_keeps_its_rules(recipe: Recipe) -> None:
    made = make_episode("heldout", recipe)
    truth = truth_of(recipe)
    edges = [*made.shot_starts, made.frames]
    frames: dict[int, list[int]] = defaultdict(list)
    for row in truth.rows:
        frames[row.id].append(row.frame)
        assert MIN_VISIBILITY <= row.visibility <= 1
        assert 0 <= row.box.x1 < row.box.x2 <= made.width
        assert 0 <= row.box.y1 < row.box.y2 <= made.height
    for seen in frames.values():
        assert np.searchsorted(edges, seen[0], "right") == np.searchsorted(edges, seen[-1], "right")
        gaps = [made.seconds(b) - made.seconds(a) for a, b in pairwise(seen)]
        assert max(gaps, default=0) <= LOST_SECONDS
    for row in truth.partial:
        assert HARDLY_VISIBLE <= row.visibility < MIN_VISIBILITY


def test_same_seed_gives_the_same_pictures() -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "dark")  # noise and blur too
    assert make_episode("tuning", recipe) == make_episode("tuning", recipe)
    once, again = (first_pictures(make_episode("tuning", recipe), 3) for _ in range(2))
    other = first_pictures(make_episode("heldout", recipe), 3)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(once, other, strict=True))


def test_same_seed_gives_the_same_ground_truth() -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "occlusions")
    assert ground_truth(make_episode("heldout", recipe)) == truth_of(recipe)


def test_small_faces_are_small() -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "small")
    widths = [row.box.x2 - row.box.x1 for row in truth_of(recipe).rows]
    assert 16 <= min(widths) <= 20
    assert 28 <= max(widths) <= 33


def visits_by_shot(name: str) -> list[list[dict[int, Box]]]:
    """Of every shot the boxes of each visit, by frame."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == name)
    starts = make_episode("heldout", recipe).shot_starts
    visits: dict[int, dict[int, Box]] = defaultdict(dict)
    for row in truth_of(recipe).rows:
        visits[row.id][row.frame] = row.box
    shots: list[list[dict[int, Box]]] = [[] for _ in starts]
    for seen in visits.values():
        shots[int(np.searchsorted(starts, min(seen), "right")) - 1].append(seen)
    return shots


def centre(box: Box) -> tuple[float, float]:
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def distance(one: Box, other: Box) -> float:
    """Between the centres, in sizes of the faces."""
    widths = (one.x2 - one.x1) * (other.x2 - other.x1)
    heights = (one.y2 - one.y1) * (other.y2 - other.y1)
    (x, y), (other_x, other_y) = centre(one), centre(other)
    return math.hypot((x - other_x) / math.sqrt(widths), (y - other_y) / math.sqrt(heights))


def test_while_a_face_is_hidden_another_one_comes_to_its_place() -> None:
    for visits in visits_by_shot("takeovers"):
        pauses = [(b - a, a, b, seen) for seen in visits for a, b in pairwise(sorted(seen))]
        frames, before, after, hidden = max(pauses, key=lambda pause: pause[0])
        assert 0.4 <= (frames - 1) / 25 <= 1.2
        place = hidden[before]
        near = {
            number: [frame for frame, box in seen.items() if distance(place, box) <= 1.05]
            for number, seen in enumerate(visits)
            if seen is not hidden
        }
        first = [min(frames) for frames in near.values() if len(frames) / 25 >= 0.7]
        assert any(frame < after for frame in first)
        sizes = [math.sqrt(box.area / place.area) for seen in visits for box in seen.values()]
        assert max(sizes) < 1.5


def test_behind_a_large_face_that_turned_away_a_small_one_begins_to_show() -> None:
    for visits in visits_by_shot("turns"):
        large = max(visits, key=lambda seen: seen[min(seen)].area)
        small = max(visits, key=min)
        last, first = max(large), min(small)
        assert 0.3 <= (first - last) / 25 <= 0.9
        assert 0.3 <= math.sqrt(small[max(small)].area / large[min(large)].area) <= 0.55
        assert distance(large[last], small[first]) <= 1.6


def test_passers_are_fast() -> None:
    for visits in visits_by_shot("passers"):
        moves = []
        for seen in visits:
            whole = [frame for frame, box in seen.items() if box.x1 > 0 and box.x2 < 640]
            pairs = [(seen[frame], seen[frame + 12]) for frame in whole if frame + 12 in whole]
            moves.append(max(abs(centre(b)[0] - centre(a)[0]) / (a.x2 - a.x1) for a, b in pairs))
        standing, passing = sorted(moves)[:2], sorted(moves)[2:]
        assert max(standing) == pytest.approx(0, abs=1e-6)
        assert len(passing) == 2
        assert all(2.8 <= move <= 5.2 for move in passing)


# ------------------------------------------------------------------------------- rules, one by one


def gone_for(seconds: float) -> GroundTruth:
    """Somebody who leaves the picture and comes back."""
    way = keyed((0.0, 0.5), (0.2, 2.0), (0.2 + seconds, 2.0), (0.4 + seconds, 0.5), (9.0, 0.5))
    total = 1.0 + seconds
    walker = STAGE.moving(PEOPLE[1], along(way, 0.4, 0.1), total)
    return ground_truth(episode(shot(round(total * 25), sprites=(walker,))))


@pytest.mark.parametrize(
    ("seconds", "visits"), [(LOST_SECONDS - 0.5, 1), (LOST_SECONDS + 0.5, 2)], ids=["soon", "late"]
)
def test_a_visit_ends_when_the_face_is_gone_for_too_long(seconds: float, visits: int) -> None:
    assert len(gone_for(seconds).identities) == visits


def hidden_for(seconds: float) -> GroundTruth:
    """Somebody before whom another one stands for a while."""
    way = keyed((0.0, -0.3), (0.5, 0.5), (0.5 + seconds, 0.5), (1.0 + seconds, 1.3))
    total = 1.2 + seconds
    front = STAGE.moving(PEOPLE[0], along(way, 0.42, 0.2), total)
    behind = STAGE.standing(PEOPLE[2], 0.5, 0.42, 0.08)
    return ground_truth(episode(shot(round(total * 25), sprites=(behind, front))))


@pytest.mark.parametrize(
    ("seconds", "visits"), [(LOST_SECONDS - 0.5, 1), (LOST_SECONDS + 0.5, 2)], ids=["soon", "late"]
)
def test_a_visit_ends_when_the_face_is_hidden_for_too_long(seconds: float, visits: int) -> None:
    truth = hidden_for(seconds)
    hidden = [item for item in truth.identities if item.person == PEOPLE[2].faces[0].person]
    assert len(hidden) == visits
    assert any(row.visibility < MIN_VISIBILITY for row in truth.partial)


def test_a_hard_cut_ends_a_visit() -> None:
    made = episode(shot(10), shot(10))
    truth = ground_truth(made)
    assert made.cuts == (10,)
    assert made.transitions == ()
    assert [(i.first_frame, i.last_frame) for i in truth.identities] == [(0, 9), (10, 19)]


def test_a_dissolve_passes_from_face_to_face_in_its_middle() -> None:
    made = episode(shot(20, 0.4), shot(20, 0.6, person=1, dissolve=8))
    truth = ground_truth(made)
    (gradual,) = made.transitions
    assert (gradual.first, gradual.middle, gradual.last) == (16, 20, 23)
    assert made.cuts == ()
    assert frames_of(truth, 1) == list(range(20))
    assert frames_of(truth, 2) == list(range(20, 40))
    assert {row.frame for row in truth.partial} == set(range(16, 24))
    pictures = list(render_frames(made))
    first, last = pictures[0].astype(float), pictures[-1].astype(float)
    distances = [np.abs(p - first).mean() / np.abs(last - first).mean() for p in pictures]
    assert distances[15] == 0
    assert distances[24] == 1
    assert 0.3 < distances[19] < 0.5 < distances[20] < 0.7
    assert distances == sorted(distances)


def test_a_fade_hides_the_face_while_most_of_it_is_black() -> None:
    made = episode(shot(20, look=Look(fade_out=10)), shot(20, look=Look(fade_in=10)))
    truth = ground_truth(made)
    (gradual,) = made.transitions
    assert (gradual.first, gradual.middle, gradual.last) == (10, 20, 29)
    assert frames_of(truth, 1) == list(range(15))
    assert frames_of(truth, 2) == list(range(25, 40))
    pictures = list(render_frames(made))
    assert pictures[19].max() == pictures[20].max() == 0
    assert np.array_equal(pictures[0], pictures[39])


def test_a_flash_hides_the_face_for_a_moment_and_ends_no_visit() -> None:
    truth = ground_truth(episode(shot(20, look=Look(flashes=(8,)))))
    hidden = [8 + frame for frame, white in enumerate(FLASH) if 1 - white < MIN_VISIBILITY]
    assert hidden == [8]
    assert len(truth.identities) == 1
    assert frames_of(truth, 1) == [frame for frame in range(20) if frame not in hidden]


def test_motion_blur_smears_what_moves_and_nothing_else() -> None:
    still = episode(shot(3, look=Look(exposure=1.0)))
    assert np.array_equal(first_pictures(still, 1)[0], first_pictures(episode(shot(3)), 1)[0])
    pan = Camera((View(250, 250, 400), View(480, 250, 400)))
    sharp, smeared = (
        first_pictures(episode(shot(5, camera=pan, look=look)), 3)[2].astype(float)
        for look in (Look(), Look(exposure=1.0))
    )
    assert np.abs(np.diff(smeared, axis=1)).mean() < 0.6 * np.abs(np.diff(sharp, axis=1)).mean()


def test_darkness_hides_nobody() -> None:
    made = episode(shot(4, look=Look(brightness=0.2, noise=5.0)))
    assert len(ground_truth(made).rows) == 4
    dark, bright = first_pictures(made, 1)[0], first_pictures(episode(shot(4)), 1)[0]
    assert dark.mean() == pytest.approx(0.2 * bright.mean(), rel=0.2)


def test_a_shaken_camera_stays_on_the_photo() -> None:
    camera = Camera((STAGE.closer(1.2),), shake=Shake(20.0, 3.0))
    offsets = [camera.shake.offset_at(t) for t in np.linspace(0, 1, 200) if camera.shake]
    assert max(math.hypot(*offset) for offset in offsets) > 10
    assert max(abs(value) for offset in offsets for value in offset) <= 20.0
    with pytest.raises(ValueError, match="leaves"):
        episode(shot(5, camera=Camera((STAGE.view,), shake=Shake(20.0, 3.0))))


def test_mirrored_people_are_where_their_pictures_are() -> None:
    person = PEOPLE[3]
    assert mirrored(mirrored(person)).outline == person.outline
    pictures = [
        first_pictures(episode(shot(1, sprites=(STAGE.standing(who, 0.5, 0.42, 0.12),))), 1)[0]
        for who in (person, mirrored(person))
    ]
    background = first_pictures(episode(shot(1, sprites=())), 1)[0]
    (box,) = [
        row.box
        for row in ground_truth(
            episode(shot(1, sprites=(STAGE.standing(mirrored(person), 0.5, 0.42, 0.12),)))
        ).rows
    ]
    left, right = round(box.x1) + 2, round(box.x2) - 2
    rows = slice(round(box.y1) + 3, round(box.y2) - 3)
    face, turned = (picture[rows, left:right].astype(float) for picture in pictures)
    assert np.abs(face[:, ::-1] - turned).mean() < 0.3 * np.abs(face - turned).mean()
    assert np.abs(turned - background[rows, left:right]).mean() > 20


def test_variable_frame_rate_moves_people_by_time_not_by_frames() -> None:
    steps = (1, 3)
    way = keyed((0.0, 0.3), (2.0, 0.7))
    walker = STAGE.moving(PEOPLE[1], along(lambda t: 0.3 + 0.2 * t, 0.4, 0.1), 2.0)
    made = Episode("phone", (shot(25, sprites=(walker,)),), 320, 180, 25, steps)
    assert way(2.0) == 0.7
    lefts = [row.box.x1 for row in ground_truth(made).rows]
    moves = np.diff(lefts)
    assert moves[1::2].mean() == pytest.approx(3 * moves[::2].mean(), rel=0.05)


# ------------------------------------------------------------------------------- files


def tiny(name: str = "short") -> Episode:
    return replace(episode(shot(6), shot(6, 0.55, person=2)), ep_id=name)


def test_rendering_is_done_once_and_again_when_the_recipe_changed(tmp_path: Path) -> None:
    entry, *_ = entries(("tuning",), ("returns",))
    entry = replace(entry, episode=tiny())
    assert not is_current(entry, tmp_path)
    render(entry, tmp_path)
    assert is_current(entry, tmp_path)
    folder = entry.folder(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert PARTIAL_NAME in before
    render(entry, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    moved = replace(entry, episode=episode(shot(6), shot(6, 0.56, person=2)))
    assert fingerprint(moved.episode) != fingerprint(entry.episode)
    assert not is_current(moved, tmp_path)
    (folder / "episode.mp4").unlink()
    assert not is_current(entry, tmp_path)


def test_variable_frame_rate_reaches_the_file(tmp_path: Path) -> None:
    entry, *_ = entries(("tuning",), ("phone",))
    steps = (2, 2, 4)
    entry = replace(entry, episode=replace(tiny("phone"), fps=60, durations=steps))
    render(entry, tmp_path)
    with av.open(str(entry.folder(tmp_path) / "episode.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    wanted = np.cumsum([0, *steps * 3, *steps[:2]]) / 60
    assert times == pytest.approx(wanted.tolist(), abs=1e-3)


def test_about_says_what_an_episode_is_for(tmp_path: Path) -> None:
    entry, *_ = entries(("heldout",), ("dissolves",))
    made = replace(tiny(), shots=(shot(20), shot(20, 0.6, dissolve=8)))
    render(replace(entry, episode=made), tmp_path)
    about = json.loads((tmp_path / "videos" / "short" / "about.json").read_text())
    assert about["tests"] == entry.recipe.tests
    assert (about["set"], about["seed"]) == ("heldout", SEEDS["heldout"][0])
    assert about["transitions"] == [{"first": 16, "middle": 20, "last": 23}]
    partial = (tmp_path / "videos" / "short" / PARTIAL_NAME).read_text().splitlines()
    assert len(partial) == 8
    assert {line.split(",")[6] for line in partial} == {"0"}


def test_unknown_names_are_refused_with_those_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path), "--only", "nonsense"]) == 1
    error = capsys.readouterr().err
    assert "nonsense" in error
    assert "same-place" in error
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_episode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(recipe.name in printed for recipe in RECIPES)


def test_director_is_decided_by_its_seed() -> None:
    def draws(seed: str) -> Iterable[object]:
        director = Director(seed, 25.0)
        return [director.about(1.0), director.side(), director.cast(3), director.stage()]

    assert draws("8:a") == draws("8:a")
    assert draws("8:a") != draws("8:b")
