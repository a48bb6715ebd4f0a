"""Eight-bit models: made once, kept whole, and used only where they find the same faces."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from filelock import FileLock
from onnx import numpy_helper

from apps.common.config import model_registry
from apps.common.contracts.manifest import Agreement
from apps.common.errors import ModelUnavailable, RunCancelled, StorageFailed
from apps.common.options import Precision
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import (
    DetectorRequest,
)
from apps.pipeline.detect.agreement import compare, is_enough, matches, overlaps
from apps.pipeline.detect.centerface import CenterFace
from apps.pipeline.detect.pictures import calibration_pictures, check_pictures
from apps.pipeline.detect.quantise import Recipe, recipe_for
from apps.pipeline.detect.retinaface import RetinaFace
from apps.pipeline.detect.weights import packaged_model
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.cpu_kind import CpuKind, cpu_kind
from apps.pipeline.inference.provider_benchmark import benchmark_providers
from apps.pipeline.inference.session import CPU, OPENVINO, float_type
from apps.pipeline.types import Faces

pytestmark = pytest.mark.slow  # making a model of eight bits takes seconds
DETECTORS = model_registry().detectors
REQUEST = DetectorRequest(1280, 720, 640, 0.5, provider=CPU, threads=1, precision="int8")
needs_openvino = pytest.mark.skipif(
    OPENVINO not in ort.get_available_providers(),
    reason="needs onnxruntime-openvino in place of onnxruntime",
)


def centerface(
    cache: Path, callbacks: LoadCallbacks | None = None, **changes: object
) -> CenterFace:
    request = replace(REQUEST, **changes)
    present = LoadCallbacks() if callbacks is None else callbacks
    config = DETECTORS["centerface"]
    return CenterFace(request, config, packaged_model(config), cache, present)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A cache in which the model lay damaged, so that it was made again; and what was said."""
    folder = tmp_path_factory.mktemp("cache")

    def stop(_: str) -> None:
        raise RunCancelled("stopped")

    with suppress(RunCancelled):
        centerface(folder, LoadCallbacks(stop))
    path = kept(folder, ".lock").with_suffix(".onnx")
    path.write_bytes(b"no model")
    whole = hashlib.sha256(b"another").hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"sha256": whole}))
    said: list[str] = []
    assert centerface(folder, LoadCallbacks(said.append)).facts.model.quantised is not None
    return folder, said


@pytest.fixture(scope="module")
def cache(made: tuple[Path, list[str]]) -> Path:
    return made[0]


def kept(cache: Path, ending: str) -> Path:
    (path,) = (cache / "quantised").glob(f"*{ending}")
    return path


# --- what is made ------------------------------------------------------------------------------


def test_facts_name_the_eight_bit_model_and_its_check(cache: Path) -> None:
    model = centerface(cache).facts.model
    facts = model.quantised
    assert facts is not None
    assert facts.agreement is not None
    assert model.precision == "int8"
    assert facts.sha256 == hashlib.sha256(kept(cache, ".onnx").read_bytes()).hexdigest()
    assert facts.sha256 != model.sha256
    assert facts.onnxruntime == ort.__version__
    assert facts.agreement.faces >= 50
    assert is_enough(facts.agreement)
    (noted,) = json.loads(kept(cache, ".json").read_text())["agreements"].values()
    assert noted == facts.agreement.model_dump()


def test_most_of_the_arithmetic_is_in_eight_bits(cache: Path) -> None:
    graph = onnx.load(str(kept(cache, ".onnx"))).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    sizes = {np.dtype(np.int8): 0, np.dtype(np.float32): 0}
    for tensor in stored.values():
        if tensor.dtype in sizes and tensor.ndim == 4:  # weights of convolutions
            sizes[tensor.dtype] += tensor.size
    assert sizes[np.dtype(np.int8)] > 0.9 * sum(sizes.values())
    makers = {name: node.op_type for node in graph.node for name in node.output}
    assert {makers[output.name] for output in graph.output} == {"Conv", "Sigmoid"}  # heads


