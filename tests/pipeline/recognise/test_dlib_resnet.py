"""dlib's network tells people apart, on photos that nobody tuned it for."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.common.config import model_registry
from apps.common.errors import ModelUnavailable
from apps.demo.scene import ASTRONAUT, load_photo
from apps.pipeline.arrays import ByteArray
from apps.pipeline.people.grouping import TrackFace, grouped
from apps.pipeline.recognise import make_recogniser
from apps.pipeline.recognise.base import FaceView, aligned
from apps.pipeline.recognise.dlib_resnet import DlibResNet
from apps.pipeline.yuv_crop import bgr_crop
from lab.evaluation.real_clips import data_folder
from lab.scenes.recurring import largest_face

PHOTOS = data_folder() / "people"
# Of the network that the photos below prove.
ASTRONAUT_BEGINS = (-0.05503, 0.01305, 0.01331, -0.04382)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def recogniser(cache: Path) -> DlibResNet:
    return DlibResNet(1, cache)


def face_of(image: ByteArray, cache: Path) -> FaceView:
    """The largest face with a margin, and its landmarks."""
    height, width = image.shape[:2]
    found = largest_face(image, cache)
    assert found is not None
    left, top, right, bottom = found.boxes[0]
    margin_x, margin_y = 0.25 * (right - left), 0.25 * (bottom - top)
    place = (
        max(0, int((left - margin_x) * width)),
        max(0, int((top - margin_y) * height)),
        min(width, int((right + margin_x) * width)),
        min(height, int((bottom + margin_y) * height)),
    )
    return FaceView(bgr_crop(image, place, (width, height), 192), found.landmarks[0])


def test_a_known_face_has_known_numbers(recogniser: DlibResNet, cache: Path) -> None:
    embedding = recogniser.embed([face_of(np.array(load_photo(ASTRONAUT)), cache)])[0]

    assert embedding.shape == (128,)
    assert float(np.linalg.norm(embedding)) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(embedding[:4], ASTRONAUT_BEGINS, atol=2e-3)


def photos() -> Iterator[tuple[str, Path]]:
    with (PHOTOS / "people.csv").open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            yield line["person"], PHOTOS / line["file"]


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photos of people in the test data")
def test_photos_of_fourteen_people_are_fourteen_groups(recogniser: DlibResNet, cache: Path) -> None:
    people, faces = [], []
    for number, (person, path) in enumerate(photos(), start=1):
        image = cv2.imread(str(path))
        (embedding,) = recogniser.embed([face_of(image, cache)])
        people.append(person)
        faces.append(TrackFace(number, embedding, np.array([number])))

    groups = grouped(faces, max_distance=0.08)

    found = sorted(tuple(people[number - 1] for number in group.tracks) for group in groups)
    assert all(len(set(names)) == 1 for names in found)
    assert len(found) == len(set(people)) == 14


def test_it_is_prepared_once(cache: Path, recogniser: DlibResNet) -> None:
    (graph,) = (cache / "models").glob("dlib-resnet-*.onnx")
    before = graph.stat().st_mtime_ns

    make_recogniser("dlib", 1, cache=cache)

    assert graph.stat().st_mtime_ns == before


def test_its_facts_name_the_licence(recogniser: DlibResNet) -> None:
    assert recogniser.facts.id == "dlib_resnet_v1"
    assert recogniser.facts.licence.startswith("CC0")
    assert recogniser.facts.sha256 == model_registry().recognisers["dlib"].sha256


def test_a_package_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ModelUnavailable, match="is not installed"):
        DlibResNet(1, tmp_path)


def test_another_file_of_its_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "dlib_face_recognition_resnet_model_v1.dat").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelUnavailable, match="SHA-256"):
        DlibResNet(1, tmp_path / "cache")


def test_faces_together_have_the_numbers_that_each_has_alone(
    recogniser: DlibResNet, cache: Path
) -> None:
    patch, landmarks, _ = face_of(np.array(load_photo(ASTRONAUT)), cache)
    faces = [FaceView(patch, landmarks + np.float32(0.004 * step)) for step in range(5)]
    together = recogniser.embed(faces)
    alone = [recogniser.embed([face])[0] for face in faces]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
    assert len(np.unique(together, axis=0)) == len(faces)


def test_a_mirror_image_shows_the_same_person_otherwise(
    recogniser: DlibResNet, cache: Path
) -> None:
    face = face_of(np.array(load_photo(ASTRONAUT)), cache)
    places = np.array([(50, 60), (100, 60), (75, 85), (58, 110), (92, 110)], np.float32)
    turned = aligned(face._replace(is_mirrored=True), places, 150)
    assert (turned == aligned(face, places, 150)[:, ::-1]).all()
    one, other = recogniser.embed([face, face._replace(is_mirrored=True)])
    assert 0.95 < float(one @ other) < 0.9999
