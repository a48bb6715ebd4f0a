"""A second look finds small faces that the first one doubts; without doubts it costs nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apps.common.config import model_registry, pipeline_config
from apps.common.files import read_jsonl
from apps.common.layout import Layout
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import Detector, DetectorRequest
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.detect.centerface import CenterFace
from apps.pipeline.detect.retinaface import RetinaFace
from apps.pipeline.detect.second_look import SecondLook, doubtful_from
from apps.pipeline.detect.weights import packaged_model
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.session import CPU
from apps.pipeline.types import Faces, Frame, in_frame
from lab.evaluation.rows import Rows
from lab.evaluation.small_faces import Material, judged, read_marks
from tests.pipeline.test_guards import run
from tests.pipeline.videos import H264, Recipe, write_video

CONFIG = pipeline_config().second_look
THRESHOLD = 0.5
SIZE = (1920, 1080)
FINE = Recipe(options={"preset": "ultrafast", "crf": "8"})


@pytest.fixture(scope="module")
def people() -> ByteArray:
    """InsightFace's example of six people, shape (886, 1280, 3), RGB."""
    spec = importlib.util.find_spec("insightface")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "images" / "t1.jpg"
        if path.is_file():
            return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1], dtype=np.uint8)
    pytest.skip("InsightFace carries no t1.jpg")


