"""Real servers and a real worker that share nothing but Redis and a bucket."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.processes.bucket import KEY, S3, SECRET, Faults, proxy, refuses
from lab.processes.queue import redis_server, worker
from lab.processes.service import Server, run_cli, serving, wait_for
from tests.objects.conftest import Storage
from tests.support.jobs import ended, job, submit

UNAVAILABLE = "urn:screenalytics:problem:storage-unavailable"
OPTIONS = {"stride": 24, "det_size": 320, "save_crops": True}


@dataclass
class Hosts:
    one: Server
    other: Server
    worker_log: Path
    faults: Faults
    environment: dict[str, str]
    storage: Storage


@pytest.fixture(scope="module")
def hosts(s3: S3, tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    bucket = s3.bucket()
    with ExitStack() as stack:
        url, faults = stack.enter_context(proxy(s3))
        broker = stack.enter_context(redis_server(folder / "redis"))
        environment = {
            "SCREENALYTICS_REDIS_URL": broker.url,
            "SCREENALYTICS_STORAGE": f"s3://{bucket}/shows",
            "SCREENALYTICS_STORAGE_REFRESH_S": "1",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        roots = [folder / name / "data" for name in ("one", "other", "worker")]
        for root in roots:
            root.mkdir(parents=True)
        servers = [stack.enter_context(serving(root, **environment)) for root in roots[:2]]
        own = {k: v for k, v in environment.items() if k != "SCREENALYTICS_REDIS_URL"}
        running = stack.enter_context(worker(roots[2], broker.url, **own))
        storage = Storage(s3, bucket, url, faults, folder)
        yield Hosts(*servers, running.log, faults, environment, storage)


def test_an_upload_here_is_run_there_and_read_elsewhere(hosts: Hosts, test_data: Path) -> None:
    video = (test_data / "videos" / "carphone_pristine.mp4").read_bytes()
    sent = hosts.one.client.post(
        "/episodes", data={"ep_id": "talk"}, files={"file": ("talk.mp4", video)}
    )
    assert sent.status_code == 201, sent.text
    wait_for(lambda: hosts.other.client.get("/episodes/talk").status_code == 200, what="it there")
    plan = hosts.other.client.post("/options/resolve", json={"ep_id": "talk", **OPTIONS}).json()
    assert (plan["effective_stride"], plan["frames_total"]) == (None, None)  # it knows no facts
    queued = submit(hosts.other, "talk", **OPTIONS)
    assert queued.status_code == 202, queued.text
    done = ended(hosts.other, queued.json()["job_id"])
    assert done["state"] == "success", done
    run_id = done["result"]["run_id"]
    assert done["result"]["warnings"] == []
    runs = [
        server.client.get(f"/episodes/talk/runs/{run_id}") for server in (hosts.one, hosts.other)
    ]
    assert [run.json()["status"] for run in runs] == ["completed", "completed"]
    for server in (hosts.one, hosts.other):
        wait_for(lambda server=server: latest(server) == run_id, what="the run in the list")
    address = f"/episodes/talk/runs/{run_id}"
    tracks = hosts.other.client.get(f"{address}/tracks").json()
    assert tracks["total"] == done["result"]["tracks"] > 0
    crop = tracks["items"][0]["sample_thumbs"][0]
    pictures = [
        server.client.get(f"{address}/{crop}").content for server in (hosts.one, hosts.other)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\xff\xd8")
    listed = hosts.other.client.get("/library").json()["items"][0]
    assert (listed["ep_id"], listed["video"]) == ("talk", "episode.mp4")
    assert not (hosts.other.data_root / "videos" / "talk" / "episode.mp4").exists()
    assert hosts.other.client.get("/episodes/talk/video").content == video
    assert hosts.one.client.post(f"{address}/preview").status_code == 200
    wait_for(
        lambda: hosts.other.client.get(f"{address}/preview").status_code == 200, 40, "the preview"
    )
    ready = hosts.other.client.get("/health/ready").json()["dependencies"]["storage"]
    assert ready == {"ok": True, "required": False, "detail": "answers"}


def test_an_upload_that_cannot_be_stored_is_kept_and_ends_when_it_can(
    hosts: Hosts, test_data: Path
) -> None:
    video = (test_data / "videos" / "carphone_pristine.mp4").read_bytes()
    words = {"ep_id": "kept", "filename": "kept.mp4", "modified": "1"}
    coded = {name: base64.b64encode(word.encode()).decode() for name, word in words.items()}
    tus = {"tus-resumable": "1.0.0"}
    told = {
        "upload-length": str(len(video)),
        "upload-metadata": ",".join(f"{name} {word}" for name, word in coded.items()),
    }
    made = hosts.one.client.post("/uploads", headers={**tus, **told})
    address, kind = made.headers["location"], {"content-type": "application/offset+octet-stream"}
    hosts.faults.add("PUT", "/videos/kept", refuses(403, "ExpiredToken"))
    sent = hosts.one.client.patch(
        address, headers={**tus, **kind, "upload-offset": "0"}, content=video
    )
    hosts.faults.rules.clear()
    assert (sent.status_code, sent.json()["type"]) == (503, UNAVAILABLE)
    assert "ExpiredToken" in sent.json()["detail"]
    assert hosts.one.client.get("/episodes/kept").status_code == 404
    end = {**tus, **kind, "upload-offset": str(len(video))}
    wait_for(
        lambda: hosts.one.client.patch(address, headers=end).status_code == 204, what="its end"
    )
    assert hosts.one.client.get("/episodes/kept").json()["size_bytes"] == len(video)
    wait_for(
        lambda: hosts.other.client.get("/episodes/kept").status_code == 200, what="it elsewhere"
    )


def latest(server: Server) -> str | None:
    item = next(iter(server.client.get("/episodes").json()["items"]), {})
    found: str | None = item.get("latest_run_id")
    return found


def test_a_job_waits_for_a_worker_that_can_bring_its_video(hosts: Hosts, test_data: Path) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    hosts.storage.s3.put(hosts.storage.bucket, "shows/videos/waits/episode.mp4", video.read_bytes())
    wait_for(lambda: hosts.one.client.get("/episodes/waits").status_code == 200, what="it there")
    hosts.faults.add("GET", "/videos/waits/", refuses(403, "AccessDenied"))
    try:
        queued = submit(hosts.one, "waits", **OPTIONS).json()["job_id"]
        wait_for(lambda: "job handed back" in hosts.worker_log.read_text(), 40, "it handed back")
        assert job(hosts.one, queued)["state"] in ("queued", "in_progress")
    finally:
        hosts.faults.rules.clear()
    done = ended(hosts.one, queued, 60)
    assert (done["state"], done["attempts"]) == ("success", 1)


def test_a_run_whose_storage_refuses_completes_says_so_and_is_stored_later(
    hosts: Hosts, test_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    hosts.faults.add("PUT", "/published/", refuses(403, "AccessDenied"))
    try:
        done = run_cli(
            root,
            *("--ep-id", "alone", "--video", str(test_data / "videos" / "carphone_pristine.mp4")),
            *("--stride", "60", "--det-size", "160", "--run-id", "first", "--events", "ndjson"),
            **hosts.environment,
        )
    finally:
        hosts.faults.rules.clear()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    (warning,) = (one for one in result["warnings"] if "this host alone" in one)
    assert "refuses the credentials (AccessDenied)" in warning
    folder = root / "manifests" / "alone" / "runs" / "first"
    assert warning in (folder / "run.log").read_text()
    assert hosts.one.client.get("/episodes/alone/runs/first").status_code == 404
    own = {k: v for k, v in hosts.environment.items() if k != "SCREENALYTICS_REDIS_URL"}
    with serving(root, **own) as server:  # which looks after what waits
        found = "/episodes/alone/runs/first"
        wait_for(lambda: hosts.one.client.get(found).status_code == 200, 40, "the run elsewhere")
        assert server.client.get(found).json() == hosts.one.client.get(found).json()
    everything = done.stdout + done.stderr + server.log.read_text()
    everything += "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    for log in (hosts.one.log, hosts.other.log):
        everything += log.read_text()
    assert KEY not in everything
    assert SECRET not in everything
