"""Whoever goes away — client, server, run — nothing stays behind and nothing is lost."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from lab.processes.service import Server, add_episode, gone, serving, wait_for

pytestmark = pytest.mark.alone

SLOW = {"stride": 1, "max_cpu_percent": 30}  # a run that lasts long enough to be stopped


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path) -> Path:
    root = tmp_path / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture
def server(data_root: Path):
    with serving(data_root) as running:
        yield running


def send_request(server: Server, *, stream: bool, ep_id: str = "show") -> socket.socket:
    """Sends the local request and does not read the answer. Closing the socket is leaving."""
    body = json.dumps({"ep_id": ep_id, "execution_mode": "local", **SLOW})
    accept = "application/x-ndjson" if stream else "*/*"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    head = (
        "POST /celery_jobs/detect_track HTTP/1.1\r\nHost: localhost\r\n"
        f"Accept: {accept}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall((head + body).encode())
    return connection


def is_free(server: Server) -> bool:
    return server.client.get("/celery_jobs").json()["total"] == 0


def wait_until_running(server: Server) -> None:
    wait_for(lambda: server.phase("show") == "running", what="the run to be under way")


def newest(server: Server) -> dict:
    return server.client.get("/episodes/show/runs").json()["items"][0]


@pytest.mark.trap(2, 24, 28)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "ndjson"])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5], ids=["starting", "loading", "running"])
def test_client_gone(server: Server, stream: bool, seconds: float) -> None:
    done = server.detect_track("show", stride=24)
    assert done.status_code == 200
    latest = (server.data_root / "manifests/show/latest.json").read_bytes()
    connection = send_request(server, stream=stream)
    leave_at = time.monotonic() + seconds
    processes: set[psutil.Process] = set()
    while time.monotonic() < leave_at:
        processes.update(server.run_processes())
        time.sleep(0.02)
    connection.close()
    wait_for(
        lambda: gone([*processes]) and not server.run_processes() and is_free(server),
        timeout=2.0,
        what="the run's end",
    )
    assert (server.data_root / "manifests/show/latest.json").read_bytes() == latest
    after = newest(server)
    if after["run_id"] != done.json()["run_id"]:  # it had got as far as a manifest
        assert after["status"] == "cancelled"
    assert server.detect_track("show", stride=24).status_code == 200
    staging = list((server.data_root / "manifests/show/runs").glob("*/.partial"))
    assert staging == []


@pytest.mark.trap(29)
def test_server_killed(data_root: Path) -> None:
    with serving(data_root) as server:
        connection = send_request(server, stream=False)
        processes = server.wait_for_run()
        wait_until_running(server)
        server.process.kill()
        server.process.wait()
        wait_for(lambda: gone(processes), timeout=2.0, what="the orphan's end")
        connection.close()
    with serving(data_root) as server:
        run = newest(server)
        assert run["status"] == "cancelled"
        assert "gone" in run["exit_reason"]
        assert not (data_root / "manifests/show/latest.json").exists()
        assert server.detect_track("show", stride=24).status_code == 200


@pytest.mark.trap(30)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_stops_within_three_seconds(data_root: Path, number: signal.Signals) -> None:
    """Not by uvicorn's own patience with open requests."""
    with serving(data_root, "--timeout-graceful-shutdown", "600") as server:
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            daemon=True, target=lambda: answers.append(server.detect_track("show", **SLOW))
        )
        thread.start()
        processes = server.wait_for_run()
        wait_until_running(server)
        server.process.send_signal(number)
        server.process.wait(timeout=3)
        assert gone(processes)
        thread.join()
    assert answers[0].status_code == 503
    assert "cancelled" in answers[0].json()["detail"]


@pytest.mark.trap(30)
def test_a_stopped_group_is_killed_too(server: Server) -> None:
    connection = send_request(server, stream=False)
    processes = server.wait_for_run()
    wait_until_running(server)
    for process in processes:
        process.suspend()
    connection.close()
    wait_for(lambda: gone(processes) and is_free(server), timeout=2.5, what="the run's end")
    assert newest(server)["status"] == "cancelled"


def test_local_runs_have_low_priority(server: Server) -> None:
    connection = send_request(server, stream=False)
    processes = server.wait_for_run()
    wait_until_running(server)
    assert processes[0].nice() == 10
    assert psutil.Process(server.process.pid).nice() == psutil.Process().nice()
    connection.close()


def test_run_process_killed(server: Server) -> None:
    """As the system does when memory runs out: 500 with the exit code, episode free at once."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        daemon=True, target=lambda: answers.append(server.detect_track("show", **SLOW))
    )
    thread.start()
    processes = server.wait_for_run()
    wait_until_running(server)
    processes[0].kill()
    thread.join()
    assert answers[0].status_code == 500
    problem = answers[0].json()
    assert problem["run_exit_code"] == -9
    assert any("Using CPUExecutionProvider" in line for line in problem["logs"])
    assert newest(server)["status"] == "failed"
    assert server.detect_track("show", stride=24).status_code == 200


def test_an_interrupted_run_is_recognised(server: Server, data_root: Path) -> None:
    """A hard kill of everything leaves a manifest that says `running`; readers know better."""
    connection = send_request(server, stream=True)
    processes = server.wait_for_run()
    wait_until_running(server)
    psutil.Process(server.process.pid).suspend()
    processes[0].kill()
    server.process.kill()
    server.process.wait()
    connection.close()
    manifest = next((data_root / "manifests/show/runs").glob("*/run.json"))
    assert json.loads(manifest.read_text())["status"] == "running"
    with serving(data_root) as again:
        run = newest(again)
        assert run["status"] == "interrupted"
        results = again.client.get(f"/episodes/show/runs/{run['run_id']}/tracks")
        assert results.status_code == 404


@pytest.mark.trap(3)
def test_two_and_twenty_requests_for_one_episode(server: Server) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            body = {"ep_id": "show", "execution_mode": "local", "max_cpu_percent": 60}
            answers.append(client.post("/celery_jobs/detect_track", json=body))

    threads = [threading.Thread(daemon=True, target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * 19
    refused = next(answer for answer in answers if answer.status_code == 409).json()
    assert "show" in refused["detail"]
    completed = server.client.get("/episodes/show/runs").json()["items"]
    assert [run["status"] for run in completed].count("completed") == 1
    assert server.detect_track("talk", stride=24).status_code == 200
