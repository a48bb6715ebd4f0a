"""A pair of detectors: when the full one is asked, about what, and what both make of a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apps.common.config import pipeline_config
from apps.common.files import read_jsonl
from apps.common.layout import Layout
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect.base import DetectorFacts
from apps.pipeline.detect.cascade import Cascade, LightFaces, Settled
from apps.pipeline.detect.mosaic import MosaicMaker
from apps.pipeline.geometry import Letterbox, fit
from apps.pipeline.types import Faces, Frame
from lab.specs import SMALL_HOST
from tests.pipeline.test_guards import FRAMES, run

CONFIG = pipeline_config().cascade
THRESHOLD = 0.5
SURE, LIKELY, DOUBTFUL = 0.9, 0.6, 0.35
BOX = fit(640, 360, 640)
Face = tuple[float, float, float]  # x and y of its centre, 0..1 of the frame, and its confidence
HERE, THERE = (0.3, 0.5), (0.7, 0.5)
SIZE = 0.1  # of a face, 0..1 of the frame


def faces_at(*faces: Face, size: float = SIZE) -> Faces:
    boxes = [[x - size / 2, y - size / 2, x + size / 2, y + size / 2] for x, y, _ in faces]
    return Faces(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([[[x, y]] * 5 for x, y, _ in faces], np.float32).reshape(-1, 5, 2),
        np.array([conf for *_, conf in faces], np.float32),
    )


@dataclass
class Marked:
    """Stands for the full detector: it sees a face where a picture is white, at one confidence.

    Attributes:
        asked: how many pictures it was shown.
    """

    letterbox: Letterbox
    conf: float
    asked: int = field(init=False, default=0)

    @property
    def facts(self) -> DetectorFacts:
        raise AssertionError("nobody asks")

    def detect(self, image: ByteArray) -> Faces:
        self.asked += 1
        white = (image.min(axis=2) > 200).astype(np.uint8)
        _, _, found, _ = cv2.connectedComponentsWithStats(white)
        corners = [(x, y, x + width, y + height) for x, y, width, height, _ in found[1:]]
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        points = boxes.reshape(-1, 2, 2).mean(axis=1, keepdims=True).repeat(5, axis=1)
        return Faces(boxes, points, np.full(len(boxes), self.conf, np.float32))


def frame_with(*faces: tuple[float, float], at_s: float = 0.0, size: float = SIZE) -> Frame:
    """A dark frame in which faces are white."""
    image = np.zeros((BOX.canvas_height, BOX.canvas_width, 3), np.uint8)
    sides = np.array([BOX.inner_width, BOX.inner_height] * 2)
    for x, y in faces:
        box = faces_at((x, y, 1.0), size=size).boxes[0]
        left, top, right, bottom = np.round(box * sides).astype(int)
        image[top:bottom, left:right] = 255
    return Frame(0, at_s, image, BOX)


@dataclass
class Pair:
    """A cascade, and its full detector's two forms."""

    conf: float = SURE
    whole: Marked = field(init=False)
    places: Marked = field(init=False)
    cascade: Cascade = field(init=False)

    def __post_init__(self) -> None:
        canvas = fit(CONFIG.cell, CONFIG.cell, CONFIG.cell)
        self.whole, self.places = Marked(BOX, self.conf), Marked(canvas, self.conf)
        cut_out = pipeline_config().second_look.model_copy(update={"cell": CONFIG.cell})
        maker = MosaicMaker(cut_out, canvas)
        self.cascade = Cascade(CONFIG, THRESHOLD, self.whole, self.places, maker)
        self.settle(frame_with(), faces_at())  # the first picture of a shot
        self.whole.asked = 0

    def settle(
        self,
        frame: Frame,
        light: Faces,
        *,
        continuing: Sequence[int] = (),
        missed: Sequence[tuple[float, float]] = (),
        missed_s: float = 0.2,
        shot: int = 0,
    ) -> Settled:
        known = np.zeros(len(light), bool)
        known[list(continuing)] = True
        places = faces_at(*((x, y, 1.0) for x, y in missed)).boxes
        return self.cascade.settled(
            frame, LightFaces(light, known, places, np.full(len(places), missed_s), shot)
        )

    @property
    def asked(self) -> tuple[int, int]:
        """About whole pictures, and about places."""
        return self.whole.asked, self.places.asked


