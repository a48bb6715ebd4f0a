"""The old path: a background run that outlives its server, and a run as server-sent events."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from lab.paths import CHECKOUT
from lab.processes.service import PATIENCE, Server, add_episode, gone, run_cli, serving, wait_for

SLOW = {"stride": 1, "max_cpu_percent": 30}  # a run that lasts long enough to be stopped
SOME_SECONDS = {"stride": 4, "max_cpu_percent": 40}
ENDED = ("success", "failed", "cancelled", "interrupted")


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path) -> Iterator[Path]:
    root = tmp_path / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "noise").mkdir()
    (root / "videos" / "noise" / "episode.mp4").write_bytes(b"no video" * 1000)
    yield root
    for path in (root / ".jobs").glob("*.json"):  # what a failed test left running
        try:
            psutil.Process(json.loads(path.read_bytes())["process"]["pid"]).kill()
        except (ValueError, KeyError, psutil.Error):
            continue


@pytest.fixture
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root) as running:
        yield running


def start(server: Server, ep_id: str = "show", **fields: Any) -> dict[str, Any]:
    answer = server.client.post("/jobs/detect_track", json={"ep_id": ep_id, **fields})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    body: dict[str, Any] = answer.json()
    return body


def status(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    answer = server.client.get(f"/jobs/{job['job_id']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ended(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = status(server, job)
        return found if found["state"] in ENDED else None

    found: dict[str, Any] = wait_for(look, timeout=40, what="the job's end")
    return found


def cancel(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    answer = server.client.post(f"/jobs/{job['job_id']}/cancel")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def record(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    path = server.data_root / ".jobs" / f"{job['job_id']}.json"
    body: dict[str, Any] = json.loads(path.read_text())
    return body


def process_of(server: Server, job: dict[str, Any]) -> psutil.Process:
    return psutil.Process(record(server, job)["process"]["pid"])


def wait_until_running(server: Server, ep_id: str = "show") -> None:
    wait_for(lambda: server.phase(ep_id) == "running", what="the run to be under way")


def tracks(server: Server, run_id: str) -> Any:
    return server.client.get(f"/episodes/talk/runs/{run_id}/tracks").json()["items"]


def sse(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Name and body of each event; a ping has neither: ("", None)."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "", None


def test_a_background_run_gives_what_local_mode_gives(server: Server) -> None:
    job = start(server, "talk", stride=6)
    assert set(job) == {
        "job_id", "state", "ep_id", "run_id", "execution_mode", "profile", "message",
    }  # fmt: skip
    assert (job["state"], job["execution_mode"]) == ("running", "sse")
    end = ended(server, job)
    assert (end["state"], end["problem"]) == ("success", None)
    assert end["progress"]["frames_done"] == end["progress"]["frames_total"] == 20
    local = server.detect_track("talk", stride=6).json()
    assert set(end["result"]) == set(local)
    assert end["result"]["run_id"] == job["run_id"]
    assert end["result"]["execution_mode"] == "sse"
    assert tracks(server, job["run_id"]) == tracks(server, local["run_id"])
    assert server.run_processes() == []


@pytest.mark.trap(4)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_background_run_writes_to_no_pipe(server: Server) -> None:
    process = process_of(server, start(server, **SLOW))
    wait_until_running(server)
    for number in (0, 1, 2):
        target = Path(f"/proc/{process.pid}/fd/{number}").readlink()
        assert target.is_absolute(), f"descriptor {number} is {target}"
    assert os.getsid(process.pid) == process.pid


@pytest.mark.trap(4)
def test_a_background_run_outlives_its_server(data_root: Path) -> None:
    with serving(data_root) as first:
        job = start(first, **SOME_SECONDS)
        process = process_of(first, job)
        wait_until_running(first)
        first.process.kill()
        first.process.wait()
    assert not gone([process])
    with serving(data_root) as second:
        assert status(second, job)["state"] == "running"
        again = second.client.post("/jobs/detect_track", json={"ep_id": "show"})
        assert again.status_code == 409
        end = ended(second, job)
        assert end["state"] == "success"
        assert end["result"]["run_id"] == job["run_id"]
        assert gone([process])


def test_a_server_that_stops_leaves_it_running(data_root: Path) -> None:
    with serving(data_root) as first:
        job = start(first, **SLOW)
        process = process_of(first, job)
        wait_until_running(first)
    assert not gone([process])
    with serving(data_root) as second:
        assert cancel(second, job)["state"] == "cancelled"
        assert gone([process])


@pytest.mark.trap(6)
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_cancel(server: Server, stopped: bool) -> None:
    job = start(server, **SLOW)
    process = process_of(server, job)
    wait_until_running(server)
    tree = [process, *process.children(recursive=True)]
    if stopped:
        process.suspend()
    first = cancel(server, job)
    assert gone(tree)
    assert first["state"] == "cancelled"
    assert first["problem"]["type"].endswith("run-cancelled")
    assert cancel(server, job) == first == status(server, job)
    run = server.client.get(f"/episodes/show/runs/{job['run_id']}").json()
    assert run["status"] == "cancelled"
    assert list((server.data_root / "manifests/show/runs").glob("*/.partial")) == []
    assert server.detect_track("show", stride=24).status_code == 200


def test_cancel_before_it_has_a_manifest(server: Server) -> None:
    job = start(server, **SLOW)
    assert cancel(server, job)["state"] == "cancelled"
    assert status(server, job)["state"] == "cancelled"
    assert server.detect_track("show", stride=24).status_code == 200


def test_cancelling_what_has_ended_changes_nothing(server: Server) -> None:
    job = start(server, "talk", stride=24)
    end = ended(server, job)
    assert end["state"] == "success"
    assert cancel(server, job) == end


@pytest.mark.trap(5)
def test_one_run_of_an_episode_by_every_path(server: Server) -> None:
    """At once, while the run has not taken the episode's lock, and when it has."""
    job = start(server, **SLOW)
    for moment in ("starting", "running"):
        again = server.client.post("/jobs/detect_track", json={"ep_id": "show"})
        assert again.status_code == 409, moment
        assert again.json()["execution_mode"] == "sse"
        assert again.json()["run_id"] == job["run_id"]
        wait_until_running(server)
    stream = server.client.post("/jobs/detect_track/stream", json={"ep_id": "show"})
    assert stream.status_code == server.detect_track("show").status_code == 409
    assert run_cli(server.data_root, "--ep-id", "show").returncode == 6
    assert status(server, job)["state"] == "running"