def far_away(people: ByteArray, share: float) -> ByteArray:
    """The people in the middle of a grey picture of 1920x1080, so many times as large."""
    picture = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
    small = cv2.resize(people, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    x, y = (SIZE[0] - width) // 2, (SIZE[1] - height) // 2
    picture[y : y + height, x : x + width] = small
    return picture


def rows_of(folder: Path) -> list[Any]:
    staged = Layout(folder).run("talk", "run").staged
    return [(r["frame_idx"], r["bbox"], r["conf"]) for r in read_jsonl(staged.detections)]


def looked_at(detector: Detector, frame: Frame) -> tuple[Faces, Faces]:
    """The sure faces of the first look, and what both looks give together."""
    second = SecondLook(CONFIG, THRESHOLD, detector.letterbox)
    first = in_frame(detector.detect(frame.image), frame.letterbox)
    mosaic = second.mosaic(frame, first)
    found = Faces.none() if mosaic is None else detector.detect(mosaic.image)
    return second.settled(first, None, Faces.none()), second.settled(first, mosaic, found)


def request_for(width: int, height: int) -> DetectorRequest:
    lowest = doubtful_from(THRESHOLD, CONFIG)
    return DetectorRequest(width, height, det_size=640, det_thresh=lowest, provider=CPU, threads=1)


# --- in a run -----------------------------------------------------------------------------------


@pytest.mark.trap(8)
def test_a_run_finds_people_far_away(tmp_path: Path, people: ByteArray) -> None:
    video = write_video(tmp_path / "far.mp4", [far_away(people, 0.3)] * 4, FINE)
    plain = run(video, tmp_path / "plain", stride=1, cpu_threads=1)
    twice = run(video, tmp_path / "twice", stride=1, cpu_threads=1, small_faces="second_look")
    assert plain.counts["detections"] < 4 * 6 == twice.counts["detections"]
    assert twice.counts["second_looks"] == 4
    assert twice.times["second_look"] > 0
    assert "second_looks" not in plain.counts
    assert "second_look" not in plain.times


def test_no_face_is_there_twice(tmp_path: Path, people: ByteArray) -> None:
    video = write_video(tmp_path / "far.mp4", [far_away(people, 0.3)] * 2, FINE)
    run(video, tmp_path / "twice", stride=1, cpu_threads=1, small_faces="second_look")
    boxes = np.array([box for frame, box, _ in rows_of(tmp_path / "twice") if frame == 0])
    alike = overlaps(boxes, boxes) - np.eye(len(boxes), dtype=np.float32)
    assert len(boxes) == 6
    assert alike.max() < CONFIG.same_face


def test_a_close_up_costs_no_second_look(tmp_path: Path, people: ByteArray) -> None:
    near = cv2.resize(people[100:640, 160:1120], SIZE)
    video = write_video(tmp_path / "near.mp4", [near] * 3, H264)
    plain = run(video, tmp_path / "plain", stride=1, cpu_threads=1)
    twice = run(video, tmp_path / "twice", stride=1, cpu_threads=1, small_faces="second_look")
    assert plain.counts["detections"] > 0
    assert twice.counts["second_looks"] == 0
    assert rows_of(tmp_path / "twice") == rows_of(tmp_path / "plain")


def test_results_do_not_depend_on_threads(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "facenet_video.mp4"
    outcomes, rows = [], []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        requested = {"stride": 15, "cpu_threads": threads, "small_faces": "second_look"}
        outcomes.append(run(video, folder, **requested).counts)
        rows.append(rows_of(folder))
    assert rows[0] == rows[1]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["second_looks"] > 0


# --- against faces marked by hand ---------------------------------------------------------------


def test_faces_under_16_pixels_on_a_street(tmp_path: Path, test_data: Path) -> None:
    """The detector is sure of less than half of them; with a second look of nine in ten."""
    video = test_data / "videos" / "facenet_video.mp4"
    faces, ignored, frames = read_marks(test_data / "truth" / "facenet_video.csv")
    street = Material("street", video, faces, ignored, frames, 0.4)
    config = model_registry().detectors["centerface"]
    detector = CenterFace(request_for(*SIZE), config, packaged_model(config), tmp_path)
    there, found, false = 0, [0, 0], [0, 0]
    with open_video(video, threads=1) as source:
        for frame in source.frames(3, detector.letterbox):
            if frame.index not in frames:
                continue
            height = faces[frame.index].boxes[:, 3] - faces[frame.index].boxes[:, 1]
            small = height / 3 < 16
            there += int(small.sum())
            for way, seen in enumerate(looked_at(detector, frame)):
                boxes = seen.boxes.astype(np.float64) * np.array([*SIZE, *SIZE])
                hits, wrong = judged(
                    street, frame.index, Rows(np.arange(len(seen)), boxes, seen.conf)
                )
                found[way] += int(hits[small].sum())
                false[way] += wrong
    assert there == 48
    assert found[0] <= there // 2
    assert found[1] >= 0.9 * there
    assert false == [0, 0]


# --- the mosaic ---------------------------------------------------------------------------------


def frame_of(image: ByteArray) -> Frame:
    height, width = image.shape[:2]
    return Frame(0, 0.0, image, Letterbox(width, height, width, height - 24))


def faces_at(*rows: tuple[float, float, float, float, float]) -> Faces:
    """x and y of the centre, width, height, confidence; in 0..1 of the frame."""
    table = np.array(rows, np.float32)
    half = table[:, 2:4] / 2
    boxes = np.concatenate([table[:, :2] - half, table[:, :2] + half], axis=1)
    return Faces(boxes, np.repeat(table[:, None, :2], 5, axis=1), table[:, 4])


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.01, 0.02), (0.99, 0.98), (0.0, 0.7)])
def test_what_is_seen_in_the_mosaic_lies_where_it_was(centre: tuple[float, float]) -> None:
    """A bright point is found in the mosaic, and its place there leads back to the frame."""
    image = np.zeros((384, 640, 3), np.uint8)
    x, y = round(centre[0] * 639), round(centre[1] * 359)
    image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 255
    second = SecondLook(CONFIG, THRESHOLD, frame_of(image).letterbox)
    mosaic = second.mosaic(frame_of(image), faces_at((*centre, 0.02, 0.04, 0.4)))
    assert mosaic is not None
    [cell] = mosaic.cells
    rows, columns = np.nonzero(mosaic.image[:, :, 0] > 128)
    found = np.array([columns.mean() + 0.5, rows.mean() + 0.5], np.float32)
    back = cell.in_frame(found) * np.array([640, 360])
    assert back == pytest.approx([x + 0.5, y + 0.5], abs=1.0)
    assert mosaic.image.shape == image.shape


def test_as_many_doubts_as_there_are_cells_the_likeliest_first() -> None:
    image = np.zeros((384, 640, 3), np.uint8)
    second = SecondLook(CONFIG, THRESHOLD, frame_of(image).letterbox)
    many = [(0.02 + 0.04 * n, 0.5, 0.02, 0.03, 0.49 - 0.005 * n) for n in range(20)]
    mosaic = second.mosaic(frame_of(image), faces_at(*many))
    assert mosaic is not None
    assert [cell.number for cell in mosaic.cells] == list(range(5 * 3))
    assert len({cell.corner for cell in mosaic.cells}) == 5 * 3


