"""Who is told when runs and batches end: real servers, workers and runs, and a real receiver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import Server, add_episode, serving, wait_for
from tests.support.jobs import ended, submit
from tests.support.receiver import SECRET, Received, Receiver, receiving

BATCH = "/celery_jobs/detect_track/batch"
QUICK = {"stride": 60, "det_size": 160, "people": False}
SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 10}
KEY = SECRET.removeprefix("whsec_")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("told") / "data"
    for ep_id in ("one", "two", "three"):
        add_episode(root, ep_id, test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def working(root: Path, redis: Redis) -> Iterator[Worker]:
    with worker(root, redis.url) as running:
        yield running


@pytest.fixture
def told(redis: Redis) -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def telling(root: Path, redis: Redis, told: Receiver) -> AbstractContextManager[Server]:
    return serving(
        root,
        SCREENALYTICS_REDIS_URL=redis.url,
        SCREENALYTICS_WEBHOOK_URL=told.url,
        SCREENALYTICS_WEBHOOK_HOSTS="127.0.0.1",
        SCREENALYTICS_WEBHOOK_SECRET=SECRET,
    )


def event_of(told: Receiver, name: str, value: str) -> Received:
    """The first one whose data has this."""

    def found() -> list[Received]:
        return [one for one in told.received if one.event["data"].get(name) == value]

    wait_for(found, 40, f"the end of {value}")
    return found()[0]


def run_locally(server: Server, ep_id: str, **options: Any) -> None:
    with server.another_client(60) as client:
        try:
            body = {"ep_id": ep_id, "execution_mode": "local", **options}
            client.post("/celery_jobs/detect_track", json=body)
        except httpx.TransportError:
            pass  # the server is gone


def test_runs_and_batches_that_end(
    root: Path, redis: Redis, told: Receiver, working: Worker
) -> None:
    with telling(root, redis, told) as server:
        # By a request that waits, by a job, and by a batch of which one episode has no video.
        run_locally(server, "one", **QUICK)
        local = event_of(told, "execution_mode", "local").event["data"]
        assert (local["ep_id"], local["status"], local["job_id"]) == ("one", "completed", None)
        assert server.client.get(local["links"]["run"]).json()["status"] == "completed"
        job_id = submit(server, "one", **QUICK).json()["job_id"]
        queued = event_of(told, "job_id", job_id).event["data"]
        assert (queued["status"], queued["batch_id"]) == ("completed", None)
        assert queued["elapsed_seconds"] == ended(server, job_id)["result"]["elapsed_seconds"]
        body = {"episodes": ["one", "two", "empty"], **QUICK}
        batch = server.client.post(BATCH, json=body).json()
        wait_for(lambda: told.of("batch.ended"), 40, "the end of the batch")
        of_batch = told.of("batch.ended")[0].event
        assert of_batch["id"] == f"evt-{batch['batch_id']}-0"
        assert of_batch["data"]["status"] == "failed"
        assert of_batch["data"]["counts"] == {"success": 2, "refused": 1}
        assert server.client.get(of_batch["data"]["links"]["batch"]).json()["state"] == "failed"
        runs = [one.event["data"] for one in told.of("run.ended")]
        assert [run["batch_id"] for run in runs[2:]] == [batch["batch_id"]] * 2
        # It is tried again: told again, as another event.
        server.client.post(f"{BATCH}/{batch['batch_id']}/retry")
        wait_for(lambda: len(told.of("batch.ended")) == 2, 40, "the end of the second round")
        assert told.of("batch.ended")[1].event["id"] == f"evt-{batch['batch_id']}-1"
        assert all(one.is_signed for one in told.received)
        ids = [one.headers["webhook-id"] for one in told.received]
        assert len(ids) == len(set(ids)) == 6
        figures = server.client.get("/metrics").text
        assert "screenalytics_webhooks_waiting 0.0" in figures
        assert 'screenalytics_webhooks_total{outcome="sent"} 6.0' in figures
        logs = server.log.read_text() + working.log.read_text()
    assert logs.count("webhook sent") == 6
    manifests = [path.read_text() for path in root.glob("manifests/**/*.json")]
    assert manifests
    for text in (logs, figures, *manifests):
        assert KEY not in text
        assert "/hook" not in text


def test_a_server_that_is_killed(root: Path, redis: Redis, told: Receiver, working: Worker) -> None:
    """What it had still to tell, and the local run that died with it, are told by the next one."""
    told.answers = [500] * 3
    with telling(root, redis, told) as server:
        job_id = submit(server, "two", **QUICK).json()["job_id"]
        wait_for(lambda: told.received, 40, "the first try")
        client = threading.Thread(target=run_locally, args=(server, "three"), kwargs=SLOW)
        client.start()
        wait_for(server.run_processes, what="the local run")
        noted = lambda: redis.ask("KEYS", "screenalytics:webhook:local:*")  # noqa: E731
        wait_for(noted, what="the note of the local run")
        server.process.kill()
        client.join()
    told.answers = []
    with telling(root, redis, told) as server:
        local = event_of(told, "ep_id", "three").event["data"]
        assert local["execution_mode"] == "local"
        assert local["status"] in ("failed", "cancelled")
        wait_for(lambda: not noted(), what="the note to go")
        nothing_waits = "screenalytics_webhooks_waiting 0.0"
        figures = lambda: server.client.get("/metrics").text  # noqa: E731
        wait_for(lambda: nothing_waits in figures(), 40, "the rest to be sent")
    queued = [one for one in told.received if one.event["data"]["job_id"] == job_id]
    assert len(queued) > 1
    assert len({(one.body, one.headers["webhook-id"]) for one in queued}) == 1
    assert all(one.is_signed for one in told.received)


def test_a_redis_that_is_away_delays_no_run(root: Path, tmp_path: Path, told: Receiver) -> None:
    with redis_server(tmp_path / "redis") as own, telling(root, own, told) as server:
        own.stop()
        run_locally(server, "one", **QUICK)
        runs = server.client.get("/episodes/one/runs").json()["items"]
        assert runs[0]["status"] == "completed"
        assert told.received == []
        own.start()
        event = event_of(told, "execution_mode", "local").event["data"]
        assert event["run_id"] == runs[0]["run_id"]