def test_a_killed_run(server: Server) -> None:
    job = start(server, **SLOW)
    wait_until_running(server)
    process_of(server, job).kill()
    end = ended(server, job)
    assert end["state"] == "interrupted"
    assert end["problem"]["status"] == 500
    assert any("Using CPUExecutionProvider" in line for line in end["problem"]["logs"])
    assert cancel(server, job)["state"] == "interrupted"
    assert server.detect_track("show", stride=24).status_code == 200


def test_a_run_that_fails_tells_the_same_problem(server: Server) -> None:
    end = ended(server, start(server, "noise"))
    assert end["state"] == "failed"
    local = server.detect_track("noise").json()
    assert end["problem"]["type"] == local["type"]
    assert end["problem"]["detail"] == local["detail"]


@pytest.mark.parametrize("path", ["/jobs/detect_track", "/jobs/detect_track/stream"])
def test_refused_before_anything_starts(server: Server, path: str) -> None:
    for fields, code in (
        ({"ep_id": "nobody"}, 404),
        ({"ep_id": "../x"}, 422),
        ({"stride": 0}, 422),
        ({"profile": "turbo"}, 422),
        ({"execution_mode": "local"}, 422),
        ({"timeout_s": 5}, 422),
    ):
        answer = server.client.post(path, json={"ep_id": "show", **fields})
        assert answer.status_code == code, fields
        assert answer.headers["content-type"] == "application/problem+json"
    assert server.run_processes() == []
    assert not (server.data_root / ".jobs").exists()


def test_unknown_jobs_and_foreign_records(server: Server) -> None:
    folder = server.data_root / ".jobs"
    folder.mkdir()
    (folder / "job-garbage.json").write_bytes(b"\xff\x00{")
    (folder / "job-half.json").write_bytes(b'{"job_id": "job-half"}')
    for job_id in ("job-none", "job-garbage", "job-half"):
        for answer in (
            server.client.get(f"/jobs/{job_id}"),
            server.client.post(f"/jobs/{job_id}/cancel"),
        ):
            assert answer.status_code == 404
            assert answer.json()["type"].endswith("job-not-found")
            assert str(server.data_root) not in answer.text
    assert server.client.get("/jobs/a..b").status_code == 422
    assert server.client.get("/celery_jobs").status_code == 200
    assert server.client.get("/episodes").json()["total"] == 3
    assert ended(server, start(server, "talk", stride=24))["state"] == "success"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has processor affinity")
