"""Whole runs of files from real life: results, previews, warnings, and when a run must fail."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import skimage

from apps.common.contracts.manifest import RunManifest
from apps.common.schemas import Diagnosis
from apps.results.diagnosis import diagnose
from lab.processes.service import run_cli
from tests.pipeline.coded import FRAME, H264_B, MPEG2, Coding, coded, to_container, to_ts
from tests.pipeline.damage import damaged
from tests.pipeline.transport import CLOCK
from tests.pipeline.videos import H264, VP9, Image, moving, write_video

FRAMES = 50
PIECE = 12  # frames of one size
COARSE = ("--det-size", "160")  # where nobody asks what is found


def face(width: int, height: int) -> Image:
    """A photo with a face, RGB."""
    return cv2.resize(skimage.data.astronaut()[:256, 100:356], (width, height))


def every_frame_by_itself(path: Path) -> Path:
    recipe = replace(VP9, options={**VP9.options, "g": "1", "b": "2M"})
    return write_video(path, [face(256, 256)] * FRAMES, recipe)


def ruined(path: Path, places: range) -> Path:
    """Frames that the decoder refuses, as it does most of an encrypted file."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for place in places:
        pos, size = packets[place]
        data[pos : pos + size] = bytes(size)
    path.write_bytes(bytes(data))
    return path


