"""The old path: a background run that outlives its server, and a run as server-sent events."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from apps.common.layout import Layout
from apps.runs.lock import is_held
from lab.paths import CHECKOUT
from lab.processes.service import Server, add_episode, gone, run_cli, serving, wait_for

SLOW: dict[str, Any] = {
    "stride": 1,
    "max_cpu_percent": 30,
}  # a run that lasts long enough to be stopped
QUICK: dict[str, Any] = {"stride": 96, "det_size": 320, "cpu_threads": 1}
SOME_SECONDS: dict[str, Any] = {**QUICK, "stride": 3, "max_cpu_percent": 15}
HALF_A_MINUTE: dict[str, Any] = {"stride": 8, "max_cpu_percent": 15}  # a server can come back
ENDED = ("success", "failed", "cancelled", "interrupted")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    """Two episodes, one that is none, and records of jobs that are none."""
    root = tmp_path_factory.mktemp("old-path") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "noise").mkdir()
    (root / "videos" / "noise" / "episode.mp4").write_bytes(b"no video" * 1000)
    (root / ".jobs").mkdir()
    (root / ".jobs" / "job-garbage.json").write_bytes(b"\xff\x00{")
    (root / ".jobs" / "job-half.json").write_bytes(b'{"job_id": "job-half"}')
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root) as running:
        yield running


@pytest.fixture(autouse=True)
def _end_what_is_left(data_root: Path) -> Iterator[None]:
    """Jobs outlive servers and tests."""
    yield
    for path in (data_root / ".jobs").glob("*.json"):
        with contextlib.suppress(ValueError, KeyError, psutil.Error):
            known = json.loads(path.read_bytes())["process"]
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["create_time"]) < 2:
                process.kill()
    layout = Layout(data_root)
    wait_for(lambda: not is_held(layout, "show"), what="the end of a job")


@pytest.fixture(scope="module")
def finished(server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job when it was started, and as it has ended."""
    job = start(server, "talk", stride=24)
    return job, ended(server, job)


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
    """Its process is gone, and so is its lock: a zombie's threads may live a moment longer."""
    process, layout = process_of(server, job), Layout(server.data_root)
    wait_for(
        lambda: (process is None or gone([process])) and not is_held(layout, job["ep_id"]),
        timeout=40,
        what="the job's end",
    )
    found = status(server, job)
    assert found["state"] in ENDED
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


def process_of(server: Server, job: dict[str, Any]) -> psutil.Process | None:
    """None where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(record(server, job)["process"]["pid"])
    return None


def running_process(server: Server, job: dict[str, Any]) -> psutil.Process:
    """The job's, when it works on frames."""
    wait_until_running(server, job["run_id"])
    process = process_of(server, job)
    assert process is not None
    return process


def wait_until_running(server: Server, run_id: str) -> None:
    path = server.data_root / "manifests" / "show" / "runs" / run_id / "progress.json"

    def running() -> bool:
        return path.exists() and json.loads(path.read_bytes())["phase"] == "running"

    wait_for(running, timeout=60, what="the run to be under way")


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


