"""An accelerator is believed where it finds the CPU's faces; else the run uses the CPU and says so.

There is none here that errs, so the CPU's own detector stands for one, with its boxes moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from apps.common.config import pipeline_config
from apps.common.errors import AcceleratorMissing
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import Detector, DetectorRequest
from apps.pipeline.detect.base import DetectorFacts
from apps.pipeline.detect.pictures import check_pictures
from apps.pipeline.geometry import Letterbox, fit
from apps.pipeline.inference.providers import has_cuda_device, usable_providers
from apps.pipeline.inference.session import CPU, CUDA
from apps.pipeline.types import Faces
from lab.specs import SMALL_HOST
from tests.pipeline.test_guards import run
from tests.pipeline.videos import H264, HEVC, write_video

CONFIG = pipeline_config().detector_check
CLAIMED = "CoreMLExecutionProvider"


@dataclass(frozen=True)
class Altered:
    """A detector whose faces are not those that it found.

    Args:
        alter: makes of what was found what is said.
        provider: where it says that it ran; None for the truth.
    """

    inner: Detector
    alter: Callable[[Faces], Faces]
    provider: str | None = None

    @property
    def facts(self) -> DetectorFacts:
        facts = self.inner.facts
        return facts if self.provider is None else replace(facts, provider=self.provider)

    @property
    def letterbox(self) -> Letterbox:
        return self.inner.letterbox

    def detect(self, image: ByteArray) -> Faces:
        return self.alter(self.inner.detect(image))


@pytest.mark.parametrize(("off", "is_believed"), [(0.5, True), (30.0, False)])
def test_boxes_decide(tmp_path: Path, test_data: Path, off: float, is_believed: bool) -> None:
    loaded: list[Detector] = []

    def wrap(detector: Detector, _: DetectorRequest) -> Detector:
        loaded.append(detector)
        if len(loaded) > 1:
            return detector
        return Altered(
            detector, lambda faces: replace(faces, boxes=faces.boxes + np.float32(off)), CLAIMED
        )

    video = test_data / "videos" / "short_hamilton_clip.mp4"
    options = {"stride": 24, "cpu_threads": 1}
    outcome = run(video, tmp_path / "data", wrap_detector=wrap, **options)
    ((what, agreement),) = outcome.detector_checks.items()
    assert what == f"centerface at 640x384, float32 with {CLAIMED}"
    box = loaded[0].letterbox
    photos = len(check_pictures(box.canvas_width, box.canvas_height))
    assert agreement.pictures > photos + 1  # and its own frames
    warnings = [text for text in outcome.warnings if "not believed" in text]
    assert outcome.detector.provider == (CLAIMED if is_believed else CPU)
    assert len(loaded) == 2
    if is_believed:
        assert warnings == []
        assert agreement.recall == agreement.precision == 1.0
    else:
        assert len(warnings) == 1
        assert CLAIMED in warnings[0]
        plain = run(video, tmp_path / "plain", **options)
        assert outcome.counts == plain.counts
        assert plain.detector_checks == {}


@pytest.mark.parametrize("is_blind", [False, True])
def test_eight_bits_are_compared_on_the_runs_own_frames(
    tmp_path: Path, test_data: Path, is_blind: bool
) -> None:
    def wrap(detector: Detector, request: DetectorRequest) -> Detector:
        if not is_blind or request.precision != "int8":
            return detector
        return Altered(detector, lambda _: Faces.none())

    video = test_data / "videos" / "short_hamilton_clip.mp4"
    options = {"stride": 48, "cpu_threads": 1, "precision": "int8"}
    outcome = run(video, tmp_path / "data", wrap_detector=wrap, **options)
    ((what, agreement),) = outcome.detector_checks.items()
    assert what == "centerface at 640x384, int8 with CPUExecutionProvider"
    assert 4 <= agreement.pictures <= CONFIG.video_pictures
    assert agreement.faces >= 4
    assert outcome.detector.model.precision == ("float32" if is_blind else "int8")
    assert any("not believed" in text for text in outcome.warnings) == is_blind
    assert outcome.counts["detections"] >= 4


@pytest.mark.parametrize("recipe", [H264, HEVC], ids=["h264", "hevc"])
def test_key_pictures_are_frames_of_the_video(tmp_path: Path, recipe: object) -> None:
    pictures = [np.full((180, 320, 3), 5 * number, np.uint8) for number in range(50)]
    video_file = write_video(tmp_path / "video.mp4", pictures, recipe)  # type: ignore[arg-type]
    box = fit(320, 180, 320)
    with open_video(video_file, threads=1) as video:
        frames = [frame.image for frame in video.frames(1, box)]
        found = list(video.key_pictures(box, seconds=60.0, count=3))
        assert len(list(video.key_pictures(box, seconds=60.0, count=100))) >= len(found)
        assert len(list(video.key_pictures(box, seconds=0.01, count=3))) == 1
    assert 1 <= len(found) <= 3
    numbers = [next(n for n, frame in enumerate(frames) if (frame == one).all()) for one in found]
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))


def test_key_pictures_of_a_real_video(test_data: Path) -> None:
    with open_video(test_data / "videos" / "short_hamilton_clip.mp4", threads=1) as video:
        box = fit(640, 360, 640)
        found = list(video.key_pictures(box, video.facts.duration_s, CONFIG.video_pictures))
        frames = {frame.image.tobytes() for frame in video.frames(1, box)}
    assert 4 <= len(found) <= CONFIG.video_pictures
    assert {image.tobytes() for image in found} <= frames


@pytest.mark.skipif(has_cuda_device(), reason="this machine has a CUDA device")
@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("is_allowed", [True, False])
def test_one_that_cannot_start_is_replaced_where_that_is_allowed(
    test_data: Path, tmp_path: Path, is_allowed: bool
) -> None:
    """The host was said to have it: a driver without its libraries looks like that."""
    host = replace(SMALL_HOST, providers=(CUDA, CPU))
    video = test_data / "videos" / "carphone_pristine.mp4"
    options = {"device": "cuda", "allow_cpu_fallback": is_allowed, "stride": 30}
    if not is_allowed:
        with pytest.raises(AcceleratorMissing):
            run(video, tmp_path / "data", host=host, **options)
        return
    outcome = run(video, tmp_path / "data", host=host, **options)
    assert outcome.detector.provider == CPU
    (warning,) = outcome.warnings
    assert CUDA in warning
    assert warning.endswith("The run uses the CPU.")


@pytest.mark.skipif(has_cuda_device(), reason="this machine has a CUDA device")
def test_a_build_for_a_device_that_is_not_there_offers_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = ["TensorrtExecutionProvider", CUDA, CPU]
    monkeypatch.setattr(ort, "get_available_providers", lambda: built)
    assert usable_providers() == (CPU,)
