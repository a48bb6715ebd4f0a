"""A track is described by its best faces, spread over its time, and by no more than may be spent.

The recogniser is a small one: it describes a face by its colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.common.config import PeopleConfig, RecogniserConfig, pipeline_config
from apps.common.contracts.manifest import ModelFacts
from apps.pipeline.arrays import FloatArray
from apps.pipeline.people.best_faces import BestFace, BestFaces, best_face, frontality, sharpness
from apps.pipeline.people.stage import PeopleStage, TrackDescription
from apps.pipeline.recognise.base import FaceView, unit
from apps.pipeline.types import Faces, Scene, Sighting, TrackedSighting
from apps.pipeline.yuv_crop import FacePatch, bgr_crop

CONFIG = pipeline_config().people
ANNA, BERT = (200, 40, 40), (40, 40, 200)  # BGR
BOX = (0.2, 0.2, 0.6, 0.8)
STEP_S = 0.25
FRONT = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))  # in the box
ASIDE = ((0.3, 0.4), (0.7, 0.4), (0.7, 0.6), (0.5, 0.8), (0.7, 0.8))  # the nose below an eye
PROFILE = ((0.6, 0.4), (0.7, 0.4), (0.8, 0.6), (0.6, 0.8), (0.7, 0.8))


class Colours:
    """A `Recogniser`."""

    facts = ModelFacts(id="colours", sha256="0" * 64, licence="none", file="none")
    likeness = RecogniserConfig(
        summary="", licence="", other_person=0.5, same_person=0.9, group_distance=0.1
    )

    def __init__(self) -> None:
        self.asked = 0
        self.together: list[int] = []

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        self.asked += len(faces)
        self.together.append(len(faces))
        means = [patch.picture(32).mean(axis=(0, 1)).astype(np.float32) for patch, *_ in faces]
        return unit(np.stack(means))


def patch_of(colour: tuple[int, int, int]) -> FacePatch:
    noise = np.random.default_rng(1).integers(0, 40, (200, 200, 3))
    image = np.clip(noise + np.array(colour), 0, 255).astype(np.uint8)
    return bgr_crop(image, (20, 10, 140, 190), (200, 200), 200)


def points(places: tuple[tuple[float, float], ...]) -> FloatArray:
    x1, y1, x2, y2 = BOX
    return np.array([(x1 + x * (x2 - x1), y1 + y * (y2 - y1)) for x, y in places], np.float32)


def seen(
    step: int,
    *tracks: tuple[int, tuple[int, int, int]],
    conf: float = 0.9,
    places: tuple[tuple[float, float], ...] = FRONT,
) -> TrackedSighting:
    """A frame in which these tracks show a face of a colour each."""
    count = len(tracks)
    sighting = Sighting(
        step * 6,
        step * STEP_S,
        Faces(
            np.array([BOX] * count, np.float32).reshape(-1, 4),
            np.array([points(places)] * count, np.float32).reshape(-1, 5, 2),
            np.full(count, conf, np.float32),
        ),
        Scene(0),
        face_patches=tuple(patch_of(colour) for _, colour in tracks),
    )
    return TrackedSighting(sighting, tuple(number for number, _ in tracks))


def stage_of(**changes: float) -> PeopleStage:
    config = CONFIG.model_copy(update={"first_faces": 100.0, "faces_per_decoded": 0.0, **changes})
    return PeopleStage(Colours(), config, ended_s=1.5)


def face(score: float, ts_s: float) -> BestFace:
    return BestFace(score, round(ts_s * 24), ts_s, FaceView(patch_of(ANNA), points(FRONT)))


def test_a_long_track_has_few_faces_from_all_its_time() -> None:
    best = BestFaces(CONFIG)
    for step in range(400):  # a hundred seconds
        best.add(face(0.5, step * STEP_S))

    taken = best.taken()

    assert 3 <= len(taken) <= CONFIG.max_faces
    times = [each.ts_s for each in taken]
    assert max(times) - min(times) > 50


def test_of_each_part_the_best_is_kept() -> None:
    best = BestFaces(CONFIG)
    for score, ts_s in [(0.4, 0.0), (0.9, 0.1), (0.5, 0.2), (0.3, 1.0), (0.6, 1.2)]:
        best.add(face(score, ts_s))

    assert [each.score for each in best.taken()] == [0.9, 0.6]
    assert best.taken() == []


def test_who_looks_into_the_camera_is_better_than_who_looks_aside() -> None:
    patch = patch_of(ANNA)

    assert frontality(patch, points(FRONT)) == pytest.approx(1.0, abs=1e-5)
    assert frontality(patch, points(ASIDE)) == pytest.approx(0.5, abs=1e-5)
    assert frontality(patch, points(PROFILE)) == 0.0


def test_a_blurred_face_is_less_sharp() -> None:
    image = np.random.default_rng(2).integers(0, 255, (100, 100, 3)).astype(np.uint8)
    smooth = np.repeat(np.repeat(image[::10, ::10], 10, axis=0), 10, axis=1)

    crisp, soft = (bgr_crop(each, (0, 0, 100, 100), (100, 100), 100) for each in (image, smooth))

    assert sharpness(crisp) > 3 * sharpness(soft)


@pytest.mark.parametrize(
    "changes", [{"min_confidence": 0.95}, {"min_pixels": 500}], ids=["doubtful", "small"]
)
def test_a_face_that_tells_too_little_stands_for_nobody(changes: dict[str, float]) -> None:
    config: PeopleConfig = CONFIG.model_copy(update=changes)

    assert best_face(seen(0, (1, ANNA)).sighting, 0, CONFIG) is not None
    assert best_face(seen(0, (1, ANNA)).sighting, 0, config) is None


def test_a_profile_stands_for_nobody() -> None:
    stage = stage_of()
    for step in range(4):
        stage.add(seen(step, (1, ANNA), places=PROFILE))
        stage.add(seen(step, (2, ANNA), places=ASIDE))

    assert [group.tracks for group in stage.finish()] == [(2,)]


def test_faces_are_described_several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def described() -> tuple[list[int], list[TrackDescription]]:
        stage = stage_of()
        for step in range(60):
            first = 1 + 2 * (step // 6)
            stage.add(seen(step, (first, ANNA), (first + 1, BERT)))
        stage.finish()
        assert isinstance(stage.recogniser, Colours)
        return stage.recogniser.together, stage.descriptions()

    counts, together = described()
    monkeypatch.setattr("apps.pipeline.people.stage._AT_ONCE", 1)
    single, alone = described()

    assert set(single) == {1}
    assert max(counts) == 8
    assert sum(counts) == sum(single)
    for one, other in zip(together, alone, strict=True):
        assert (one.number, one.spread, one.best) == (other.number, other.spread, other.best)
        assert (one.embedding == other.embedding).all()


def test_a_face_is_described_with_its_mirror_image() -> None:
    asked = list[FaceView]()

    class Asked(Colours):
        def embed(self, faces: Sequence[FaceView]) -> FloatArray:
            asked.extend(faces)
            return super().embed(faces)

    stage = PeopleStage(Asked(), CONFIG.model_copy(update={"first_faces": 100.0}), ended_s=1.5)
    for step in range(16):
        stage.add(seen(step, (1, ANNA)))
    stage.finish()
    (description,) = stage.descriptions()

    assert [face.is_mirrored for face in asked] == [False, True, False, True, False]
    assert asked[0].patch is asked[1].patch is not asked[2].patch
    assert (len(description.best), description.described) == (3, CONFIG.max_faces)


def test_tracks_of_one_face_are_one_person() -> None:
    stage = stage_of()
    for step in range(8):
        stage.add(seen(step, (1, ANNA), (2, BERT)))
    for step in range(20, 28):
        stage.add(seen(step, (3, BERT), (4, ANNA)))

    assert [group.tracks for group in stage.finish()] == [(1, 4), (2, 3)]


def test_a_face_of_no_track_is_left_out() -> None:
    stage = stage_of()
    stage.add(seen(0, (0, ANNA)))

    assert stage.finish() == []
    assert stage.faces == 0


def test_a_track_is_described_when_it_has_ended() -> None:
    stage = stage_of()
    for step in range(4):
        stage.add(seen(step, (1, ANNA)))
    assert stage.faces == 0
    for step in range(4, 12):
        stage.add(seen(step, (2, BERT)))

    assert [each.number for each in stage.descriptions()] == [1]
    assert stage.faces > 0


def test_no_more_is_spent_than_was_earned() -> None:
    """Forty tracks of six samples each; each processed frame earns a tenth of a face."""
    stage = stage_of(first_faces=0.0, faces_per_frame=0.1)
    for step in range(240):
        stage.add(seen(step, (1 + step // 6, ANNA)))
    groups = stage.finish()

    assert 20 <= stage.faces <= 24
    assert sum(len(group.tracks) for group in groups) == len(stage.descriptions()) <= 24


def test_a_track_that_ends_when_nothing_is_left_waits_with_its_best_face() -> None:
    stage = stage_of(first_faces=0.0, faces_per_frame=0.1, max_waiting=1)
    for step in range(4):
        stage.add(seen(step, (1, ANNA)))
    for step in range(4, 40):
        stage.add(seen(step))

    (description,) = stage.descriptions()
    assert (description.number, len(description.best)) == (1, 1)


@pytest.mark.parametrize("per_frame", [0.05, 0.2, 2.0])
@pytest.mark.parametrize("max_waiting", [0, 200])
def test_a_track_that_comes_back_after_its_end_goes_on(per_frame: float, max_waiting: int) -> None:
    """A claim gives its number to a face that was away for longer than a track waits."""
    stage = stage_of(first_faces=0.0, faces_per_frame=per_frame, max_waiting=max_waiting)
    for first in (0, 30, 60):
        for step in range(first, first + 8):
            stage.add(seen(step, (1, ANNA)))
        for step in range(first + 8, first + 30):
            stage.add(seen(step, (2, BERT)) if step < first + 12 else seen(step))
    stage.finish()

    one, other = stage.descriptions()
    assert (one.number, other.number) == (1, 2)
    assert 1 <= len(one.best) <= CONFIG.max_faces
    assert len({face.index for face in one.best}) == len(one.best)


def test_every_track_has_a_face_before_one_has_two() -> None:
    """Six tracks with four good faces each, and eight faces to spend in all."""
    stage = stage_of(first_faces=8.0, faces_per_frame=1e-6)
    for step in range(96):
        stage.add(seen(step, (1 + step // 16, ANNA)) if step % 16 < 8 else seen(step))
    stage.finish()

    assert sorted(each.described for each in stage.descriptions()) == [1, 1, 1, 1, 2, 2]


def test_who_is_seen_longest_has_more_faces() -> None:
    stage = stage_of(first_faces=4.0, faces_per_frame=1e-6)
    for step in range(60):
        stage.add(seen(step, (1 + (step >= 6) + (step >= 50), ANNA)))
    stage.finish()

    assert [each.described for each in stage.descriptions()] == [1, 2, 1]


def test_a_track_that_goes_over_to_another_face_is_that_of_the_one() -> None:
    """Two thirds of it show Anna: their mean is hers, not that of two people."""
    stage = stage_of()
    for step in range(12):
        stage.add(seen(step, (1, ANNA if step < 8 else BERT)))
    for step in range(30, 38):
        stage.add(seen(step, (2, ANNA), (3, BERT)))

    assert [group.tracks for group in stage.finish()] == [(1, 2), (3,)]


def test_the_same_frames_give_the_same_people() -> None:
    runs = []
    for _ in range(2):
        stage = stage_of(first_faces=2.0)
        for step in range(60):
            stage.add(seen(step, (1 + step // 10, ANNA if step % 20 < 10 else BERT)))
        groups = stage.finish()
        runs.append((groups, [(d.number, d.embedding.tobytes()) for d in stage.descriptions()]))

    assert runs[0] == runs[1]