def test_a_background_run_gives_what_local_mode_gives(
    server: Server, finished: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    job, end = finished
    assert set(job) == {
        "job_id", "state", "ep_id", "run_id", "execution_mode", "profile", "message",
    }  # fmt: skip
    assert (job["state"], job["execution_mode"]) == ("running", "sse")
    assert (end["state"], end["problem"]) == ("success", None)
    assert end["progress"]["frames_done"] == end["progress"]["frames_total"] == 5
    local = server.detect_track("talk", stride=24).json()
    assert set(end["result"]) == set(local)
    assert end["result"]["run_id"] == job["run_id"]
    assert end["result"]["execution_mode"] == "sse"
    assert tracks(server, job["run_id"]) == tracks(server, local["run_id"]) != []
    assert server.run_processes() == []


@pytest.mark.trap(4, 36)
def test_a_background_run_outlives_its_server(data_root: Path) -> None:
    """With its limiter, where there is one."""
    with serving(data_root) as first:
        job = start(first, **HALF_A_MINUTE)
        process = running_process(first, job)
        limiters = cpulimit_of(first, job)
        first.process.kill()
        first.process.wait()
    assert not any(gone([one]) for one in (process, *limiters))
    with serving(data_root) as second:
        assert status(second, job)["state"] == "running"
        again = second.client.post("/jobs/detect_track", json={"ep_id": "show"})
        assert again.status_code == 409
        end = ended(second, job)
        assert end["state"] == "success"
        assert end["result"]["run_id"] == job["run_id"]
        assert gone([process])
    wait_for(lambda: gone(limiters), what="the limiter's end")


def cpulimit_of(server: Server, job: dict[str, Any]) -> list[psutil.Process]:
    """The guard and the limiter of a running job; none where `cpulimit` is not installed."""
    if shutil.which("cpulimit") is None:
        return []
    assert status(server, job)["limiter"] == record(server, job)["limiter"] == "cpulimit"
    guard = psutil.Process(record(server, job)["limiter_process"]["pid"])
    (limiter,) = guard.children()
    assert ["-p", str(record(server, job)["process"]["pid"])] == limiter.cmdline()[1:3]
    return [guard, limiter]


def test_a_server_that_stops_leaves_it_running_and_says_so_in_a_stream(
    server: Server, data_root: Path, tmp_path: Path
) -> None:
    """Here one without cpulimit, which binds its runs to two cores; another one can end it."""
    body = {"ep_id": "talk", "run_id": "stopped-with-it", **SLOW}
    with serving(data_root, PATH=str(tmp_path)) as first:
        job = start(first, **SLOW)
        process = running_process(first, job)
        limiter = "affinity" if sys.platform == "linux" else "none"  # macOS has no such call
        assert status(first, job)["limiter"] == record(first, job)["limiter"] == limiter
        if sys.platform == "linux":
            assert len(process.cpu_affinity()) == min(2, len(os.sched_getaffinity(0)))
        with first.client.stream("POST", "/jobs/detect_track/stream", json=body) as answer:
            events = sse(answer)
            next(events)
            first.process.terminate()
            name, last = list(events)[-1]
        first.process.wait(timeout=60)
    assert (name, last and last["status"]) == ("error", 503)
    assert status_on_disk(server, "stopped-with-it", "talk") == "cancelled"
    assert not gone([process])
    end = cancel(server, job)
    assert (end["state"], end["limiter"]) == ("cancelled", limiter)
    assert gone([process])


@pytest.mark.trap(6)
def test_cancel(server: Server) -> None:
    """Before it has a manifest, while it runs, and while it is stopped; then all is free."""
    for moment in ("starting", "running", "stopped"):
        job = start(server, **SLOW)
        if moment == "starting":
            tree = [one for one in (process_of(server, job),) if one]
        else:
            process = running_process(server, job)
            tree = [process, *process.children(recursive=True)]
            if moment == "stopped":
                process.suspend()
        first = cancel(server, job)
        assert tree
        assert gone(tree)
        assert first["state"] == "cancelled"
        assert first["problem"]["type"].endswith("run-cancelled")
        assert cancel(server, job) == first == status(server, job)
        if moment != "starting":
            run = server.client.get(f"/episodes/show/runs/{job['run_id']}").json()
            assert run["status"] == "cancelled"
        assert list((server.data_root / "manifests/show/runs").glob("*/.partial")) == []
    assert server.detect_track("show", **QUICK).status_code == 200


def test_cancelling_what_has_ended_changes_nothing(
    server: Server, finished: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    job, end = finished
    assert end["state"] == "success"
    assert cancel(server, job) == end


@pytest.mark.trap(4, 5)
def test_one_run_of_an_episode_by_every_path(server: Server) -> None:
    """At once, while the run has not taken the episode's lock, and when it has."""
    job = start(server, **SLOW)
    for moment in ("starting", "running"):
        again = server.client.post("/jobs/detect_track", json={"ep_id": "show"})
        assert again.status_code == 409, moment
        assert again.json()["execution_mode"] == "sse"
        assert again.json()["run_id"] == job["run_id"]
        process = running_process(server, job)
    if sys.platform == "linux":
        check_it_writes_to_no_pipe(process)
    stream = server.client.post("/jobs/detect_track/stream", json={"ep_id": "show"})
    assert stream.status_code == server.detect_track("show").status_code == 409
    assert run_cli(server.data_root, "--ep-id", "show").returncode == 6
    assert status(server, job)["state"] == "running"


def check_it_writes_to_no_pipe(process: psutil.Process) -> None:
    for number in (0, 1, 2):
        target = Path(f"/proc/{process.pid}/fd/{number}").readlink()
        assert target.is_absolute(), f"descriptor {number} is {target}"
    assert os.getsid(process.pid) == process.pid


def test_a_killed_run(server: Server) -> None:
    job = start(server, **SLOW)
    running_process(server, job).kill()
    end = ended(server, job)
    assert end["state"] == "interrupted"
    assert end["problem"]["status"] == 500
    assert any("Using CPUExecutionProvider" in line for line in end["problem"]["logs"])
    assert cancel(server, job)["state"] == "interrupted"
    assert server.detect_track("show", **QUICK).status_code == 200


def test_a_run_that_fails_tells_the_same_problem(server: Server) -> None:
    end = ended(server, start(server, "noise"))
    assert end["state"] == "failed"
    local = server.detect_track("noise").json()
    assert end["problem"]["type"] == local["type"]
    assert end["problem"]["detail"] == local["detail"]


@pytest.mark.parametrize("path", ["/jobs/detect_track", "/jobs/detect_track/stream"])
def test_refused_before_anything_starts(server: Server, path: str) -> None:
    before = names_of_jobs(server)
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
    assert names_of_jobs(server) == before


def names_of_jobs(server: Server) -> set[str]:
    return {path.name for path in (server.data_root / ".jobs").iterdir()}


def test_unknown_jobs_and_foreign_records(server: Server) -> None:
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


@pytest.mark.trap(36)
@pytest.mark.skipif(shutil.which("cpulimit") is None, reason="cpulimit is not installed")
def test_a_killed_cpulimit_stops_no_run_and_is_reported(server: Server) -> None:
    job = start(server, **SOME_SECONDS)
    guard = psutil.Process(record(server, job)["limiter_process"]["pid"])
    guard.children()[0].kill()
    wait_for(lambda: gone([guard]), what="the guard's end")
    assert status(server, job)["limiter"] == "none"
    assert ended(server, job)["state"] == "success"


@pytest.mark.trap(40)
def test_stream_has_progress_and_ends_with_done(server: Server) -> None:
    """It is never silent: while its run is stopped, pings come."""
    events = []
    with server.client.stream(
        "POST", "/jobs/detect_track/stream", json={"ep_id": "talk", **SOME_SECONDS}
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        coming = sse(answer)
        events.append(next(coming))
        processes = server.run_processes()
        for process in processes:
            process.suspend()
        pings = (event for event in coming if event == ("", None))
        assert [next(pings), next(pings)] == [("", None)] * 2
        for process in processes:
            process.resume()
        events += coming
    names = [name for name, _ in events if name]
    assert set(names) == {"progress", "log", "done"}
    assert names.count("done") == 1
    assert names[-1] == "done"
    result = events[-1][1]
    assert result is not None
    assert (result["status"], result["execution_mode"]) == ("completed", "sse")
    assert result["run_id"] == answer.headers["x-run-id"]
    assert server.detect_track("talk", **QUICK).status_code == 200  # free at once


def test_stream_of_what_is_no_video_is_a_status(server: Server) -> None:
    answer = server.client.post("/jobs/detect_track/stream", json={"ep_id": "noise"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_stream_whose_run_dies_ends_with_the_problem(server: Server) -> None:
    body = {"ep_id": "show", "run_id": "dies", **SLOW}
    with server.client.stream("POST", "/jobs/detect_track/stream", json=body) as answer:
        events = []
        for event in sse(answer):
            events.append(event)
            for process in server.run_processes():
                process.kill()
    assert events[-1][0] == "error"
    assert events[-1][1] is not None
    assert events[-1][1]["run_exit_code"] == -9
    assert status_on_disk(server, "dies") == "failed"


def test_a_client_that_leaves_the_stream_ends_the_run(server: Server) -> None:
    """While its run starts, and while it runs; then the episode is free."""
    for moment in ("starting", "running"):
        with leaving_stream(server, moment):
            processes = server.wait_for_run()
            if moment == "running":
                wait_until_running(server, moment)
        wait_until_free(server, processes)
        assert status_on_disk(server, moment) in (
            (None, "cancelled") if moment == "starting" else ("cancelled",)
        )
    assert server.detect_track("show", **QUICK).status_code == 200


def wait_until_free(server: Server, processes: list[psutil.Process]) -> None:
    wait_for(
        lambda: gone(processes) and server.client.get("/celery_jobs").json()["total"] == 0,
        what="the run's end",
    )


@contextmanager
def leaving_stream(server: Server, run_id: str) -> Iterator[None]:
    """A client that asks for a run as a stream, does not read, and leaves with the block."""
    body = json.dumps({"ep_id": "show", "run_id": run_id, **SLOW})
    head = (
        "POST /jobs/detect_track/stream HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall((head + body).encode())
        yield


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


def status_on_disk(server: Server, run_id: str, ep_id: str = "show") -> str | None:
    manifest = server.data_root / "manifests" / ep_id / "runs" / run_id / "run.json"
    return str(json.loads(manifest.read_text())["status"]) if manifest.exists() else None
