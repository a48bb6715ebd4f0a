"""Times that users were promised: nothing else runs beside these tests."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import Server, add_episode, gone, serving, wait_for

pytestmark = pytest.mark.alone

SLOW = {"ep_id": "show", "stride": 1, "max_cpu_percent": 30}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("times") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


@pytest.fixture
def working(data_root: Path, broker: Redis) -> Iterator[Worker]:
    with worker(data_root, broker.url) as running:
        yield running


def seconds(action: Callable[[], Any]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def submit(server: Server) -> Any:
    body = {**SLOW, "execution_mode": "redis"}
    return server.client.post("/celery_jobs/detect_track", json=body)


@pytest.mark.trap(13, 34, 35)
def test_no_worker_is_said_within_three_seconds(server: Server) -> None:
    assert seconds(lambda: submit(server)) < 3


@pytest.mark.trap(13, 34)
@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is gone"])
def test_no_broker_is_said_within_three_seconds(
    data_root: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    with (
        redis_server(tmp_path / "other") as other,
        serving(data_root, SCREENALYTICS_REDIS_URL=other.url) as server,
    ):
        assert other.process is not None
        other.process.send_signal(stop)
        took = seconds(lambda: submit(server))
        other.process.send_signal(signal.SIGCONT)
    assert took < 3


@pytest.mark.trap(6, 33)
def test_a_queued_run_ends_within_three_seconds_of_its_cancel(
    server: Server, working: Worker
) -> None:
    job_id = submit(server).json()["job_id"]
    processes = wait_for(working.runs, what="the run")
    wait_for(lambda: server.client.get(f"/celery_jobs/{job_id}").json()["progress"])

    def cancel() -> None:
        assert server.client.post(f"/celery_jobs/{job_id}/cancel").status_code == 200
        wait_for(lambda: gone(processes), what="the run's end")

    assert seconds(cancel) < 3


@pytest.mark.trap(6)
@pytest.mark.parametrize("suspended", [False, True], ids=["running", "stopped"])
def test_a_job_of_the_old_path_is_cancelled_within_three_seconds(
    server: Server, suspended: bool
) -> None:
    job = server.client.post("/jobs/detect_track", json=SLOW).json()
    (process,) = wait_for(server.run_processes, what="the run")
    wait_for(lambda: server.client.get(f"/jobs/{job['job_id']}").json()["progress"])
    if suspended:
        process.suspend()
    path = f"/jobs/{job['job_id']}/cancel"
    assert seconds(lambda: server.client.post(path)) < 3


def test_a_local_run_is_cancelled_within_two_seconds(server: Server) -> None:
    body = {**SLOW, "execution_mode": "local"}
    headers = {"accept": "application/x-ndjson"}
    with server.client.stream(
        "POST", "/celery_jobs/detect_track", json=body, headers=headers
    ) as run:
        lines = run.iter_lines()
        next(line for line in lines if "frames_done" in line)
        (active,) = server.client.get("/celery_jobs").json()["items"]
        path = f"/episodes/show/runs/{active['run_id']}/cancel"
        assert seconds(lambda: server.client.post(path)) < 2
