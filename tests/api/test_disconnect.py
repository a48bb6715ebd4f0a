"""Whoever goes away — client, server, run — nothing stays behind and nothing is lost."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from apps.common.layout import Layout
from apps.runs.store import read_progress
from lab.processes.service import LOWERED_NICE, Server, gone, serving, wait_for
from tests.support.progress import under_way

SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 30}  # lasts long enough to be stopped
SHORT = {"stride": 120, "det_size": 320}


@pytest.fixture(scope="module")
def latest(server: Server) -> Path:
    """What names the newest completed run, which there is."""
    assert server.detect_track("show", **SHORT).status_code == 200
    return Layout(server.data_root).latest("show")


def send_request(
    server: Server, run_id: str, *, stream: bool, ep_id: str = "show"
) -> socket.socket:
    """Sends the local request and does not read the answer. Closing the socket is leaving."""
    body = json.dumps({"ep_id": ep_id, "execution_mode": "local", "run_id": run_id, **SLOW})
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


def manifest(server: Server, run_id: str) -> dict[str, Any]:
    body: dict[str, Any] = server.client.get(f"/episodes/show/runs/{run_id}").json()
    return body


@pytest.mark.alone
@pytest.mark.trap(2, 24, 28)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "ndjson"])
def test_client_gone(server: Server, latest: Path, stream: bool) -> None:
    """While its run starts, loads and works; the next one begins as soon as it is gone."""
    layout = Layout(server.data_root)
    before = latest.read_bytes()
    for stage in ("starting", "loading", "running"):
        run_id = f"{stage}-{stream}"
        connection = send_request(server, run_id, stream=stream)
        processes = server.wait_for_run()
        if stage == "loading":
            wait_for(lambda r=run_id: read_progress(layout, "show", r), what="its first progress")
        elif stage == "running":
            under_way(server.data_root, "show", run_id, frames=1)
        connection.close()
        wait_for(
            lambda p=processes: gone(p) and not server.run_processes() and is_free(server),
            timeout=2.0,
            what="the run's end",
        )
        assert latest.read_bytes() == before
        if layout.run("show", run_id).manifest.exists() or stage != "starting":
            assert manifest(server, run_id)["status"] == "cancelled"
    assert server.detect_track("show", **SHORT, run_id=f"last-{stream}").status_code == 200
    assert list(layout.runs("show").glob("*/.partial")) == []


@pytest.mark.alone
@pytest.mark.trap(29)
def test_server_killed(server: Server, latest: Path) -> None:
    """Another one sees what its run has left."""
    before = latest.read_bytes()
    with serving(server.data_root) as dying:
        connection = send_request(dying, "orphan", stream=False)
        processes = dying.wait_for_run()
        under_way(server.data_root, "show", "orphan")
        dying.process.kill()
        dying.process.wait()
        wait_for(lambda: gone(processes), timeout=2.0, what="the orphan's end")
        connection.close()
    run = manifest(server, "orphan")
    assert run["status"] == "cancelled"
    assert "gone" in run["exit_reason"]
    assert latest.read_bytes() == before
    assert server.detect_track("show", **SHORT).status_code == 200


@pytest.mark.alone
@pytest.mark.trap(30)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_stops_within_three_seconds(data_root: Path, number: signal.Signals) -> None:
    """Not by uvicorn's own patience with open requests."""
    with serving(data_root, "--timeout-graceful-shutdown", "600") as server:
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            daemon=True,
            target=lambda: answers.append(server.detect_track("show", run_id=number.name, **SLOW)),
        )
        thread.start()
        processes = server.wait_for_run()
        under_way(data_root, "show", number.name)
        server.process.send_signal(number)
        server.process.wait(timeout=3)
        assert gone(processes)
        thread.join()
    assert answers[0].status_code == 503
    assert "cancelled" in answers[0].json()["detail"]


@pytest.mark.alone
@pytest.mark.trap(30)
def test_a_stopped_group_is_killed_too(server: Server) -> None:
    connection = send_request(server, "stopped", stream=False)
    processes = server.wait_for_run()
    under_way(server.data_root, "show", "stopped")
    for process in processes:
        process.suspend()
    connection.close()
    wait_for(lambda: gone(processes) and is_free(server), timeout=2.5, what="the run's end")
    assert manifest(server, "stopped")["status"] == "cancelled"


def test_run_process_killed(server: Server) -> None:
    """As the system does when memory runs out: 500 with the exit code, episode free at once.

    Its priority is low: what it takes is what others leave.
    """
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        daemon=True,
        target=lambda: answers.append(server.detect_track("show", run_id="killed", **SLOW)),
    )
    thread.start()
    processes = server.wait_for_run()
    under_way(server.data_root, "show", "killed")
    wait_for(lambda: processes[0].nice() == LOWERED_NICE, what="its priority to be low")
    assert psutil.Process(server.process.pid).nice() == psutil.Process().nice()
    processes[0].kill()
    thread.join()
    assert answers[0].status_code == 500
    problem = answers[0].json()
    assert problem["run_exit_code"] == -9
    assert any("Using CPUExecutionProvider" in line for line in problem["logs"])
    assert manifest(server, "killed")["status"] == "failed"
    assert server.detect_track("show", **SHORT).status_code == 200


def test_an_interrupted_run_is_recognised(server: Server) -> None:
    """A hard kill of everything leaves a manifest that says `running`; readers know better."""
    with serving(server.data_root) as dying:
        connection = send_request(dying, "interrupted", stream=True)
        processes = dying.wait_for_run()
        under_way(server.data_root, "show", "interrupted")
        psutil.Process(dying.process.pid).suspend()
        processes[0].kill()
        dying.process.kill()
        dying.process.wait()
        connection.close()
    file = Layout(server.data_root).run("show", "interrupted").manifest
    # Its lock goes with the last of its threads.
    wait_for(lambda: manifest(server, "interrupted")["status"] == "interrupted", what="its death")
    assert json.loads(file.read_text())["status"] == "running"
    results = server.client.get("/episodes/show/runs/interrupted/tracks")
    assert results.status_code == 404


@pytest.mark.trap(3)
def test_two_and_twenty_requests_for_one_episode(server: Server) -> None:
    def completed() -> int:
        runs = server.client.get("/episodes/show/runs").json()["items"]
        return [run["status"] for run in runs].count("completed")

    before = completed()
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.another_client(60) as client:
            body = {"ep_id": "show", "execution_mode": "local", "stride": 30, "det_size": 320}
            body["max_cpu_percent"] = 15  # still on when the last one has asked
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
    assert completed() == before + 1
    assert server.detect_track("talk", stride=120).status_code == 200