def test_weights_have_a_scale_for_each_channel(cache: Path) -> None:
    graph = onnx.load(str(kept(cache, ".onnx"))).graph
    scales = [t for t in graph.initializer if t.name.endswith("_scale") and len(t.dims) == 1]
    assert sum(t.dims[0] > 1 for t in scales) > 40


def test_it_is_faster(cache: Path) -> None:
    """In turns, so that whatever else this machine does slows both alike."""
    if "avx512_vnni" not in cpu_kind().flags and "avx_vnni" not in cpu_kind().flags:
        pytest.skip("this CPU has no instructions for it")
    eight, exact = centerface(cache), centerface(cache, precision="float32")
    box = eight.letterbox
    image = check_pictures(box.canvas_width, box.canvas_height)[0]
    ratios = []
    for _ in range(12):
        spent = []
        for detector in (eight, exact):
            start = time.thread_time()
            detector.detect(image)
            spent.append(time.thread_time() - start)
        ratios.append(spent[0] / spent[1])
    assert statistics.median(ratios) < 0.8


def test_an_insightface_model(tmp_path: Path, scrfd_path: Path) -> None:
    detector = RetinaFace(REQUEST, DETECTORS["retinaface"], str(scrfd_path), tmp_path)
    facts = detector.facts.model.quantised
    assert facts is not None
    assert facts.agreement is not None
    assert is_enough(facts.agreement)
    box = detector.letterbox
    picture = check_pictures(box.canvas_width, box.canvas_height)[0]
    assert len(detector.detect(picture)) == 6


@pytest.mark.parametrize(
    ("video", "recall"), [("short_hamilton_clip", 0.93), ("facenet_video", 0.97)]
)
def test_faces_of_real_videos(cache: Path, test_data: Path, video: str, recall: float) -> None:
    """The dark stage of the first is where rounding in the first layers loses a third of them."""
    with open_video(test_data / "videos" / f"{video}.mp4", threads=1) as source:
        size = {"width": source.facts.width, "height": source.facts.height}
        eight = centerface(cache, **size)
        exact = centerface(cache, precision="float32", **size)
        pictures = [frame.image for frame in source.frames(12, exact.letterbox)]
        found = compare(exact.detect, eight.detect, pictures)
    assert found.faces > 40
    assert found.recall >= recall
    assert found.precision >= 0.95
    assert found.mean_iou >= 0.94


def test_check_and_calibration_share_no_picture() -> None:
    calibrated = [picture.tobytes() for picture in calibration_pictures(640, 448)]
    checked = [picture.tobytes() for picture in check_pictures(640, 448)]
    assert len(set(calibrated + checked)) == len(calibrated) + len(checked)


@pytest.mark.parametrize(
    ("machine", "flags", "recipe"),
    [
        ("x86_64", {"avx2"}, Recipe("uint8", 7)),
        ("x86_64", set(), Recipe("uint8", 7)),
        ("x86_64", {"avx512_vnni"}, Recipe("uint8", 8)),
        ("AMD64", {"avx_vnni"}, Recipe("uint8", 8)),
        ("arm64", set(), Recipe("int8", 8)),
        ("aarch64", {"asimddp"}, Recipe("int8", 8)),
    ],
)
def test_the_recipe_suits_the_cpu(machine: str, flags: set[str], recipe: Recipe) -> None:
    assert recipe_for(CpuKind(machine, "", frozenset(flags))) == recipe


@pytest.mark.parametrize(
    ("provider", "precision", "flags", "expected"),
    [
        (OPENVINO, "int8", {"avx512_bf16"}, "bfloat16"),
        (OPENVINO, "int8", {"amx_bf16"}, "bfloat16"),
        (OPENVINO, "int8", {"avx512_vnni"}, "float32"),
        (OPENVINO, "float32", {"avx512_bf16"}, "float32"),
        (CPU, "int8", {"avx512_bf16"}, "float32"),
    ],
)
def test_only_quantised_models_are_rounded_further(
    provider: str, precision: Precision, flags: set[str], expected: str
) -> None:
    assert float_type(provider, precision, CpuKind("x86_64", "", frozenset(flags))) == expected


# --- kept once, and whole ----------------------------------------------------------------------


