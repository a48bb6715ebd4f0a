"""With a recognition model tracks are split and joined by whose face they follow.

The model is a small one that describes a face by its colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apps.common.config import pipeline_config
from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import FloatArray
from apps.pipeline.recognise.arcface import PLACES, SIDE, ArcFace
from apps.pipeline.recognise.base import FaceView, aligned
from apps.pipeline.track.identity import IdentityGate
from apps.pipeline.track.tracker import FaceTracker, thresholds
from apps.pipeline.types import Faces, Scene, Sighting
from apps.pipeline.yuv_crop import FacePatch, bgr_crop
from tests.support.recognition import write_model

CONFIG = pipeline_config()
FPS = 24.0
ANNA, BERT = (200, 40, 40), (40, 40, 200)  # BGR
A, B = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)
FRAME = (400, 200)  # pixels
Box = tuple[float, float, float, float]
Face = tuple[Box, tuple[int, int, int]]


@pytest.fixture
def gate(tmp_path: Path) -> IdentityGate:
    recogniser = ArcFace(str(write_model(tmp_path / "colours.onnx")), threads=1)
    return IdentityGate(recogniser, CONFIG.recognition)


def landmarks_of(box: Box) -> FloatArray:
    """Eyes, nose and mouth corners where a face in the middle of the box has them."""
    x1, y1, x2, y2 = box
    within = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return np.array([(x1 + x * (x2 - x1), y1 + y * (y2 - y1)) for x, y in within], np.float32)


def face_patch_of(box: Box, colour: tuple[int, int, int]) -> FacePatch:
    width, height = FRAME
    image = np.full((height, width, 3), colour, np.uint8)
    x1, y1, x2, y2 = (round(v * s) for v, s in zip(box, FRAME * 2, strict=True))
    return bgr_crop(image, (x1, y1, x2, y2), FRAME, 96)


def seen(rows: Sequence[Sequence[Face]], stride: int = 6, **of_faces: Any) -> list[Sighting]:
    """One sighting for each row; what a face looks like is left out, as if all were alike."""
    return [
        Sighting(
            n * stride,
            n * stride / FPS,
            Faces(
                np.array([box for box, _ in row], np.float32).reshape(-1, 4),
                np.array([landmarks_of(box) for box, _ in row], np.float32).reshape(-1, 5, 2),
                np.full(len(row), of_faces.get("conf", 0.9), np.float32),
            ),
            Scene(0),
            face_patches=tuple(face_patch_of(box, colour) for box, colour in row),
        )
        for n, row in enumerate(rows)
    ]


def numbers(sightings: list[Sighting], gate: IdentityGate | None) -> list[tuple[int, ...]]:
    tracker = FaceTracker(CONFIG.track, thresholds(CONFIG.track, 0.5), gate)
    return [item.tracks for item in tracker.track(sightings)]


def test_another_face_in_the_same_place_is_another_track(gate: IdentityGate) -> None:
    rows = [[(A, ANNA)]] * 9 + [[(A, BERT)]] * 9

    assert set(numbers(seen(rows), None)) == {(1,)}
    found = numbers(seen(rows), gate)

    assert found[:9] == [(1,)] * 9
    assert found[12:] == [(2,)] * 6  # a face is compared every 24 frames, so every fourth time
    assert (gate.splits, gate.joins) == (1, 0)


def test_a_face_is_compared_once_a_second_and_not_more(gate: IdentityGate) -> None:
    numbers(seen([[(A, ANNA), (B, BERT)]] * 41), gate)

    assert gate.compared == 2 * (1 + 240 // 24)


def test_a_face_that_comes_back_has_its_number_again(gate: IdentityGate) -> None:
    away = int(CONFIG.track.lost_seconds * FPS / 6) + 2
    rows = [[(A, ANNA)]] * 4 + [[]] * away + [[(B, ANNA), (A, BERT)]] * 4

    assert numbers(seen(rows), None)[-1] == (2, 3)
    found = numbers(seen(rows), gate)

    assert found[:4] == [(1,)] * 4
    assert found[-4:] == [(1, 2)] * 4
    assert (gate.splits, gate.joins) == (0, 1)


def test_two_who_change_places_are_told_apart_again(gate: IdentityGate) -> None:
    rows = [[(A, ANNA), (B, BERT)]] * 9 + [[(A, BERT), (B, ANNA)]] * 9
    found = numbers(seen(rows), gate)

    assert found[0] == (1, 2)
    assert found[-1] == (2, 1)
    assert all(len(set(row)) == len(row) for row in found)  # never one number twice in a frame


def test_nobody_is_joined_across_a_cut(gate: IdentityGate) -> None:
    rows = seen([[(A, ANNA)]] * 8)
    later = [
        Sighting(s.index + 48, s.ts_s + 2, s.faces, Scene(1), face_patches=s.face_patches)
        for s in rows
    ]

    assert numbers([*rows, *later], gate) == [(1,)] * 8 + [(2,)] * 8
    assert gate.joins == 0


def test_two_at_once_are_never_one(gate: IdentityGate) -> None:
    """Twins: both are like the one who was there before."""
    away = int(CONFIG.track.lost_seconds * FPS / 6) + 2
    rows = [[(A, ANNA)]] * 4 + [[]] * away + [[(A, ANNA), (B, ANNA)]]  # seen once: ended together
    assert numbers(seen(rows), gate)[-1] == (1, 2)
    assert numbers(seen([*rows, *rows[-1:] * 3]), gate)[-1] == (1, 2)


@pytest.mark.parametrize("of_faces", [{"conf": 0.6}, {"small": True}, {"landmarks": None}])
def test_faces_that_say_nothing_are_not_compared(
    gate: IdentityGate, of_faces: dict[str, Any]
) -> None:
    box = (0.1, 0.2, 0.15, 0.3) if "small" in of_faces else A
    sightings = seen([[(box, ANNA)]] * 6 + [[(box, BERT)]] * 6, **of_faces)
    if "landmarks" in of_faces:
        for sighting in sightings:
            sighting.faces.landmarks[:] = np.nan

    assert set(numbers(sightings, gate)) == {(1,)}
    assert gate.compared == 0


def test_the_face_is_turned_upright_and_to_its_place() -> None:
    """Points drawn at the landmarks lie where ArcFace's authors have them in 112 x 112 pixels."""
    wanted = [(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)]
    width, height = 640, 360
    turn = cv2.getRotationMatrix2D((0, 0), 25, 1.4)
    points = np.array(wanted) @ turn[:, :2].T + (200, 180)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    image = np.zeros((height, width, 3), np.uint8)
    for (x, y), colour in zip(points, colours, strict=True):
        cv2.circle(image, (round(x), round(y)), 5, colour, -1)
    patch = bgr_crop(image, (150, 40, 460, 330), (width, height), 400)

    face = aligned(FaceView(patch, (points / (width, height)).astype(np.float32)), PLACES, SIDE)

    assert face.shape == (112, 112, 3)
    for (x, y), colour in zip(wanted, colours, strict=True):
        near = np.abs(face.astype(int) - colour).sum(axis=2) < 200
        ys, xs = np.nonzero(near)
        assert (xs.mean(), ys.mean()) == pytest.approx((x, y), abs=1.5)


