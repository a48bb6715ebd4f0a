"""Old runs go where an operator wants it: a real server, real runs, and the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes.service import Server, add_episode, clean_environment, serving, wait_for
from tests.support.progress import under_way


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("retention") / "data"
    for ep_id in ("talk", "other"):
        add_episode(root, ep_id, test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with serving(root, SCREENALYTICS_KEEP_RUNS="1") as running:
        yield running


def run(server: Server, ep_id: str, run_id: str) -> None:
    answer = server.detect_track(ep_id, run_id=run_id, stride=60, det_size=320)
    assert answer.status_code == 200, answer.text


def retention(server: Server) -> dict[str, Any]:
    answer = server.client.get("/retention")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["ep_id"], item["run_id"]) for item in items]


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "prune", "--data-root", str(root), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_goes_is_shown_and_goes(server: Server, root: Path) -> None:
    for number in range(3):
        run(server, "talk", f"r{number}")
    run(server, "other", "r0")
    shown = retention(server)
    assert shown["policy"] == {"keep": 1, "keep_days": None, "keep_job_days": 30}
    assert names(shown["items"]) == [("talk", "r1"), ("talk", "r0")]
    assert shown["size_bytes"] == sum(item["size_bytes"] for item in shown["items"]) > 0
    assert shown["pruned"] == []

    kept = server.client.post("/retention", json={"keep": 2, "keep_days": 1}).json()
    assert (kept["pruned"], kept["stayed"]) == ([], [])
    assert server.client.post("/retention", json={"keep": 0}).status_code == 422
    assert server.client.post("/retention", json={"keeps": 1}).status_code == 422

    slow = {"ep_id": "talk", "run_id": "on", "stride": 1, "max_cpu_percent": 20}
    job = server.client.post("/jobs/detect_track", json=slow).json()["job_id"]
    under_way(root, "talk", "on")
    busy = server.client.post("/retention").json()
    assert names(busy["stayed"]) == [("talk", "r1"), ("talk", "r0")]
    assert "running" in busy["stayed"][0]["why"]
    server.client.post(f"/jobs/{job}/cancel")

    went = server.client.post("/retention").json()
    assert names(went["pruned"]) == [("talk", "r1"), ("talk", "r0")]
    assert went["size_bytes"] == shown["size_bytes"]
    after = retention(server)
    assert names(after["pruned"]) == [("talk", "r0"), ("talk", "r1")]
    assert after["items"] == []
    left = {entry["run_id"] for entry in server.client.get("/trash").json()["items"]}
    assert {"r0", "r1"} <= left
    assert server.client.get("/episodes/talk/runs/latest").json()["run_id"] == "r2"


def test_it_happens_by_itself_when_a_server_starts(root: Path) -> None:
    with serving(root) as usual:
        run(usual, "other", "r8")
        run(usual, "other", "r9")
        assert retention(usual)["items"] == []
    with serving(root, SCREENALYTICS_KEEP_RUNS="2") as started:
        wait_for(
            lambda: ("other", "r0") in names(retention(started)["pruned"]), what="it to have gone"
        )
        assert started.client.get("/episodes/other/runs/r0").status_code == 404


def test_the_command_shows_first(root: Path) -> None:
    nothing = command(root)
    assert nothing.returncode == 2
    assert "Nothing says which runs stay" in nothing.stderr
    shown = command(root, "--keep", "1", "other")
    assert shown.returncode == 0, shown.stderr
    assert "other  r8  completed" in shown.stdout
    assert "Nothing was removed" in shown.stdout
    assert command(root, "--keep", "1", "other").stdout == shown.stdout
    done = command(root, "--keep", "1", "--yes", "other")
    assert done.returncode == 0, done.stderr
    assert "1 runs are in the trash" in done.stdout
    assert "0 runs" in command(root, "--keep", "1", "other").stdout
    assert command(root, "--keep", "1", "../../etc").returncode == 2
    assert command(root, "--keep", "0").returncode == 2
