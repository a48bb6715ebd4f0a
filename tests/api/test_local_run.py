"""Local mode: one blocking request is the run."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.processes import is_alive
from lab.processes.service import Server, serving

RESULT_FIELDS = {
    "status", "ep_id", "operation", "execution_mode", "run_id", "elapsed_seconds", "device",
    "provider", "profile", "options", "cpu_threads", "frames_total", "frames_done", "detections",
    "tracks", "screen_s", "screen_error_s", "analyzed_fps", "cpu", "peak_rss_mb", "artifacts",
    "logs", "warnings",
}  # fmt: skip
# Begun long before its time is over, also beside other tests.
ENDLESS = {"stride": 1, "max_cpu_percent": 10, "timeout_s": 6}
NDJSON = {"accept": "application/x-ndjson"}
TALK = {"stride": 6, "profile": "balanced", "save_crops": True}
TRUE_CUTS = (20, 82, 211)  # first frames of new shots in the television clip, seen by eye


def tracks_of(server: Server, ep_id: str, run_id: str) -> list[dict]:
    return server.client.get(f"/episodes/{ep_id}/runs/{run_id}/tracks").json()["items"]


def detections_of(server: Server, ep_id: str, run_id: str) -> list[dict]:
    return server.client.get(f"/episodes/{ep_id}/runs/{run_id}/detections").json()["items"]


def check_television(server: Server, result: dict) -> None:
    assert result["frames_done"] == result["frames_total"] == 46
    tracks = tracks_of(server, result["ep_id"], result["run_id"])
    for first, last in (track["frame_span"] for track in tracks):
        assert not [cut for cut in TRUE_CUTS if first < cut <= last], "a track crosses a cut"
    close_up = [track for track in tracks if 84 <= track["frame_span"][0] <= 210]
    assert max(track["stats"]["detections"] for track in close_up) >= 20  # of 22 samples


@pytest.fixture(scope="module")
def talk(server: Server) -> httpx.Response:
    return server.detect_track("talk", cpu_threads=1, **TALK)


@pytest.fixture(scope="module")
def street(server: Server) -> list[dict]:
    """The lines of a run that reports as it goes; the rate limit chooses its frames."""
    options = {"stride": 1, "fps": 4, "det_size": 480, "cpu_threads": 1}
    return streamed(server, "street", **options)  # 25 / 4 -> every 6th


def streamed(server: Server, ep_id: str, **fields: Any) -> list[dict]:
    body = {"ep_id": ep_id, "execution_mode": "local", **fields}
    with server.client.stream(
        "POST", "/celery_jobs/detect_track", json=body, headers=NDJSON
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["x-accel-buffering"] == "no"
        return [{**json.loads(line), "came": time.monotonic()} for line in answer.iter_lines()]


@pytest.mark.trap(1)
def test_answer_has_the_contracts_fields_and_no_job(server: Server, talk: httpx.Response) -> None:
    assert talk.status_code == 200
    result = talk.json()
    assert set(result) == RESULT_FIELDS
    assert "job_id" not in talk.text
    assert result["status"] == "completed"
    assert result["execution_mode"] == "local"
    assert set(result["cpu"]) == {"peak_percent", "mean_percent", "seconds", "waited_seconds"}
    assert any("Using CPUExecutionProvider" in line for line in result["logs"])
    for path in result["artifacts"].values():
        assert (server.data_root / path).exists()


def test_progress_reaches_one(server: Server, talk: httpx.Response) -> None:
    run_id = talk.json()["run_id"]
    progress = server.client.get(f"/episodes/talk/runs/{run_id}/progress").json()
    assert progress["phase"] == "done"
    assert progress["frames_done"] == progress["frames_total"] == 20
    assert progress["video_frames_total"] == 120


@pytest.fixture(scope="module")
def television(server: Server) -> dict:
    result: dict = server.detect_track("show", stride=6, cpu_threads=1).json()
    assert server.run_processes() == []
    return result


def test_television_clip(server: Server, television: dict) -> None:
    assert television["detections"] > 60
    check_television(server, television)


def test_street_clip(street: list[dict]) -> None:
    result = street[-1]
    assert result["frames_done"] == 18
    assert result["tracks"] >= 5


@pytest.mark.trap(17)
def test_insightface_weights_give_the_same(data_root: Path, test_data: Path) -> None:
    weights = test_data / "weights" / "scrfd_500m_kps.onnx"
    with serving(data_root, SCREENALYTICS_RETINAFACE_MODEL=str(weights)) as server:
        result = server.detect_track("show", stride=6, detector="retinaface", cpu_threads=1).json()
        assert result["options"]["detector"] == "retinaface"
        check_television(server, result)
        manifest = server.client.get(f"/episodes/show/runs/{result['run_id']}").json()
        assert "non-commercial" in manifest["model"]["licence"]
        assert manifest["threads"]["detector"] == 1
        street = server.detect_track("street", stride=50, detector="retinaface").json()
        assert street["frames_done"] == 3
        assert street["tracks"] >= 5


def test_the_same_run_twice_gives_the_same_tracks(server: Server, talk: httpx.Response) -> None:
    one, two = talk.json(), server.detect_track("talk", cpu_threads=2, **TALK).json()
    assert tracks_of(server, "talk", one["run_id"]) == tracks_of(server, "talk", two["run_id"])
    rows = detections_of(server, "talk", one["run_id"])
    assert rows == detections_of(server, "talk", two["run_id"])
    assert len(rows) >= 19


@pytest.mark.trap(8)
def test_options_take_effect(server: Server, talk: httpx.Response, television: dict) -> None:
    result = server.detect_track("show", stride=24, det_thresh=0.85).json()
    strict = detections_of(server, "show", result["run_id"])
    loose = detections_of(server, "show", television["run_id"])
    assert 0 < len(strict) < len([row for row in loose if row["frame_idx"] % 24 == 0])
    assert all(row["conf"] >= 0.85 for row in strict)
    assert any(row["conf"] < 0.85 for row in loose)
    crops = talk.json()
    assert crops["profile"] == "balanced"
    thumbs = tracks_of(server, "talk", crops["run_id"])[0]["sample_thumbs"]
    picture = server.client.get(f"/episodes/talk/runs/{crops['run_id']}/{thumbs[0]}")
    assert picture.content[:2] == b"\xff\xd8"


@pytest.mark.trap(9)
def test_times_are_the_videos_own_with_fps(server: Server, street: list[dict]) -> None:
    rows = detections_of(server, "street", street[-1]["run_id"])
    last = [row for row in rows if row["frame_idx"] == 102]
    assert {row["ts_s"] for row in last} == {4.08}
    assert {row["frame_idx"] % 6 for row in rows} == {0}


@pytest.mark.trap(31, 40)
def test_stream_ends_with_the_result(street: list[dict]) -> None:
    kinds = [line["type"] for line in street]
    assert set(kinds) == {"progress", "log", "result"}
    assert kinds.count("result") == 1
    assert kinds[-1] == "result"
    assert set(street[-1]) == RESULT_FIELDS | {"type", "came"}


@pytest.mark.alone
@pytest.mark.trap(31, 40)
def test_stream_has_a_heartbeat_and_a_run_its_cpu(server: Server) -> None:
    lines = streamed(server, "talk", stride=6, max_cpu_percent=30)
    gaps = [after["came"] - before["came"] for before, after in pairwise(lines)]
    assert len(gaps) > 3
    assert max(gaps) < 2.0  # promised: 1 s; the machine may be busy
    assert lines[-1]["cpu"]["mean_percent"] <= 33


@pytest.mark.trap(1)
def test_event_loop_stays_free(server: Server) -> None:
    """Health answers while a run is on; the older system took 5 s for it."""
    body = {"ep_id": "show", "execution_mode": "local", "stride": 1, "max_cpu_percent": 40}
    with server.client.stream(
        "POST", "/celery_jobs/detect_track", json=body, headers=NDJSON
    ) as answer:
        lines = answer.iter_lines()  # that it is read no more would end the connection
        next(lines)
        (run, *_) = server.wait_for_run()
        for _ in range(30):
            assert server.client.get("/health/live").status_code == 200
        assert is_alive(run)  # it was on all the time


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_run_that_fails_keeps_its_own_reason(server: Server, accept: str) -> None:
    video = server.data_root / "videos" / "text" / "episode.mp4"
    video.parent.mkdir(exist_ok=True)
    video.write_text("no video")
    body = {"ep_id": "text", "execution_mode": "local"}
    answer = server.client.post("/celery_jobs/detect_track", json=body, headers={"accept": accept})
    last = json.loads(answer.text.splitlines()[-1])
    problem = last.get("problem", last)
    assert problem["status"] == 422
    newest = server.client.get("/episodes/text/runs").json()["items"][0]
    assert (newest["status"], newest["exit_reason"]) == ("failed", problem["detail"])


def test_timeout_is_504_and_leaves_nothing(server: Server) -> None:
    answer = server.detect_track("show", **ENDLESS)
    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert "timeout_s" in answer.json()["hint"]
    assert server.run_processes() == []
    newest = server.client.get("/episodes/show/runs").json()["items"][0]
    assert newest["status"] == "failed"


@pytest.mark.trap(40)
def test_timeout_in_a_stream_is_its_last_line(server: Server) -> None:
    last = streamed(server, "show", **ENDLESS)[-1]
    assert last["type"] == "error"
    assert last["status"] == last["problem"]["status"] == 504
