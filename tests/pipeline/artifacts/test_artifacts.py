"""Rows and metrics have the contract's keys, and appear as a whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.common.config import CropsConfig, MetricsConfig
from apps.common.contracts.manifest import TrackEnd
from apps.common.errors import StorageFailed
from apps.common.layout import RunFiles
from apps.common.names import track_name
from apps.common.screen_time import CutSpan, SampleEdges
from apps.pipeline.artifacts.writer import ArtifactWriter, RunTotals, discard, publish
from apps.pipeline.types import Faces, Scene, Sighting, TrackedSighting

DETECTION_KEYS = [
    *("ep_id", "frame_idx", "ts_s", "bbox", "landmarks"),
    *("conf", "track_id", "model_id", "schema_version"),
]
TRACK_KEYS = [
    *("track_id", "ep_id", "start_s", "end_s", "screen_s", "screen_error_s", "ended"),
    *("frame_span", "sample_thumbs", "stats", "schema_version"),
]
METRIC_KEYS = [
    *("ep_id", "tracks_born", "tracks_lost", "longest_tracks", "avg_tracks_per_frame"),
    *("tracks_per_minute", "short_track_fraction", "total_frames", "frames_done"),
    *("analyzed_fps", "elapsed_sec", "device", "detector", "tracker", "scene_cuts"),
    *("detections_total", "track_to_detection_ratio", "screen_s", "screen_error_s"),
    *("scene_cuts_s", "scene_cuts_error_s"),
]
TOTALS = RunTotals(
    total_frames=240,
    frames_done=40,
    fps=24.0,
    elapsed_sec=2.0,
    analyzed_fps=20.0,
    device="cpu",
    detector="centerface",
    tracker="sparse_byte",
    scene_cuts=[120],
)
EDGES = SampleEdges(np.arange(240) / 24, 10.0, 6)
EVERY_FRAME = SampleEdges(np.arange(240) / 24, 10.0, 1)
EDGE_S = math.sqrt((6**2 - 1) / 12) / 24  # standard error of an edge, seconds


def sighting(
    index: int, tracks: tuple[int, ...], *, shot: int = 0, conf: float = 0.8, jpeg: bytes = b""
) -> TrackedSighting:
    count = len(tracks)
    boxes = np.array([[0.1 + 0.2 * n, 0.25, 0.2 + 0.2 * n, 0.5] for n in range(count)], np.float32)
    faces = Faces(
        boxes.reshape(count, 4),
        np.full((count, 5, 2), 0.3, np.float32),
        np.full(count, conf, np.float32),
    )
    crops = tuple(jpeg + bytes([n]) for n in range(count)) if jpeg else ()
    return TrackedSighting(Sighting(index, index / 24, faces, Scene(shot), None, crops), tracks)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    folder = tmp_path / "runs" / "run-1"
    folder.mkdir(parents=True)
    return RunFiles(folder)


AT_THE_END: Mapping[int, TrackEnd] = dict.fromkeys(range(1, 10), "end")


def writer(files: RunFiles, thumbs: int = 5, edges: SampleEdges = EDGES) -> ArtifactWriter:
    return ArtifactWriter(
        files,
        "test-ep",
        "centerface",
        edges,
        CropsConfig(margin=0.25, jpeg_quality=90, thumbs_per_track=thumbs),
        MetricsConfig(short_track_seconds=1.0, missed_seconds=0.3),
    )


def write(
    files: RunFiles,
    items: list[TrackedSighting],
    endings: Mapping[int, TrackEnd] = AT_THE_END,
) -> None:
    with writer(files) as out:
        for item in items:
            out.add(item)
        out.finish(TOTALS, endings)
    publish(files)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=_refuse) for line in path.read_text().splitlines()]


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_det_v1(files: RunFiles) -> None:
    write(files, [sighting(0, (1, 0)), sighting(6, ()), sighting(12, (1,))])
    found = rows(files.detections)
    assert [list(row) for row in found] == [DETECTION_KEYS] * 3
    assert [(row["frame_idx"], row["track_id"]) for row in found] == [
        (0, "track-00001"),
        (0, None),
        (12, "track-00001"),
    ]
    first = found[0]
    assert (first["ep_id"], first["model_id"]) == ("test-ep", "centerface")
    assert first["schema_version"] == "det_v1"
    assert first["bbox"] == [0.1, 0.25, 0.2, 0.5]
    assert first["landmarks"] == [[0.3, 0.3]] * 5
    assert first["conf"] == 0.8
    assert [row["ts_s"] for row in found] == [0.0, 0.0, 0.5]


def test_landmarks_that_are_not_known_become_null(files: RunFiles) -> None:
    item = sighting(0, (0,))
    item.sighting.faces.landmarks[0, 1:] = np.nan
    item.sighting.faces.landmarks[0, 0, 1] = np.inf
    write(files, [item])
    assert rows(files.detections)[0]["landmarks"] == [[0.3, None]] + [[None, None]] * 4


def test_track_v1(files: RunFiles) -> None:
    items = [sighting(6 * n, (1, 2) if n < 5 else (1,), conf=0.5 + n / 100) for n in range(10)]
    write(files, items)
    first, second = rows(files.tracks)
    assert list(first) == list(second) == TRACK_KEYS
    assert first == {
        "track_id": "track-00001",
        "ep_id": "test-ep",
        "start_s": 0.0,
        "end_s": 2.25,
        "screen_s": round(57.5 / 24, 4),  # from the start to the middle of the pictures 55 to 60
        "screen_error_s": round(EDGE_S, 4),
        "ended": "end",
        "frame_span": [0, 54],
        "sample_thumbs": [],
        "stats": {"detections": 10, "avg_conf": 0.545},
        "schema_version": "track_v1",
    }
    assert (second["track_id"], second["frame_span"], second["end_s"]) == (
        "track-00002",
        [0, 24],
        1.0,
    )


def test_track_metrics(files: RunFiles) -> None:
    items = [sighting(6 * n, (1,) if n < 30 else (1, 0)) for n in range(20)]
    items += [sighting(120 + 6 * n, (2,) if n < 3 else (), shot=1) for n in range(20)]
    write(files, items, {1: "cut", 2: "lost"})
    found = json.loads(files.metrics.read_text())
    assert list(found) == METRIC_KEYS
    assert found == {
        "ep_id": "test-ep",
        "tracks_born": 2,
        "tracks_lost": 1,
        "longest_tracks": [
            {"track_id": "track-00001", "duration_s": 4.896, "detections": 20},
            {"track_id": "track-00002", "duration_s": 0.75, "detections": 3},
        ],
        "avg_tracks_per_frame": 0.575,  # 23 faces with a track in 40 frames
        "tracks_per_minute": 12.0,  # 2 in 10 s
        "short_track_fraction": 0.5,
        "total_frames": 240,
        "frames_done": 40,
        "analyzed_fps": 20.0,
        "elapsed_sec": 2.0,
        "device": "cpu",
        "detector": "centerface",
        "tracker": "sparse_byte",
        "scene_cuts": [120],
        "detections_total": 23,
        "track_to_detection_ratio": pytest.approx(2 / 23, abs=1e-4),
        # To the cut, and from it: that error cancels, and the end of the second is left.
        "screen_s": round((117.5 + 18) / 24, 3),
        "screen_error_s": round(EDGE_S, 3),
        "scene_cuts_s": [round(117.5 / 24, 4)],
        "scene_cuts_error_s": [round(EDGE_S, 4)],
    }


def test_who_is_there_before_a_cut_is_there_until_then(files: RunFiles) -> None:
    """Tracks 1 and 2 before it, 2 not in the last sample; 3 behind it. Frame 43 is the first."""
    span = CutSpan(42 / 24, 43 / 24)
    items = [sighting(30, (1, 2)), sighting(36, (1, 2)), sighting(42, (1,)), sighting(48, (3,))]
    begins = replace(items[3].sighting, scene=Scene(1, cut=span))
    with writer(files, edges=SampleEdges(np.arange(240) / 24, 10.0, 6)) as out:
        for item in [*items[:3], replace(items[3], sighting=begins)]:
            out.add(item)
        found = out.finish(replace(TOTALS, scene_cuts=[48]), AT_THE_END)
    publish(files)
    screen = {
        row["track_id"]: (row["screen_s"], row["screen_error_s"]) for row in rows(files.tracks)
    }
    begin = 27.5 / 24
    assert screen == {
        "track-00001": (round(43 / 24 - begin, 4), pytest.approx(EDGE_S, abs=1e-4)),
        "track-00002": (round(39.5 / 24 - begin, 4), pytest.approx(2**0.5 * EDGE_S, abs=1e-4)),
        "track-00003": (round((51.5 - 43) / 24, 4), pytest.approx(EDGE_S, abs=1e-4)),
    }
    assert (found.scene_cuts_s, found.scene_cuts_error_s) == ([round(43 / 24, 4)], [0.0])


def test_seconds_on_the_screen_wait_for_no_later_frame(files: RunFiles) -> None:
    """A single sighting, one with a short interruption, one with a long one."""
    seen: dict[int, tuple[int, ...]] = {30: (1, 2, 3), 36: (2, 3), 42: (2,), 54: (2,), 60: (3,)}
    write(files, [sighting(n, seen.get(n, ())) for n in range(0, 240, 6)])
    found = {row["track_id"]: row for row in rows(files.tracks)}
    assert [row["screen_s"] for row in found.values()] == [0.25, 1.25, 0.75]
    assert [row["screen_error_s"] for row in found.values()] == [
        pytest.approx(math.sqrt(edges) * EDGE_S, abs=1e-4) for edges in (2, 2, 4)
    ]
    assert [(row["start_s"], row["end_s"]) for row in found.values()] == [
        (1.25, 1.25),
        (1.25, 2.25),
        (1.25, 2.5),
    ]


def test_why_a_track_ended(files: RunFiles) -> None:
    endings: dict[int, TrackEnd] = {1: "cut", 2: "left", 3: "covered", 4: "lost", 5: "end"}
    write(files, [sighting(n, (1, 2, 3, 4, 5)) for n in (0, 6)], endings)
    assert [row["ended"] for row in rows(files.tracks)] == list(endings.values())


def test_a_run_without_faces_has_all_files(files: RunFiles) -> None:
    write(files, [sighting(0, ()), sighting(6, ())])
    assert rows(files.detections) == rows(files.tracks) == []
    found = json.loads(files.metrics.read_text(), parse_constant=_refuse)
    assert list(found) == METRIC_KEYS
    assert (found["tracks_born"], found["short_track_fraction"]) == (0, 0.0)
    assert names_in(files.folder) == {"detections.jsonl", "tracks.jsonl", "track_metrics.json"}


@pytest.mark.trap(8)
def test_crops_are_written(files: RunFiles) -> None:
    write(files, [sighting(6 * n, (1, 0, 2), jpeg=f"jpeg {n} ".encode()) for n in range(3)])
    crops = {path.relative_to(files.folder).as_posix(): path for path in files.crops.rglob("*.jpg")}
    assert set(crops) == {
        f"crops/track-{track:05d}/frame_{index:06d}.jpg" for track in (1, 2) for index in (0, 6, 12)
    }
    assert crops["crops/track-00002/frame_000006.jpg"].read_bytes() == b"jpeg 1 \x02"
    for row in rows(files.tracks):
        assert set(row["sample_thumbs"]) == {name for name in crops if row["track_id"] in name}


def test_thumbs_are_the_best_crops(files: RunFiles) -> None:
    confidences = [0.6, 0.9, 0.7, 0.95, 0.5]
    with writer(files, thumbs=2, edges=EVERY_FRAME) as out:
        for n, conf in enumerate(confidences):
            out.add(sighting(n, (1,), conf=conf, jpeg=b"x"))
        out.finish(TOTALS, AT_THE_END)
    publish(files)
    assert rows(files.tracks)[0]["sample_thumbs"] == [
        "crops/track-00001/frame_000003.jpg",
        "crops/track-00001/frame_000001.jpg",
    ]


def test_nothing_is_seen_before_it_is_published(files: RunFiles) -> None:
    with writer(files, edges=EVERY_FRAME) as out:
        for n in range(3):
            out.add(sighting(n, (1,), jpeg=b"x"))
            assert names_in(files.folder) == {".partial"}
        out.finish(TOTALS, AT_THE_END)
        assert names_in(files.folder) == {".partial"}
    assert names_in(files.folder) == {".partial"}
    publish(files)
    results = {"detections.jsonl", "tracks.jsonl", "track_metrics.json", "crops"}
    assert names_in(files.folder) == results


@pytest.mark.parametrize("name", ["detections.jsonl", "tracks.jsonl", "track_metrics.json"])
def test_a_result_that_is_lost_is_not_published(files: RunFiles, name: str) -> None:
    with writer(files) as out:
        out.add(sighting(0, (1,)))
        out.finish(TOTALS, AT_THE_END)
    (files.staging / name).unlink()

    with pytest.raises(StorageFailed, match=name):
        publish(files)

    assert names_in(files.folder) == {".partial"}


def test_a_crop_that_is_lost_is_missed(files: RunFiles) -> None:
    with writer(files, edges=EVERY_FRAME) as out:
        for n in range(3):
            out.add(sighting(n, (1,), jpeg=b"x"))
        out.finish(TOTALS, AT_THE_END)
    assert out.written["crops"] == 3
    next(files.staging.glob("crops/*/*.jpg")).unlink()

    with pytest.raises(StorageFailed, match="crops"):
        publish(files, out.written)

    assert names_in(files.folder) == {".partial"}


def test_results_are_on_the_disk_before_they_are_published(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be had here; the order of what the kernel is asked for can."""
    with writer(files) as out:
        out.add(sighting(0, (1,), jpeg=b"x"))
        out.finish(TOTALS, AT_THE_END)
    staged = {files.staging, *files.staging.rglob("*")}
    real, synced = os.fsync, []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    publish(files, out.written)

    assert set(synced[:-1]) == staged
    assert synced[-1] == files.folder


def fail_midway(files: RunFiles) -> None:
    with writer(files) as out:
        out.add(sighting(0, (1,), jpeg=b"x"))
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [discard, lambda files: None], ids=["discarded", "killed"])
@pytest.mark.trap(10)
def test_a_run_that_did_not_finish_leaves_nothing(
    files: RunFiles, after: Callable[[RunFiles], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail_midway(files)
    after(files)
    assert names_in(files.folder) <= {".partial"}
    # What a killed run staged does not leak into the next run in the same folder.
    write(files, [sighting(12, (0,))])
    assert [row["frame_idx"] for row in rows(files.detections)] == [12]
    assert names_in(files.folder) == {"detections.jsonl", "tracks.jsonl", "track_metrics.json"}


def test_track_names_sort_as_their_numbers() -> None:
    names = [track_name(number) for number in (1, 2, 10, 99, 12345)]
    assert names == sorted(names)
    assert names[0] == "track-00001"