def test_nothing_is_asked_of_a_face_that_continues_a_track() -> None:
    pair = Pair()
    settled = pair.settle(frame_with(HERE), faces_at((*HERE, DOUBTFUL)), continuing=[0])
    assert (settled.asked, settled.kept.tolist(), len(settled.found)) == ("nothing", [0], 0)
    assert pair.asked == (0, 0)


@pytest.mark.parametrize(
    ("light", "full", "is_face"),
    [
        (LIKELY, 0.9, True),
        (SURE, 0.9, True),
        (LIKELY, 0.45, True),  # half sure both: a face
        (LIKELY, 0.3, False),
        (SURE, 0.3, False),  # however sure it is
        (DOUBTFUL, 0.6, True),
        (DOUBTFUL, 0.45, False),  # the light one's doubt needs somebody who is sure
    ],
)
def test_a_new_face_is_confirmed(light: float, full: float, is_face: bool) -> None:
    pair = Pair(full)
    settled = pair.settle(frame_with(HERE), faces_at((*HERE, light)))
    assert settled.asked == "places"
    assert settled.kept.tolist() == ([0] if is_face else [])
    assert len(settled.found) == 0
    if is_face:
        np.testing.assert_allclose(settled.conf, [max(light, full)])


def test_what_was_denied_is_not_asked_about_again_at_once() -> None:
    """Each time it waits twice as long, up to a limit; what was never denied does not wait."""
    pair, light = Pair(), faces_at((*HERE, LIKELY))
    asked = []
    for at_s in np.arange(1, 90) / 25:  # before the next whole look
        settled = pair.settle(frame_with(at_s=at_s), light)
        if settled.asked == "places":
            asked.append(at_s)
    waits = np.diff(asked)
    first, limit = CONFIG.denied_from_seconds, CONFIG.denied_seconds
    assert waits[0] == pytest.approx(first, abs=0.041)
    assert (waits >= np.minimum(first * 2.0 ** np.arange(len(waits)), limit)).all()
    assert waits[-1] == pytest.approx(limit, abs=0.041)
    assert pair.settle(frame_with(at_s=asked[-1]), faces_at((*THERE, LIKELY))).asked == "places"
    assert pair.settle(frame_with(at_s=asked[-1]), light).asked == "nothing"


def test_a_face_that_comes_into_sight_is_soon_one() -> None:
    pair, light = Pair(), faces_at((*HERE, LIKELY))
    assert len(pair.settle(frame_with(at_s=0.1), light).kept) == 0
    later = 0.1 + 1.5 * CONFIG.denied_from_seconds
    assert len(pair.settle(frame_with(HERE, at_s=later), light).kept) == 1


def test_a_face_that_is_missed_is_looked_for() -> None:
    pair = Pair()
    settled = pair.settle(frame_with(HERE), Faces.none(), missed=[HERE])
    assert (settled.asked, len(settled.kept), len(settled.found)) == ("places", 0, 1)
    np.testing.assert_allclose(settled.found.boxes, faces_at((*HERE, 1)).boxes, atol=0.01)
    assert len(pair.settle(frame_with(THERE), Faces.none(), missed=[HERE]).found) == 0


@pytest.mark.parametrize(("place", "missed_s"), [(HERE, 5.0), ((1.2, 0.5), 0.2)])
def test_who_is_gone_is_not_looked_for(place: tuple[float, float], missed_s: float) -> None:
    pair = Pair()
    settled = pair.settle(frame_with(HERE), Faces.none(), missed=[place], missed_s=missed_s)
    assert settled.asked == "nothing"


def test_whole_pictures_are_looked_at_now_and_then_and_at_each_cut() -> None:
    pair = Pair()
    times = np.arange(1, 10) * CONFIG.whole_seconds / 4
    asked = [pair.settle(frame_with(at_s=t), Faces.none()).asked for t in times]
    assert asked == ["nothing"] * 3 + ["whole"] + ["nothing"] * 3 + ["whole"] + ["nothing"]
    assert pair.settle(frame_with(at_s=times[-1]), Faces.none(), shot=1).asked == "whole"


def test_a_whole_look_finds_what_the_light_one_missed_and_takes_what_it_made_up() -> None:
    pair = Pair()
    light = faces_at((*THERE, LIKELY), (*HERE, LIKELY), (0.5, 0.8, DOUBTFUL))
    settled = pair.settle(frame_with(HERE), light, continuing=[0], shot=1)
    assert settled.asked == "whole"
    np.testing.assert_allclose(settled.found.boxes, faces_at((*HERE, 1)).boxes, atol=0.01)
    assert settled.kept.tolist() == []  # not what only continues; one of them was found
    again = pair.settle(frame_with(HERE, at_s=0.1), light, shot=1)
    assert 0 not in again.kept  # it was denied