def test_without_cpulimit_the_run_is_bound_to_two_cores(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with serving(data_root, PATH=str(tmp_path / "nothing")) as server:
        job = start(server, **SLOW)
        process = process_of(server, job)
        wait_until_running(server)
        assert status(server, job)["limiter"] == record(server, job)["limiter"] == "affinity"
        assert len(process.cpu_affinity()) == min(2, len(os.sched_getaffinity(0)))
        assert cancel(server, job)["limiter"] == "affinity"


@pytest.mark.trap(36)
@pytest.mark.skipif(shutil.which("cpulimit") is None, reason="cpulimit is not installed")
def test_with_cpulimit_it_lives_as_long_as_the_run(data_root: Path) -> None:
    with serving(data_root) as server:
        job = start(server, **SOME_SECONDS)
        wait_until_running(server)
        assert status(server, job)["limiter"] == record(server, job)["limiter"] == "cpulimit"
        guard = psutil.Process(record(server, job)["limiter_process"]["pid"])
        (limiter,) = guard.children()
        assert ["-p", str(process_of(server, job).pid)] == limiter.cmdline()[1:3]
        server.process.kill()
        server.process.wait()
    assert not gone([limiter])
    with serving(data_root) as again:
        assert ended(again, job)["state"] == "success"
    wait_for(lambda: gone([guard, limiter]), timeout=5, what="the limiter's end")


@pytest.mark.trap(36)
@pytest.mark.skipif(shutil.which("cpulimit") is None, reason="cpulimit is not installed")
def test_a_killed_cpulimit_stops_no_run_and_is_told(server: Server) -> None:
    job = start(server, "talk", stride=2, max_cpu_percent=60)
    guard = psutil.Process(record(server, job)["limiter_process"]["pid"])
    guard.children()[0].kill()
    wait_for(lambda: gone([guard]), what="the guard's end")
    assert status(server, job)["limiter"] == "none"
    assert ended(server, job)["state"] == "success"


@pytest.mark.trap(40)
def test_stream_has_progress_and_ends_with_done(server: Server) -> None:
    moments, events = [], []
    body = {"ep_id": "show", **SOME_SECONDS}
    with server.client.stream("POST", "/jobs/detect_track/stream", json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        for event in sse(answer):
            moments.append(time.monotonic())
            events.append(event)
    assert max(b - a for a, b in itertools.pairwise(moments)) < 5
    names = [name for name, _ in events if name]
    assert set(names) == {"progress", "log", "done"}
    assert names.count("done") == 1
    assert names[-1] == "done"
    result = events[-1][1]
    assert result is not None
    assert (result["status"], result["execution_mode"]) == ("completed", "sse")
    assert result["run_id"] == answer.headers["x-run-id"]
    assert server.detect_track("show", stride=24).status_code == 200  # free at once


def test_stream_of_what_is_no_video_is_a_status(server: Server) -> None:
    answer = server.client.post("/jobs/detect_track/stream", json={"ep_id": "noise"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_stream_whose_run_dies_ends_with_the_problem(server: Server) -> None:
    body = {"ep_id": "show", **SLOW}
    with server.client.stream("POST", "/jobs/detect_track/stream", json=body) as answer:
        events = []
        for event in sse(answer):
            events.append(event)
            for process in server.run_processes():
                process.kill()
    assert events[-1][0] == "error"
    assert events[-1][1] is not None
    assert events[-1][1]["run_exit_code"] == -9
    assert status_of_newest(server) == "failed"


@pytest.mark.parametrize("seconds", [0.5, 2.5], ids=["starting", "running"])
def test_a_client_that_leaves_the_stream_ends_the_run(server: Server, seconds: float) -> None:
    body = json.dumps({"ep_id": "show", **SLOW})
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    head = (
        "POST /jobs/detect_track/stream HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall((head + body).encode())
    leave_at = time.monotonic() + seconds
    processes: set[psutil.Process] = set()
    while time.monotonic() < leave_at:
        processes.update(server.run_processes())
        time.sleep(0.02)
    assert processes
    connection.close()
    wait_for(
        lambda: gone([*processes]) and server.client.get("/celery_jobs").json()["total"] == 0,
        timeout=2.0,
        what="the run's end",
    )
    assert status_of_newest(server) in (None, "cancelled")
    assert server.detect_track("show", stride=24).status_code == 200


def test_a_server_that_stops_says_so_in_the_stream(server: Server) -> None:
    body = {"ep_id": "show", **SLOW}
    with server.client.stream("POST", "/jobs/detect_track/stream", json=body) as answer:
        events = sse(answer)
        next(events)
        server.process.terminate()
        last = list(events)[-1]
    server.process.wait(timeout=3 * PATIENCE)
    assert last[0] == "error"
    assert last[1] is not None
    assert last[1]["status"] == 503
    assert status_of_newest_on_disk(server) == "cancelled"


def test_a_spec_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(CHECKOUT / "tools/episode_run.py"),
        "--spec",
        str(tmp_path / "no"),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    assert "spec" in answer.stderr


def status_of_newest(server: Server) -> str | None:
    runs = server.client.get("/episodes/show/runs").json()["items"]
    return str(runs[0]["status"]) if runs else None


def status_of_newest_on_disk(server: Server) -> str:
    (manifest,) = (server.data_root / "manifests/show/runs").glob("*/run.json")
    return str(json.loads(manifest.read_text())["status"])
