"""A real CUDA device, for those who have one; every other machine skips this.

`pytest tests/accelerators` says what a machine's own device does: is it taken, are its faces the
CPU's, does it decode what software decodes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.common.config import pipeline_config
from apps.common.files import read_jsonl
from apps.common.layout import Layout
from apps.pipeline.arrays import FloatArray
from apps.pipeline.decode.hardware import devices
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect.agreement import MIN_MEAN_IOU, matches, overlaps
from apps.pipeline.geometry import fit
from apps.pipeline.inference.providers import has_cuda_device, usable_providers
from apps.pipeline.inference.session import CPU, CUDA
from lab.processes.service import run_cli
from tests.pipeline.coded import (
    FRAME,
    H264_B,
    HEVC_B,
    MPEG2,
    VP8,
    VP9,
    Coding,
    coded,
    to_container,
    to_ts,
)
from tests.pipeline.transport import blank_packets
from tests.pipeline.videos import read_number

HARDWARE = pipeline_config().hardware
SIZE = (320, 160)  # pixels; devices have least sizes, of 144 and more
STRIDE = 3
HEVC_10 = replace(HEVC_B, pix_fmt="yuv420p10le")


needs_provider = pytest.mark.skipif(
    CUDA not in usable_providers(),
    reason="no CUDA device, or not ONNX Runtime's build for it (docs/install.md)",
)
needs_decoder = pytest.mark.skipif(
    "cuda" not in devices() or not has_cuda_device(), reason="no CUDA device, or PyAV without it"
)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def run(data_root: Path, video: Path, name: str, *options: str) -> dict[str, Any]:
    """A run's report, with its detections."""
    where = ("--ep-id", video.stem, "--video", str(video), "--run-id", name)
    done = run_cli(data_root, *where, *options)
    assert done.returncode == 0, done.stderr
    files = Layout(data_root).run(video.stem, name)
    report: dict[str, Any] = json.loads(files.manifest.read_text())
    return {**report, "faces": list(read_jsonl(files.detections))}


