"""A full disk changes what a run can leave behind, not how its request or its job ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.processes.queue import LEASE_SECONDS, redis_server, worker
from lab.processes.service import Server, add_episode, gone, run_cli, serving, wait_for

SLOW = {"stride": 1, "max_cpu_percent": 20, "save_crops": True}


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path) -> Iterator[Path]:
    """A small disk of its own, with the prepared model, which is larger, on another one."""
    video = test_data / "videos" / "carphone_pristine.mp4"
    add_episode(tmp_path / "warm", "talk", video)
    root = tmp_path / "data"
    root.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(root)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        assert run_cli(tmp_path / "warm", "--ep-id", "talk", "--stride", "60").returncode == 0
        (root / ".cache").symlink_to(tmp_path / "warm" / ".cache")
        add_episode(root, "talk", video)
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def fill(data_root: Path) -> Path:
    """Takes all the space that is left."""
    filler = data_root / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (65_536, 4096, 1):
            try:
                while stream.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def is_on(server: Server) -> bool:
    return server.phase("talk") == "running"


def consistent(server: Server, run_id: str) -> None:
    """It says that it did not complete, and has left nothing that takes space."""
    run = server.client.get(f"/episodes/talk/runs/{run_id}").json()
    assert run["status"] in ("cancelled", "interrupted")
    assert not list((server.data_root / "manifests").rglob(".partial"))
    assert not list((server.data_root / "manifests").rglob(".discarded-*"))
    assert "Traceback" not in server.log.read_text()


def works_again(server: Server, filler: Path) -> None:
    filler.unlink()
    assert server.detect_track("talk", stride=24).status_code == 200


@pytest.mark.parametrize("way", ["the client leaves", "it is cancelled"])
def test_a_local_run_that_is_ended_on_a_full_disk(data_root: Path, way: str) -> None:
    environment = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(data_root, SCREENALYTICS_MIN_FREE_MB="0", **environment) as server:
        answers: list[httpx.Response] = []

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                body = {"ep_id": "talk", "execution_mode": "local", "run_id": "r1", **SLOW}
                if way == "it is cancelled":
                    answers.append(client.post("/celery_jobs/detect_track", json=body))
                    return
                headers = {"accept": "application/x-ndjson"}
                with client.stream(
                    "POST", "/celery_jobs/detect_track", json=body, headers=headers
                ) as answer:
                    leave.wait(60)
                    answers.append(answer)

        leave = threading.Event()
        client = threading.Thread(target=ask, daemon=True)
        client.start()
        wait_for(lambda: is_on(server), what="the run to be under way")
        processes = server.run_processes()
        for process in processes:  # it meets the full disk only when it is to end
            process.suspend()
        filler = fill(data_root)
        leave.set()
        if way == "it is cancelled":
            cancelled = server.client.post("/episodes/talk/runs/r1/cancel")
            assert cancelled.status_code == 200, cancelled.text
        client.join(20)
        wait_for(lambda: gone(processes), what="the run's end")
        wait_for(lambda: server.client.get("/celery_jobs").json()["total"] == 0, what="the episode")
        if way == "it is cancelled":
            assert answers[0].json()["type"].endswith("run-cancelled")
        consistent(server, "r1")
        works_again(server, filler)


def test_a_job_that_is_cancelled_on_a_full_disk(data_root: Path) -> None:
    environment = {"SCREENALYTICS_MIN_FREE_MB": "0", "SCREENALYTICS_LEASE_S": LEASE_SECONDS}
    with (
        redis_server(data_root.parent / "redis") as broker,
        serving(data_root, SCREENALYTICS_REDIS_URL=broker.url, **environment) as server,
        worker(data_root, broker.url) as one,
    ):
        accepted: dict[str, Any] = server.client.post(
            "/celery_jobs/detect_track", json={"ep_id": "talk", **SLOW}
        ).json()
        wait_for(lambda: is_on(server), what="the run to be under way")
        processes = one.runs()
        for process in processes:
            process.suspend()
        filler = fill(data_root)
        path = f"/celery_jobs/{accepted['job_id']}"
        server.client.post(f"{path}/cancel")
        wait_for(
            lambda: server.client.get(path).json()["state"] == "cancelled", what="the job's end"
        )
        wait_for(lambda: gone(processes), what="the run's end")
        consistent(server, accepted["run_id"])
        works_again(server, filler)
