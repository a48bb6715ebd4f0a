"""What Redis holds was damaged, or is gone: nobody answers 500 for it, nobody dies of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.jobs.queue import QUEUE
from apps.jobs.store import JobStore
from lab.processes.queue import LEASE_SECONDS, Redis, worker
from lab.processes.service import Server, wait_for
from tests.support.jobs import IDLER, ended, job_request, submit

_INFO = '"delivery_info": {"exchange": "", "routing_key": "detect_track"}'
_TAG = f'{{"delivery_tag": "a", "body_encoding": "base64", {_INFO}}}'
_TASK = '{"task": "screenalytics.detect_track", "id": "x"}'
_TYPE = '"content-type": "application/json", "content-encoding": "utf-8"'
NO_MESSAGES = [
    "5", "null", '"text"', "[]", "{}", "[1, {}]", "no JSON", "{", "\xff",
    '{"body": 1}',
    '{"body": "", "properties": {}}',
    '{"body": "", "properties": {"delivery_tag": 1, "delivery_info": {}}}',
    f'{{"body": "", "headers": 1, "properties": {_TAG}}}',
    f'{{"body": "", "headers": {{}}, "properties": {_TAG}, {_TYPE}}}',
    f'{{"body": "!", "headers": {_TASK}, "properties": {_TAG}, {_TYPE}}}',
    f'{{"body": "NQ==", "headers": {_TASK}, "properties": {_TAG}, {_TYPE}}}',
    f'{{"body": "W1tdLHt9LHt9XQ==", "headers": {_TASK}, "properties": {_TAG}}}',
    f'{{"body": "W1tdLHt9LHt9XQ==", "headers": {_TASK}, "properties": {_TAG}, {_TYPE}}}',
]  # fmt: skip


def damage(kind: str, broker: Redis, key: str) -> None:
    match kind:
        case "no job":
            broker.ask("HSET", key, "static", '{"some": "JSON"}')
        case "no JSON":
            broker.ask("HSET", key, "static", "\xff{")
        case "other state":
            broker.ask("HSET", key, "state", "perhaps")
        case "no number":
            broker.ask("HSET", key, "attempts", "many", "beat", "nan?")
        case "outcome":
            broker.ask("HSET", key, "outcome", "[[[[")
        case "other type":
            broker.ask("DEL", key)
            broker.ask("SET", key, "text")
        case "half":
            broker.ask("HDEL", key, "static", "attempts")


KINDS = ["no job", "no JSON", "other state", "no number", "outcome", "other type", "half"]


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, float(LEASE_SECONDS))
    yield opened
    opened.close()


def damaged(store: JobStore, broker: Redis, data_root: Path, ep_id: str, kind: str) -> str:
    """The id of a registered job whose record was damaged."""
    request = job_request(data_root, ep_id, stride=120)
    assert store.register(request) is None
    damage(kind, broker, f"screenalytics:job:{request.job_id}")
    return request.job_id


def are_ended(broker: Redis) -> None:
    wait_for(lambda: broker.ask("ZCARD", "screenalytics:active") == 0, what="them to be ended")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record(
    server: Server, broker: Redis, data_root: Path, store: JobStore, kind: str
) -> None:
    """Lists pass over it, its own address says what it is, and its episode is free soon."""
    job_id = damaged(store, broker, data_root, "talk", kind)
    broker.ask("ZADD", "screenalytics:workers", "+inf", "odd")
    broker.ask("HSET", "screenalytics:workers:facts", "odd", "no facts")
    broker.ask("HSET", "screenalytics:counts", "odd", "many")
    for path in ("/celery_jobs", "/celery_jobs?ep_id=talk", "/metrics"):
        answer = server.client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert job_id not in answer.text
    alone = server.client.get(f"/celery_jobs/{job_id}")
    assert alone.headers["content-type"] == "application/problem+json"
    assert alone.json()["type"].endswith(":job-unreadable")
    are_ended(broker)
    store.announce(IDLER, 60)
    again = submit(server, "talk", stride=120)
    store.sign_off(IDLER.name)
    assert again.status_code == 202, again.text
    assert server.client.post(again.headers["location"] + "/cancel").json()["state"] == "cancelled"
    broker.ask("DEL", QUEUE)


def test_a_worker_beside_damaged_records_and_entries_that_are_no_messages(
    server: Server, broker: Redis, data_root: Path, store: JobStore
) -> None:
    """The last entry is a message that names no job, which Celery itself refuses."""
    episodes = ["talk", *(f"other-{number}" for number in range(len(KINDS) - 1))]
    ids = [
        damaged(store, broker, data_root, ep_id, kind)
        for ep_id, kind in zip(episodes, KINDS, strict=True)
    ]
    broker.ask("ZADD", "screenalytics:workers", "+inf", "odd")
    broker.ask("HSET", "screenalytics:workers:facts", "odd", "no facts")
    broker.ask("HSET", "screenalytics:counts", "odd", "many")
    ready = server.client.get("/health/ready")
    assert ready.status_code == 200, ready.text
    assert not [job_id for job_id in ids if job_id in ready.text]
    with worker(data_root, broker.url) as running:
        for entry in NO_MESSAGES:
            broker.ask("LPUSH", QUEUE, entry)
        wait_for(lambda: broker.ask("LLEN", QUEUE) == 0, what="the queue to be read")
        are_ended(broker)
        accepted = submit(server, "talk", stride=120).json()["job_id"]
        assert ended(server, accepted)["state"] == "success"
        assert running.process.poll() is None
        assert running.log.read_text().count("dropped an entry") == len(NO_MESSAGES) - 1


def test_redis_is_emptied_while_a_job_runs(server: Server, broker: Redis, data_root: Path) -> None:
    """Its results are published; nothing of it comes back without an end in Redis."""
    with worker(data_root, broker.url) as running:
        accepted = submit(server, "show", stride=30, det_size=320, max_cpu_percent=15).json()
        wait_for(running.runs, what="the run")
        broker.ask("FLUSHALL")
        wait_for(lambda: "Redis has lost the job" in running.log.read_text(), what="its words")
        assert server.client.get(f"/celery_jobs/{accepted['job_id']}").status_code == 404
        run = f"/episodes/show/runs/{accepted['run_id']}"
        completed = lambda: server.client.get(run).json().get("status") == "completed"  # noqa: E731
        wait_for(completed, 40)
        assert broker.ask("KEYS", "screenalytics:job:*") == []
        again = submit(server, "talk", stride=120)
        assert again.status_code == 202, again.text
        assert ended(server, again.json()["job_id"])["state"] == "success"
