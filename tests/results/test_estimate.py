"""How long a run will take, from invented earlier runs whose figures are easy to follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.common.contracts.manifest import CpuFigures, PartFacts, RunManifest, RunResult, VideoFacts
from apps.common.options import Options, RunRequest
from apps.common.resolve import resolve
from apps.results.estimate import Estimate, PastRun, Work, estimate, past_run, planned_work
from lab.specs import SMALL_HOST

# 1000 processed frames of a video of 6000 frames.
WORK = Work(
    ep_id="one",
    host="here",
    device="cpu",
    detector="centerface",
    precision="float32",
    det_size=640,
    small_faces="off",
    threads=2,
    cap=200.0,
    save_crops=False,
    save_preview=False,
    frames=1000,
    video_pixels=6000 * 640 * 360,
    picture_pixels=640.0 * 360,
)
# 5 s of start-up, 10 s for the decoder, 80 s in the detector, 5 s in the rest.
PAST = PastRun(
    work=WORK,
    total=100,
    staged=95,
    decode=10,
    detect=80,
    second_look=0,
    other=5,
    paced=0,
    preview=0,
)


def past(total: float = 100, **work: Any) -> PastRun:
    return replace(PAST, total=total, staged=total - 5, work=replace(WORK, **work))


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        ({}, 100),
        ({"frames": 2000}, 5 + 10 + 170),  # half the stride: the same video is decoded
        ({"frames": 100}, 5 + 10 + 8.5),
        ({"det_size": 320, "picture_pixels": 320.0 * 180}, 5 + 10 + 20 + 5),
        ({"ep_id": "two", "video_pixels": 12000 * 640 * 360, "frames": 2000}, 5 + 2 * 95),
        ({"ep_id": "two", "cap": None}, 100),
        ({"save_crops": True}, 100),
    ],
    ids=str,
)
def test_the_parts_grow_with_what_they_depend_on(wanted: dict[str, Any], seconds: float) -> None:
    assert estimate(replace(WORK, **wanted), [PAST]) == Estimate(seconds, 1)


@pytest.mark.parametrize(
    "other", [{"host": "there"}, {"device": "cuda"}, {"detector": "retinaface"}, {"threads": 4}]
)
def test_runs_of_another_kind_tell_nothing(other: dict[str, Any]) -> None:
    assert estimate(WORK, [past(**other)]) == Estimate(None, 0)
    assert estimate(WORK, [past(**other), past(120)]) == Estimate(120, 1)


def test_without_runs_there_is_nothing_to_go_by() -> None:
    assert estimate(WORK, []) == Estimate(None, 0)


@pytest.mark.parametrize(
    ("nearer", "further"),
    [
        ({}, {"save_preview": True}),
        ({"save_preview": True}, {"det_size": 320}),
        ({"det_size": 320}, {"ep_id": "two"}),
        ({"ep_id": "two"}, {"ep_id": "two", "cap": 100.0}),
    ],
    ids=str,
)
def test_the_nearest_runs_decide(nearer: dict[str, Any], further: dict[str, Any]) -> None:
    runs = [past(500, **further), past(110, **nearer), past(500, **further)]
    assert estimate(WORK, runs) == Estimate(110, 1)


def test_the_median_of_the_five_newest() -> None:
    totals = [110, 120, 300, 100, 130, 9000, 9000]
    assert estimate(WORK, [past(total) for total in totals]) == Estimate(120, 5)


def test_threads_share_the_work_but_only_one_decodes() -> None:
    shared = replace(PAST, total=80, staged=75, decode=60, other=10)  # 150 s of work of two threads
    assert estimate(WORK, [shared]).seconds == 80
    assert estimate(replace(WORK, frames=2000), [shared]).seconds == 5 + (60 + 2 * 90) / 2
    assert estimate(replace(WORK, frames=100), [shared]).seconds == 5 + 60


def test_a_second_look_counts_where_it_is_wanted() -> None:
    twice = replace(WORK, small_faces="second_look")
    known = replace(PAST, work=twice, total=120, staged=115, second_look=20)
    assert estimate(twice, [known]) == Estimate(120, 1)
    assert estimate(WORK, [known]) == Estimate(100, 1)
    assert estimate(twice, [PAST]) == Estimate(5 + 95 + 80, 1)  # at most as much as the first look
    assert estimate(twice, [PAST, known]) == Estimate(120, 1)  # nearer


def test_pauses_grow_with_the_work() -> None:
    paced = replace(PAST, total=195, staged=190, paced=95)
    assert estimate(replace(WORK, frames=2000), [paced]).seconds == 5 + 2 * 180


def test_a_preview_counts_where_it_is_wanted() -> None:
    with_preview = replace(PAST, total=130, preview=30)
    assert estimate(WORK, [with_preview]).seconds == 100
    assert estimate(replace(WORK, save_preview=True), [with_preview]).seconds == 130


# --- what manifests tell ----------------------------------------------------------------------

OPTIONS: Options = resolve(
    RunRequest(device="cpu"),
    {},
    SMALL_HOST,
).options
VIDEO = VideoFacts(
    width=1920,
    height=1080,
    coded_width=1920,
    coded_height=1080,
    rotation=0,
    sample_aspect_ratio=1,
    fps=25,
    variable_frame_rate=False,
    frames=6000,
    duration_s=240,
    codec="h264",
    container="mp4",
)
TIMES = {"load_model": 1.0, "stages": 25.0, "decode": 6.0, "scale": 3.0, "detect": 30.0,
         "look": 0.5, "shots": 0.5, "crops": 0.5, "track": 0.25, "write": 0.25,
         "paced": 4.0}  # fmt: skip


def manifest(**fields: Any) -> RunManifest:
    result = RunResult(
        ep_id="one",
        execution_mode="local",
        run_id="r1",
        elapsed_seconds=fields.pop("elapsed", 40.0),
        device="cpu",
        provider="CPUExecutionProvider",
        profile=OPTIONS.profile,
        options=OPTIONS,
        cpu_threads=2,
        frames_total=500,
        frames_done=fields.pop("frames_done", 500),
        detections=1,
        tracks=1,
        analyzed_fps=1,
        cpu=CpuFigures(peak_percent=1, mean_percent=1, seconds=1),
        peak_rss_mb=1,
        artifacts={},
    )
    known: dict[str, Any] = {
        "ep_id": "one", "run_id": "r1", "execution_mode": "local", "status": "completed",
        "started_at": "2026-01-01", "host": "here", "pid": 1, "options": OPTIONS, "sources": {},
        "versions": {}, "video": VIDEO, "effective_stride": 12, "times": TIMES, "result": result,
    }  # fmt: skip
    return RunManifest(**{**known, **fields})


def test_a_completed_run_is_learnt_from() -> None:
    found = past_run(manifest())
    assert found is not None
    assert found.work == planned_work("one", "here", OPTIONS, VIDEO, 500)
    assert (found.total, found.staged, found.decode, found.detect) == (40, 25, 9, 30)
    assert (found.other, found.paced, found.preview) == (2, 4, 0)
    assert found.work.video_pixels == 6000 * 1920 * 1080
    assert found.work.picture_pixels == pytest.approx(640 * 360)


def test_a_picture_is_never_enlarged_for_the_detector() -> None:
    small = VIDEO.model_copy(update={"width": 320, "height": 180})
    work = planned_work("one", "here", OPTIONS, small, 500)
    assert work is not None
    assert work.picture_pixels == 320 * 180


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed"},
        {"status": "running", "result": None},
        {"result": None},
        {"video": None},
        {"effective_stride": None},
        {"frames_done": 0},
        {"parts": [PartFacts(first=0, frames=9, host="here", seconds=1.0, cpu_seconds=1.0)]},
        {"elapsed": float("nan")},
        {"elapsed": float("inf")},
        {"elapsed": -1.0},
        {"times": {**TIMES, "detect": float("nan")}},
        {"video": VIDEO.model_copy(update={"width": 0})},
        {"video": VIDEO.model_copy(update={"frames": 10**400})},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_damaged_and_unfinished_manifests_tell_nothing(fields: dict[str, Any]) -> None:
    assert past_run(manifest(**fields)) is None