def run(root: Path, video: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    every = ("--stride", "1", "--fps", "1000")
    return run_cli(root, "--ep-id", "odd", "--video", str(video), *every, *arguments)


def newest(root: Path) -> tuple[Path, dict[str, Any]]:
    paths = (root / "manifests/odd/runs").glob("*/run.json")
    path = max(paths, key=lambda path: path.stat().st_mtime_ns)
    return path.parent, json.loads(path.read_text())


def findings(manifest: dict[str, Any]) -> Diagnosis:
    return diagnose(RunManifest.model_validate(manifest))


def test_damage_that_the_decoder_hides_is_told(tmp_path: Path) -> None:
    """In how many places, and the same by one thread and by two."""
    video = damaged(
        write_video(tmp_path / "v.mp4", moving(FRAMES), H264), [13, 15, 40], random.Random(1)
    )
    for threads in ("1", "2"):
        root = tmp_path / threads
        done = run(root, video, *COARSE, "--cpu-threads", threads)
        assert done.returncode == 0, done.stderr
        said = "The video is damaged in 2 places: the decoder made up what is missing of pictures."
        assert said in done.stderr
        _, manifest = newest(root)
        assert said in manifest["warnings"]
        assert manifest["counts"]["damaged_groups"] == 2
        assert manifest["counts"]["frames_done"] == FRAMES


def test_a_file_of_which_less_than_half_decodes_fails(tmp_path: Path) -> None:
    root, good = tmp_path / "data", every_frame_by_itself(tmp_path / "good.mp4")
    assert run(root, good, *COARSE).returncode == 0
    latest = (root / "manifests/odd/latest.json").read_bytes()
    bad = ruined(every_frame_by_itself(tmp_path / "bad.mp4"), range(1, 40))
    done = run(root, bad, *COARSE)
    assert done.returncode == 3
    assert "Only 11 of the 50 frames to process could be decoded" in done.stderr
    assert "damaged or encrypted" in done.stderr.strip().splitlines()[-1]
    folder, manifest = newest(root)
    assert manifest["status"] == "failed"
    assert not (folder / "detections.jsonl").exists()
    assert (root / "manifests/odd/latest.json").read_bytes() == latest


@pytest.mark.parametrize(
    ("lost", "warning", "severity"),
    [
        (range(10, 20), "Much of the video is missing: 10 of the 50 frames to process", "problem"),
        (range(10, 12), "2 of the 50 frames to process could not be decoded.", "notice"),
    ],
)
def test_a_file_of_which_some_frames_do_not_decode_says_so(
    tmp_path: Path, lost: range, warning: str, severity: str
) -> None:
    root, video = tmp_path / "data", every_frame_by_itself(tmp_path / "a.mp4")
    assert run(root, ruined(video, lost), *COARSE).returncode == 0
    folder, manifest = newest(root)
    result = manifest["result"]
    assert (result["frames_total"], result["frames_done"]) == (50, 50 - len(lost))
    progress = json.loads((folder / "progress.json").read_text())
    assert progress["frames_total"] == progress["frames_done"] == result["frames_done"]
    assert any(said.startswith(warning) for said in manifest["warnings"])
    found = {finding.code: finding.severity for finding in findings(manifest).findings}
    assert found["frames-not-as-expected"] == severity


def faces_that_change(
    tmp_path: Path, coding: Coding, sizes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A recording of a face, of another size every few frames."""
    monkeypatch.setattr("tests.pipeline.coded.numbered", lambda _: face(256, 256))
    packets = []
    for number, size in enumerate(sizes):
        start = 10 * CLOCK + number * PIECE * FRAME
        packets += coded(coding, range(PIECE), start, size=size)
    return to_ts(tmp_path / "a.ts", packets, coding)


@pytest.mark.trap(45)
@pytest.mark.parametrize(
    ("coding", "sizes", "cuts"),
    [
        (H264_B, [(480, 480), (240, 240), (360, 360)], []),  # of the same shape: no cut
        (MPEG2, [(480, 360), (240, 320)], [PIECE]),  # a phone that is turned
    ],
    ids=["h264", "mpeg2"],
)
def test_a_change_of_size_is_followed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    coding: Coding,
    sizes: list[tuple[int, int]],
    cuts: list[int],
) -> None:
    video = faces_that_change(tmp_path, coding, sizes, monkeypatch)
    done = run(tmp_path / "data", video, "--save-preview", "--save-crops")
    assert done.returncode == 0, done.stderr
    folder, manifest = newest(tmp_path / "data")
    assert manifest["counts"]["frames_done"] == PIECE * len(sizes)
    metrics = json.loads((folder / "track_metrics.json").read_text())
    assert metrics["scene_cuts"] == cuts
    rows = [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]
    assert {row["frame_idx"] for row in rows} == set(range(PIECE * len(sizes)))
    boxes = np.array([row["bbox"] for row in rows])
    assert np.abs(boxes - boxes[0]).max() < 0.1  # the face is where it was, in parts of the sides
    _check_preview(folder, sizes)
    for number, size in enumerate(sizes):
        (crop,) = folder.glob(f"crops/*/frame_{PIECE * number + 3:06d}.jpg")
        height, width = cv2.imread(str(crop)).shape[:2]
        left, top, right, bottom = boxes[PIECE * number + 3]
        # As large as the face is in that piece, and a margin.
        assert width == pytest.approx((right - left) * size[0] * 1.5, rel=0.35)
        assert height == pytest.approx((bottom - top) * size[1] * 1.5, rel=0.35)


def _check_preview(folder: Path, sizes: list[tuple[int, int]]) -> None:
    """Of one size, in which each piece keeps its shape and lies in the middle."""
    with av.open(str(folder / "preview.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == PIECE * len(sizes)
    assert {(frame.width, frame.height) for frame in frames} == {sizes[0]}
    for number, (width, height) in enumerate(sizes):
        image = frames[PIECE * number + PIECE // 2].to_ndarray(format="bgr24")
        lit = image.max(axis=2) > 40
        columns, rows = np.flatnonzero(lit.any(axis=0)), np.flatnonzero(lit.any(axis=1))
        shown = (columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1)
        assert shown == pytest.approx(width / height, rel=0.06)


def test_the_stream_that_is_asked_for(tmp_path: Path) -> None:
    packets = coded(H264_B, range(20))
    first = to_container(tmp_path / "one.mp4", packets, H264_B)
    path = tmp_path / "two.mkv"
    with av.open(str(first)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        outs = [target.add_stream_from_template(stream) for _ in range(2)]
        for number, packet in enumerate(source.demux(stream)):
            if packet.size == 0:
                continue
            for place, out in enumerate(outs):
                if place == 0 and number >= 8:
                    continue
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, out
                target.mux(copy)
    root = tmp_path / "data"
    for asked, frames in (("0", 8), ("1", 20)):
        done = run(root, path, "--video-stream", asked)
        assert done.returncode == 0
        assert f"Video stream {asked} is processed" in done.stderr
        _, manifest = newest(root)
        assert manifest["video"]["stream"] == int(asked)
        assert manifest["video"]["frames"] == frames
        assert manifest["sources"]["video_stream"] == "request"
        assert len(manifest["video"]["streams"]) == 2
    done = run(root, path, "--video-stream", "7")
    assert done.returncode == 3
    assert "Its video streams: 0 (h264, 128x64), 1 (h264, 128x64)." in done.stderr
    done = run(root, path, "--video-stream", "second")
    assert done.returncode == 2
    assert "0 to 1000, or 'auto'" in done.stderr


def test_what_was_repaired_is_in_the_report(tmp_path: Path) -> None:
    packets = [
        *coded(H264_B, range(25), 100 * CLOCK),
        *coded(H264_B, range(25, 50), 10 * CLOCK),
    ]
    done = run(tmp_path / "data", to_ts(tmp_path / "a.ts", packets))
    assert done.returncode == 0
    assert "clock goes back or leaps: 1 (first at frame 25, 1.00 s)" in done.stderr
    _, manifest = newest(tmp_path / "data")
    assert manifest["video"]["duration_s"] == pytest.approx(2.0)
    assert any("clock goes back" in warning for warning in manifest["warnings"])