@pytest.mark.parametrize(
    "faces",
    [
        [(0.5, 0.5, 0.02, 0.03, 0.6)],  # sure
        [(0.5, 0.5, 0.2, 0.3, 0.4)],  # in doubt, but not small
        [(0.5, 0.5, 0.2, 0.4, 0.9), (0.52, 0.52, 0.02, 0.03, 0.4)],  # a part of a sure one
    ],
    ids=["sure", "large", "part"],
)
def test_nothing_to_look_at_again(faces: list[tuple[float, float, float, float, float]]) -> None:
    frame = frame_of(np.zeros((384, 640, 3), np.uint8))
    second = SecondLook(CONFIG, THRESHOLD, frame.letterbox)
    assert second.mosaic(frame, faces_at(*faces)) is None
    assert second.mosaic(frame, Faces.none()) is None


def test_what_lies_elsewhere_or_is_doubted_again_is_no_face() -> None:
    frame = frame_of(np.zeros((384, 640, 3), np.uint8))
    second = SecondLook(CONFIG, THRESHOLD, frame.letterbox)
    first = faces_at((0.5, 0.5, 0.02, 0.04, 0.4))
    mosaic = second.mosaic(frame, first)
    assert mosaic is not None

    def found(x: float, y: float, conf: float) -> Faces:
        box = np.array([[x - 14, y - 16, x + 14, y + 16]], np.float32)
        return Faces(box, np.zeros((1, 5, 2), np.float32), np.array([conf], np.float32))

    assert len(second.settled(first, mosaic, found(64, 64, 0.8))) == 1
    assert len(second.settled(first, mosaic, found(64, 64, 0.45))) == 0
    assert len(second.settled(first, mosaic, found(100, 64, 0.8))) == 0
    assert len(second.settled(first, mosaic, found(64 + 128, 64, 0.8))) == 0  # an empty cell


def test_two_doubts_about_one_face_give_one_face() -> None:
    """As of an eye and a mouth: each is in the other's part, and the face is found in both."""
    frame = frame_of(np.zeros((384, 640, 3), np.uint8))
    second = SecondLook(CONFIG, THRESHOLD, frame.letterbox)
    first = faces_at((0.5, 0.49, 0.025, 0.03, 0.45), (0.5, 0.51, 0.025, 0.03, 0.4))
    mosaic = second.mosaic(frame, first)
    assert mosaic is not None
    assert len(mosaic.cells) == 2
    face, boxes = first.boxes.mean(axis=0), []
    for cell in mosaic.cells:
        left, top, right, bottom = cell.place
        share = (face.reshape(2, 2) - (left, top)) / (right - left, bottom - top)
        boxes.append((share * cell.size + cell.corner).ravel())
    found = Faces(
        np.array(boxes, np.float32), np.zeros((2, 5, 2), np.float32), np.full(2, 0.8, np.float32)
    )
    one = second.settled(first, mosaic, found)
    assert one.boxes == pytest.approx(face[None], abs=1e-4)


def test_a_small_canvas_has_one_small_cell() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    frame = Frame(0, 0.0, image, Letterbox(96, 64, 96, 54))
    mosaic = SecondLook(CONFIG, THRESHOLD, frame.letterbox).mosaic(
        frame, faces_at((0.5, 0.5, 0.1, 0.2, 0.4), (0.1, 0.1, 0.1, 0.2, 0.35))
    )
    assert mosaic is not None
    assert len(mosaic.cells) == 1
    assert mosaic.image.shape == image.shape


def test_insightface_detectors_are_asked_twice_as_well(
    tmp_path: Path, test_data: Path, people: ByteArray
) -> None:
    """Their picture may be fixed, 640x640 here; the mosaic has that size."""
    weights = test_data / "weights" / "scrfd_500m_kps.onnx"
    if not weights.is_file():
        pytest.skip("no SCRFD weights in the test data")
    config = model_registry().detectors["retinaface"]
    detector = RetinaFace(request_for(*SIZE), config, str(weights), tmp_path / "cache")
    video = write_video(tmp_path / "far.mp4", [far_away(people, 0.22)] * 2, FINE)
    with open_video(video, threads=1) as source:
        once, twice = looked_at(detector, next(source.frames(1, detector.letterbox)))
    assert len(once) < len(twice) <= 6
