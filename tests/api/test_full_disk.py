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

from lab.processes.queue import LEASE_SECONDS, Redis, worker
from lab.processes.service import Server, add_episode, gone, serving, wait_for
from tests.support.progress import under_way

SLOW = {"stride": 1, "max_cpu_percent": 20, "save_crops": True}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Path]:
    """A small disk of its own; the prepared model, which is larger, goes to another one."""
    folder = tmp_path_factory.mktemp("full")
    root, cache = folder / "data", folder / "cache"
    root.mkdir()
    cache.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(root)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        (root / ".cache").symlink_to(cache)
        add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    environment = {
        "SCREENALYTICS_MIN_FREE_MB": "0",
        "SCREENALYTICS_LEASE_S": LEASE_SECONDS,
        "SCREENALYTICS_REDIS_URL": broker.url,
    }
    with serving(data_root, **environment) as running:
        yield running


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


def consistent(server: Server, run_id: str) -> None:
    """It says that it did not complete, and has left nothing that takes space."""
    run = server.client.get(f"/episodes/talk/runs/{run_id}").json()
    assert run["status"] in ("cancelled", "interrupted"), run["exit_reason"]
    assert not list((server.data_root / "manifests").rglob(".partial"))
    assert not list((server.data_root / "manifests").rglob(".discarded-*"))
    assert "Traceback" not in server.log.read_text()


def works_again(server: Server, filler: Path) -> None:
    filler.unlink()
    assert server.detect_track("talk", stride=120).status_code == 200


def test_a_local_run_that_is_ended_on_a_full_disk(server: Server) -> None:
    """Its client leaves, and another one is cancelled."""
    filler = ended_on_a_full_disk(server, "the client leaves")
    filler.unlink()
    works_again(server, ended_on_a_full_disk(server, "it is cancelled"))


def ended_on_a_full_disk(server: Server, way: str) -> Path:
    run_id = way.replace(" ", "-")
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.another_client(60) as client:
            body = {"ep_id": "talk", "execution_mode": "local", "run_id": run_id, **SLOW}
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
    under_way(server.data_root, "talk", run_id, answers=answers)
    processes = server.run_processes()
    for process in processes:  # it meets the full disk only when it is to end
        process.suspend()
    filler = fill(server.data_root)
    leave.set()
    if way == "it is cancelled":
        cancelled = server.client.post(f"/episodes/talk/runs/{run_id}/cancel")
        assert cancelled.status_code == 200, cancelled.text
    client.join(60)
    wait_for(lambda: gone(processes), what="the run's end")
    wait_for(lambda: server.client.get("/celery_jobs").json()["total"] == 0, what="the episode")
    if way == "it is cancelled":
        assert answers[0].json()["type"].endswith("run-cancelled")
    consistent(server, run_id)
    return filler


def test_a_job_that_is_cancelled_on_a_full_disk(server: Server, broker: Redis) -> None:
    with worker(server.data_root, broker.url) as one:
        accepted: dict[str, Any] = server.client.post(
            "/celery_jobs/detect_track", json={"ep_id": "talk", **SLOW}
        ).json()
        under_way(server.data_root, "talk", accepted["run_id"])
        processes = one.runs()
        for process in processes:
            process.suspend()
        filler = fill(server.data_root)
        path = f"/celery_jobs/{accepted['job_id']}"
        server.client.post(f"{path}/cancel")
        wait_for(
            lambda: server.client.get(path).json()["state"] == "cancelled", what="the job's end"
        )
        wait_for(lambda: gone(processes), what="the run's end")
        consistent(server, accepted["run_id"])
        works_again(server, filler)