def share_of(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """Of one's faces, those that the other has in nearly the same place."""
    ours, theirs = boxes_by_frame(one), boxes_by_frame(other)
    near = sum(
        pair.overlap >= MIN_MEAN_IOU
        for frame in ours.keys() & theirs.keys()
        for pair in matches(overlaps(ours[frame], theirs[frame]))
    )
    return near / len(one)


def boxes_by_frame(faces: list[dict[str, Any]]) -> dict[int, FloatArray]:
    found: dict[int, list[Any]] = {}
    for face in faces:
        found.setdefault(face["frame_idx"], []).append(face["bbox"])
    return {frame: np.asarray(boxes, np.float32) for frame, boxes in found.items()}


@needs_provider
@pytest.mark.parametrize("clip", ["facenet_video", "short_hamilton_clip"])
@pytest.mark.parametrize("detector", ["centerface", "yunet", "cascade", "retinaface"])
def test_its_faces_are_the_cpus(test_data: Path, data_root: Path, detector: str, clip: str) -> None:
    video = test_data / "videos" / f"{clip}.mp4"
    weights = {"yunet": "yunet_n_dynamic", "cascade": "yunet_n_dynamic"}
    weights["retinaface"] = "scrfd_500m_kps"
    options = ["--detector", detector, "--stride", "3"]
    if detector in weights:
        options += ["--detector-model", str(test_data / "weights" / f"{weights[detector]}.onnx")]
    exact = run(data_root, video, f"cpu-{detector}", "--device", "cpu", *options)
    device = run(data_root, video, f"cuda-{detector}", "--device", "cuda", *options)
    assert device["provider"] == CUDA
    assert device["warnings"] == []
    assert device["detector_checks"]
    for agreement in device["detector_checks"].values():
        assert min(agreement["recall"], agreement["precision"]) >= 0.98
    assert share_of(exact["faces"], device["faces"]) >= 0.98
    assert share_of(device["faces"], exact["faces"]) >= 0.98


@needs_provider
def test_auto_measures_it_against_the_cpu(test_data: Path, data_root: Path) -> None:
    video = test_data / "videos" / "facenet_video.mp4"
    report = run(data_root, video, "auto", "--device", "auto")
    probe = report["provider_probe"]
    assert set(probe["milliseconds"]) == {CUDA, CPU}
    assert report["provider"] == min(probe["milliseconds"], key=probe["milliseconds"].get)
    again = run(data_root, video, "auto-again", "--device", "auto")
    assert again["provider_probe"]["remembered"]
    assert again["faces"] == report["faces"]


@needs_decoder
@pytest.mark.parametrize(
    "coding",
    [H264_B, HEVC_B, HEVC_10, VP9, MPEG2, VP8],
    ids=["h264", "hevc", "hevc-10", "vp9", "mpeg2", "vp8"],
)
def test_it_decodes_what_software_decodes(tmp_path: Path, coding: Coding) -> None:
    """Or is refused with a reason, for not every device knows every codec."""
    path = to_container(tmp_path / "a.mkv", coded(coding, range(90), size=SIZE), coding, size=SIZE)
    with open_video(path, threads=1) as opened:
        opened.try_hardware(["cuda"], STRIDE, fit(*SIZE, 640), HARDWARE)
        decoding = opened.decoding
        seen = [(item.index, read_number(item.picture.pixels())) for item in opened.sampled(STRIDE)]
    assert decoding.device == "cuda" or decoding.refused, decoding
    assert opened.decoding.lost is None
    assert seen == [(n, n) for n in range(0, 90, STRIDE)]


def sampled(path: Path, stride: int, *, with_device: bool) -> tuple[list[Any], list[Any]]:
    """Numbers and times of the samples, and their pixels."""
    with open_video(path, threads=1) as opened:
        if with_device:
            box = fit(opened.facts.width, opened.facts.height, 640)
            opened.try_hardware(["cuda"], stride, box, HARDWARE)
        items = [
            ((item.index, item.ts_s), item.picture.pixels().copy())
            for item in opened.sampled(stride)
        ]
    return [key for key, _ in items], [pixels for _, pixels in items]


def assert_the_same(path: Path, stride: int) -> None:
    keys, pictures = sampled(path, stride, with_device=False)
    device_keys, device_pictures = sampled(path, stride, with_device=True)
    assert device_keys == keys
    for one, other in zip(pictures, device_pictures, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_decoder
@pytest.mark.parametrize("stride", [1, 6])
def test_files_that_once_failed(test_data: Path, stride: int) -> None:
    files = [path for path in (test_data / "cases").glob("*") if path.suffix != ".json"]
    if not files:
        pytest.skip("the test data have no cases/")
    for path in sorted(files):
        assert_the_same(path, stride)


@needs_decoder
@pytest.mark.parametrize("begin", [0.1, 0.5, 0.9])
def test_damage_is_passed_as_software_passes_it(tmp_path: Path, begin: float) -> None:
    """A device may give up there, or conceal otherwise; what is whole is the same."""
    packets = coded(H264_B, range(120), size=SIZE)
    path = to_ts(tmp_path / "a.ts", packets)
    blank_packets(path, begin, 8)
    soft, hard = (
        {key: read_number(picture) for key, picture in zip(*each, strict=True)}
        for each in (sampled(path, STRIDE, with_device=on) for on in (False, True))
    )
    assert len(soft.keys() ^ hard.keys()) <= 2
    differing = {key: (soft[key], hard[key]) for key in soft.keys() & hard.keys()}
    assert sum(one != other for one, other in differing.values()) <= 2, differing


@needs_decoder
def test_a_size_that_changes_is_left_to_software(tmp_path: Path) -> None:
    later = coded(MPEG2, range(50, 100), 50 * FRAME, size=(640, 320))
    path = to_ts(tmp_path / "a.ts", coded(MPEG2, range(50), size=SIZE) + later, MPEG2)
    assert_the_same(path, STRIDE)


@needs_decoder
@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv420p10le"])
def test_kinds_of_h264_that_few_devices_know(tmp_path: Path, pix_fmt: str) -> None:
    coding = replace(H264_B, pix_fmt=pix_fmt)
    path = to_container(tmp_path / "a.mkv", coded(coding, range(60), size=SIZE), coding, size=SIZE)
    assert_the_same(path, STRIDE)


@needs_decoder
@pytest.mark.parametrize("clip", ["facenet_video", "short_hamilton_clip", "carphone_pristine"])
def test_a_run_has_the_same_faces(test_data: Path, data_root: Path, clip: str) -> None:
    video = test_data / "videos" / f"{clip}.mp4"
    options = ("--device", "cpu", "--stride", "3")
    software = run(data_root, video, "software", *options)
    hardware = run(data_root, video, "hardware", *options, "--decoder", "hardware")
    assert hardware["warnings"] == []
    assert hardware["decoding"]["device"] == "cuda"
    assert hardware["decoding"]["difference"] == 0
    assert hardware["faces"] == software["faces"]