def test_it_is_made_and_checked_once(cache: Path) -> None:
    said: list[str] = []
    before = kept(cache, ".onnx").stat().st_mtime_ns
    centerface(cache, LoadCallbacks(said.append))
    assert said == []
    assert kept(cache, ".onnx").stat().st_mtime_ns == before


def test_a_damaged_model_is_made_again(made: tuple[Path, list[str]]) -> None:
    assert len(made[1]) == 2


def test_a_model_with_damaged_notes_is_made_again(cache: Path) -> None:
    kept(cache, ".json").write_bytes(b"{}")
    said: list[str] = []
    assert centerface(cache, LoadCallbacks(said.append)).facts.model.quantised is not None
    assert len(said) == 2


def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    calls = iter(range(100))

    def stop_at_the_fifth() -> None:
        if next(calls) == 5:
            raise RunCancelled("stopped")

    with pytest.raises(RunCancelled):
        centerface(tmp_path, LoadCallbacks(check=stop_at_the_fifth))
    assert [path.suffix for path in (tmp_path / "quantised").iterdir()] == [".lock"]


def test_waiting_for_another_run_can_be_stopped(cache: Path) -> None:
    def stop() -> None:
        raise RunCancelled("stopped")

    with FileLock(kept(cache, ".lock")), pytest.raises(RunCancelled):
        centerface(cache, LoadCallbacks(check=stop))


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "quantised").write_bytes(b"")
    with pytest.raises(StorageFailed):
        centerface(tmp_path)


# --- the check ---------------------------------------------------------------------------------


def spoil(cache: Path, factor: float) -> None:
    """Replaces the kept model by one whose heads see less, with a true checksum and no verdict."""
    path = kept(cache, ".onnx")
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "head.pos_conv.weight":
            weights = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    path.write_bytes(model.SerializeToString())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    kept(cache, ".json").write_text(json.dumps({"sha256": sha256}))


def test_a_model_that_finds_other_faces_is_refused(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path, 0.3)
    for _ in range(2):  # the second time from the notes
        with pytest.raises(ModelUnavailable) as caught:
            centerface(tmp_path)
        assert "98%" in caught.value.detail
        assert "float32" in (caught.value.hint or "")
        assert str(tmp_path) not in str(caught.value.to_dict())
    assert len(centerface(tmp_path, precision="float32").facts.session_providers) == 1


@pytest.mark.parametrize(
    ("recall", "precision", "mean_iou", "good"),
    [
        (1.0, 1.0, 1.0, True),
        (0.98, 0.98, 0.9, True),
        (0.979, 1.0, 1.0, False),
        (1.0, 0.979, 1.0, False),
        (1.0, 1.0, 0.899, False),
    ],
)
def test_what_is_enough(recall: float, precision: float, mean_iou: float, good: bool) -> None:
    figures = Agreement(
        pictures=1, faces=50, recall=recall, precision=precision, mean_iou=mean_iou, least_iou=0.5
    )
    assert is_enough(figures) is good


def boxes(*corners: tuple[float, float, float, float]) -> FloatArray:
    return np.array(corners, np.float32).reshape(-1, 4)


def test_each_box_is_matched_once() -> None:
    ours = boxes((0, 0, 10, 10), (100, 0, 110, 10))
    theirs = boxes((0, 0, 10, 8), (0, 0, 10, 10))
    assert [pair.overlap for pair in matches(overlaps(ours, theirs))] == [1.0]


def test_agreement_counts_missed_and_invented_faces() -> None:
    a, b, c = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (50.0, 0.0, 60.0, 10.0)
    ours = iter([boxes(a, b), boxes(a), boxes()])
    theirs = iter([boxes(a), boxes(a, c), boxes(c)])

    def finder(found: object) -> object:
        def find(_: ByteArray) -> Faces:
            rows = next(found)  # type: ignore[call-overload]
            return Faces(rows, np.zeros((len(rows), 5, 2), np.float32), np.ones(len(rows)))

        return find

    black = np.zeros((8, 8, 3), np.uint8)
    found = compare(finder(ours), finder(theirs), [black] * 3)  # type: ignore[arg-type]
    assert (found.pictures, found.faces) == (3, 3)
    assert found.recall == pytest.approx(2 / 3, abs=1e-4)
    assert found.precision == pytest.approx(2 / 4, abs=1e-4)
    assert found.mean_iou == found.least_iou == 1.0


