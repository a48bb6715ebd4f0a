"""YuNet beside OpenCV's own implementation of the same network."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.common.config import model_registry
from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import DetectorRequest, make_detector
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.detect.centerface import CenterFace
from apps.pipeline.detect.weights import packaged_model
from apps.pipeline.detect.yunet import CELLS, YuNet, decode_cells
from apps.pipeline.geometry import fit

CONFIG = model_registry().detectors["yunet"]
REQUEST = DetectorRequest(1280, 720, 640, CONFIG.det_thresh, "CPUExecutionProvider", threads=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pictures(test_data: Path) -> list[ByteArray]:
    """Of two clips, as a detector gets them."""
    found = []
    for name in ("facenet_video.mp4", "short_hamilton_clip.mp4"):
        with open_video(test_data / "videos" / name, threads=1) as video:
            box = fit(video.facts.width, video.facts.height, 640)
            found += [frame.image for frame in islice(video.frames(25, box), 8)]
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_it_equals_the_reference_implementation(
    yunet_path: Path, cache: Path, pictures: list[ByteArray], threshold: float
) -> None:
    reference = cv2.FaceDetectorYN.create(str(yunet_path), "", (32, 32), threshold, CONFIG.nms_iou)
    counted = 0
    for image in pictures:
        height, width = image.shape[:2]
        request = replace(REQUEST, width=width, height=height, det_thresh=threshold)
        faces = YuNet(request, CONFIG, yunet_path, cache).detect(image)
        reference.setInputSize((width, height))
        rows = reference.detect(image)[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        assert len(faces) == len(rows)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        corners = np.clip(corners, 0, [width, height, width, height])
        np.testing.assert_allclose(faces.boxes, corners, atol=0.5)
        np.testing.assert_allclose(faces.landmarks.reshape(-1, 10), rows[:, 4:14], atol=0.5)
        np.testing.assert_allclose(faces.conf, rows[:, 14], atol=1e-3)
        counted += len(rows)
    assert counted > 30


def test_a_cell_is_where_its_picture_is() -> None:
    """One face in the second column and third row of the cells of 16 pixels."""
    size = (64, 96)
    maps = {}
    for cell in CELLS:
        count = (size[0] // cell) * (size[1] // cell)
        for kind, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            maps[f"{kind}_{cell}"] = np.zeros((count, columns), np.float32)
    at = 2 * (size[0] // 16) + 1
    maps["cls_16"][at], maps["obj_16"][at] = 0.64, 1.0
    maps["bbox_16"][at] = [0.5, 0.25, np.log(2), np.log(1)]
    maps["kps_16"][at] = np.arange(10) / 10
    faces = decode_cells(maps, size, threshold=0.5)
    np.testing.assert_allclose(faces.boxes, [[24 - 16, 36 - 8, 24 + 16, 36 + 8]])
    np.testing.assert_allclose(faces.conf, [0.8])
    np.testing.assert_allclose(faces.landmarks[0, 1], [16 * 1.2, 16 * 2.3], rtol=1e-5)
    assert len(decode_cells(maps, size, threshold=0.8)) == 0


def test_a_picture_without_faces(yunet_path: Path, cache: Path) -> None:
    detector = YuNet(REQUEST, CONFIG, yunet_path, cache)
    box = detector.letterbox
    faces = detector.detect(np.full((box.canvas_height, box.canvas_width, 3), 128, np.uint8))
    assert (faces.boxes.shape, faces.landmarks.shape) == ((0, 4), (0, 5, 2))


def test_facts(yunet_path: Path, cache: Path) -> None:
    facts = make_detector("yunet", REQUEST, cache=cache, given=str(yunet_path)).facts
    assert facts.model.sha256 == CONFIG.sha256
    assert facts.model.licence == "Apache-2.0"
    assert (facts.provider, facts.intra_op_threads) == ("CPUExecutionProvider", 1)


def test_eight_bits_find_the_same(yunet_path: Path, cache: Path, pictures: list[ByteArray]) -> None:
    height, width = pictures[0].shape[:2]
    request = replace(REQUEST, width=width, height=height)
    floats = YuNet(request, CONFIG, yunet_path, cache)
    eight = YuNet(replace(request, precision="int8"), CONFIG, yunet_path, cache)
    assert eight.facts.model.quantised is not None
    found = [floats.detect(image).boxes for image in pictures[:5]]
    again = [eight.detect(image).boxes for image in pictures[:5]]
    both = [overlaps(one, other).max(axis=1) > 0.5 for one, other in zip(found, again, strict=True)]
    assert np.concatenate(both).mean() > 0.9


def test_weights_of_another_network(yunet_path: Path, cache: Path, tmp_path: Path) -> None:
    """They are refused, also where they are not known."""
    centerface = model_registry().detectors["centerface"]
    with pytest.raises(ModelUnavailable, match="is no YuNet network"):
        YuNet(REQUEST, CONFIG, packaged_model(centerface), cache)
    with pytest.raises(ModelUnavailable, match="is no CenterFace network"):
        CenterFace(REQUEST, centerface, yunet_path, cache)
    text = tmp_path / "text.onnx"
    text.write_text("This is no model.")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        YuNet(REQUEST, CONFIG, text, cache)