def test_the_report_tells_what_it_did(gate: IdentityGate) -> None:
    numbers(seen([[(A, ANNA)]] * 9 + [[(A, BERT)]] * 9), gate)

    facts = gate.facts
    assert (facts.model.id, facts.model.file) == ("colours", "colours.onnx")
    assert "non-commercial" in facts.model.licence
    assert (facts.compared, facts.splits, facts.joins) == (gate.compared, 1, 0)
    assert facts.compared > 3


def test_a_packs_recognition_model_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    pack = tmp_path / "models" / "buffalo_x"
    pack.mkdir(parents=True)
    write_model(pack / "w600k_mbf.onnx")
    (pack / "det_500m.onnx").write_bytes(b"another one")

    assert ArcFace("buffalo_x", threads=1).facts.file == "w600k_mbf.onnx"


@pytest.mark.parametrize("how", ["missing", "no pack", "another size", "no model"])
def test_what_is_no_recognition_model_is_said(tmp_path: Path, how: str) -> None:
    path = tmp_path / "model.onnx"
    if how == "another size":
        write_model(path, ("n", 3, 640, 640))
    if how == "no model":
        path.write_bytes(b"not a model")

    with pytest.raises(ModelUnavailable) as caught:
        ArcFace("buffalo_none" if how == "no pack" else str(path), threads=1)

    assert str(tmp_path) not in caught.value.detail
    assert caught.value.hint