def test_more_places_than_pay_are_looked_at_as_a_whole() -> None:
    pair, count = Pair(), CONFIG.max_places + 1
    centres = [(0.05 + 0.9 * n / CONFIG.max_places, 0.5) for n in range(count)]
    light = faces_at(*((x, y, LIKELY) for x, y in centres), size=0.04)
    settled = pair.settle(frame_with(*centres, size=0.04), light)
    assert (settled.asked, pair.asked) == ("whole", (1, 0))
    assert len(settled.found) + len(settled.kept) == count
    fewer = pair.settle(frame_with(*centres[1:], size=0.04, at_s=0.1), light[1:])
    assert (fewer.asked, len(fewer.kept)) == ("places", count - 1)


def test_a_face_that_fills_the_picture_is_shrunk_to_be_looked_at() -> None:
    pair = Pair()
    light = faces_at((0.5, 0.5, LIKELY), size=0.9)
    settled = pair.settle(frame_with((0.5, 0.5), size=0.9), light)
    assert (settled.asked, settled.kept.tolist()) == ("places", [0])


def test_doubtful_and_missed_places_are_looked_at_one_by_one() -> None:
    pair = Pair()
    settled = pair.settle(frame_with(HERE, THERE), faces_at((*HERE, LIKELY)), missed=[THERE])
    assert pair.asked == (0, 2)
    assert settled.kept.tolist() == [0]
    np.testing.assert_allclose(settled.found.boxes, faces_at((*THERE, 1)).boxes, atol=0.01)


# --- in a run -----------------------------------------------------------------------------------


def rows_of(folder: Path) -> list[Any]:
    return list(read_jsonl(Layout(folder).run("talk", "run").staged.detections))


def test_a_run_with_a_pair(tmp_path: Path, test_data: Path, yunet_path: Path) -> None:
    """It finds more than CenterFace alone, on any number of threads the same."""
    street = test_data / "videos" / "facenet_video.mp4"
    single = run(street, tmp_path / "single", stride=12, cpu_threads=1)
    pairs = [
        run(
            street,
            tmp_path / f"pair-{threads}",
            detector="cascade",
            detector_model=yunet_path,
            stride=12,
            cpu_threads=threads,
        )
        for threads in (1, 2)
    ]
    assert pairs[0].counts == pairs[1].counts
    one, two = (rows_of(tmp_path / f"pair-{threads}") for threads in (1, 2))
    assert one == two
    assert {row["model_id"] for row in one} == {"yunet_n_dynamic+centerface"}
    outcome = pairs[0]
    assert outcome.counts["detections"] > single.counts["detections"]
    assert outcome.counts["frames_light"] == len(range(0, FRAMES, 12))
    counts = outcome.counts
    assert 0 < counts["frames_full"] < counts["frames_places"] < counts["frames_light"]
    assert outcome.detector.model.id == "yunet_n_dynamic"
    assert outcome.full_model is not None
    assert outcome.full_model.id == single.detector.model.id
    assert outcome.times["full_look"] > 0
    assert single.full_model is None
    assert not {"frames_light", "frames_full", "frames_places"} & set(single.counts)


def test_eight_bits_are_for_the_full_one(tmp_path: Path, test_data: Path, yunet_path: Path) -> None:
    talk = test_data / "videos" / "carphone_pristine.mp4"
    options = {"detector": "cascade", "detector_model": yunet_path, "precision": "int8"}
    outcome = run(talk, tmp_path / "data", stride=30, cpu_threads=1, **options)
    assert outcome.detector.model.precision == "float32"
    assert outcome.full_model is not None
    assert outcome.full_model.precision == "int8"
    assert outcome.counts["detections"] >= 4


def test_a_second_look_beside_a_pair_is_none() -> None:
    host = dataclasses.replace(SMALL_HOST, detectors_on_disk=frozenset({"centerface", "yunet"}))
    request = RunRequest(detector="cascade", small_faces="second_look")
    (warning,) = resolve(request, {}, host).warnings
    assert "not looked at again" in warning
    assert resolve(RunRequest(detector="cascade"), {}, host).warnings == ()
