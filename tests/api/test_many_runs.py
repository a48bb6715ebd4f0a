"""An episode with very many runs: a page is cut out before manifests are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.processes.service import Server, add_episode, run_cli, serving

MANY = 5_000


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> dict[str, Any]:
    """Of a real run."""
    root = tmp_path_factory.mktemp("one") / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    done = run_cli(root, "--ep-id", "talk", "--stride", "48", "--run-id", "real")
    assert done.returncode == 0, done.stderr
    text = (root / "manifests" / "talk" / "runs" / "real" / "run.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("many") / "data") as running:
        yield running


def add_runs(server: Server, manifest: dict[str, Any], count: int, ep_id: str) -> None:
    """The first one is the newest; names and times of files tell nothing."""
    body = {**manifest, "ep_id": ep_id, "run_id": "RUN-ID", "started_at": "STARTED-AT"}
    body["result"] = {**manifest["result"], "ep_id": ep_id, "run_id": "RUN-ID"}
    text = json.dumps(body, indent=2)
    runs = server.data_root / "manifests" / ep_id / "runs"
    runs.mkdir(parents=True)
    for number in range(count):
        run_id = f"r{number * 7919 % count:05d}"
        folder = runs / run_id
        folder.mkdir()
        started = f"2026-01-01T{(count - number) // 3600:02d}:{(count - number) % 3600:04d}"
        own = text.replace("RUN-ID", run_id).replace("STARTED-AT", started)
        (folder / "run.json").write_text(own)


def ids(server: Server, ep_id: str, **query: int) -> tuple[list[str], int]:
    answer = server.client.get(f"/episodes/{ep_id}/runs", params=query).json()
    return [run["run_id"] for run in answer["items"]], answer["total"]


def test_pages_are_newest_first(server: Server, manifest: dict[str, Any]) -> None:
    add_runs(server, manifest, 50, "pages")
    newest_first = [f"r{number * 7919 % 50:05d}" for number in range(50)]
    assert ids(server, "pages") == (newest_first, 50)
    assert ids(server, "pages", limit=10) == (newest_first[:10], 50)
    assert ids(server, "pages", offset=45, limit=10) == (newest_first[45:], 50)
    assert ids(server, "pages", offset=50) == ([], 50)


def test_other_pages_are_not_read(server: Server, manifest: dict[str, Any]) -> None:
    """Of the older runs only the beginnings of their manifests are left."""
    add_runs(server, manifest, 50, "cut")
    runs = server.data_root / "manifests" / "cut" / "runs"
    newest, _ = ids(server, "cut", limit=10)
    for path in runs.glob("*/run.json"):
        if path.parent.name not in newest:
            path.write_bytes(path.read_bytes()[:1024])
    assert ids(server, "cut", limit=10) == (newest, 50)
    assert ids(server, "cut") == (newest, 50)
    server.data_root.joinpath("videos", "cut").mkdir(parents=True)
    assert server.client.get("/episodes").json()["items"][0]["runs"] == 50
    assert server.client.get("/episodes/cut").json()["runs"] == 50


@pytest.mark.alone
def test_5000_runs_are_listed_in_little_time_and_memory(
    server: Server, manifest: dict[str, Any]
) -> None:
    """All of them at once took 3 s and 190 MB. CPU seconds, whatever else the machine does."""
    add_runs(server, manifest, MANY, "many")
    process = psutil.Process(server.process.pid)
    before, start = process.memory_info().rss, sum(process.cpu_times())
    items, total = ids(server, "many")
    cpu_seconds, grown = sum(process.cpu_times()) - start, process.memory_info().rss - before
    print(f"{cpu_seconds:.2f} s, {grown / 1e6:.0f} MB")
    assert (len(items), total) == (1000, MANY)
    assert cpu_seconds < 1
    assert grown < 60e6