def test_two_that_find_nothing_do_not_agree() -> None:
    """A model of noughts against a model of noughts proves nothing."""
    nothing = compare(
        lambda _: Faces.none(), lambda _: Faces.none(), [np.zeros((8, 8, 3), np.uint8)]
    )
    assert not is_enough(nothing)


# --- OpenVINO ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Repeated:
    """A real session that does its work so many times."""

    session: ort.InferenceSession
    times: int

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def run(self, *arguments: Any) -> Any:
        return [self.session.run(*arguments) for _ in range(self.times)][-1]


def test_the_benchmark_gives_a_median_for_each_provider(cache: Path) -> None:
    session = centerface(cache, precision="float32", width=64, height=64)._session
    sessions = {"one": session, "ten": _Repeated(session, 10)}
    found = benchmark_providers(sessions, (64, 64), LoadCallbacks())
    assert set(found) == {"one", "ten"}
    assert found["ten"] > 2 * found["one"] > 0


def test_without_rivals_there_is_no_benchmark(cache: Path) -> None:
    assert centerface(cache).facts.probe is None
    assert not (cache / "benchmarks").exists()


@needs_openvino
def test_openvino_finds_the_same_faces(tmp_path: Path) -> None:
    ours = centerface(tmp_path, precision="float32")
    theirs = centerface(tmp_path, precision="float32", provider=OPENVINO)
    assert theirs.facts.provider == OPENVINO
    box = ours.letterbox
    pictures = check_pictures(box.canvas_width, box.canvas_height)
    found = compare(ours.detect, theirs.detect, pictures)
    assert (found.recall, found.precision) == (1.0, 1.0)
    assert found.mean_iou > 0.99


@needs_openvino
def test_openvino_tells_what_its_float_layers_are_computed_in(tmp_path: Path) -> None:
    facts = centerface(tmp_path, provider=OPENVINO).facts.model.quantised
    assert facts is not None
    assert facts.float_layers == float_type(OPENVINO, "int8", cpu_kind())


@needs_openvino
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_auto_takes_the_faster_one_and_remembers(tmp_path: Path, precision: str) -> None:
    wanted = {"provider": OPENVINO, "rivals": (CPU,), "precision": precision}
    first = centerface(tmp_path, **wanted).facts
    assert first.probe is not None
    assert set(first.probe.milliseconds) == {OPENVINO, CPU}
    fastest = min(first.probe.milliseconds, key=first.probe.milliseconds.__getitem__)
    assert first.provider == first.probe.chosen == fastest
    again = centerface(tmp_path, **wanted).facts
    assert again.probe == first.probe.model_copy(update={"remembered": True})
    assert again.provider == first.provider
    note = next((tmp_path / "benchmarks").iterdir())
    note.write_text(note.read_text().replace(f'"chosen": "{first.provider}"', '"chosen": "other"'))
    assert centerface(tmp_path, **wanted).facts.probe.remembered is False  # type: ignore[union-attr]


@needs_openvino
@pytest.mark.parametrize("threads", [1, 2])
def test_openvino_keeps_to_its_threads(tmp_path: Path, threads: int) -> None:
    detector = centerface(tmp_path, precision="float32", provider=OPENVINO, threads=threads)
    box = detector.letterbox
    image = check_pictures(box.canvas_width, box.canvas_height)[0]

    def spent() -> dict[str, int]:
        tasks = list(Path("/proc/self/task").iterdir())
        fields = {t.name: (t / "stat").read_text().rpartition(")")[2].split() for t in tasks}
        return {name: int(each[11]) + int(each[12]) for name, each in fields.items()}

    before = spent()
    for _ in range(30):
        detector.detect(image)
    ticks = {name: total - before.get(name, 0) for name, total in spent().items()}
    busy = [name for name, each in ticks.items() if each > 0.1 * max(ticks.values())]
    assert len(busy) <= threads
