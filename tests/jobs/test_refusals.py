"""A Redis that answers and refuses: every program says what it is and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis._parsers import BaseParser

from apps.common.errors import QueueUnavailable
from apps.common.settings import Settings
from apps.jobs.queue import Publisher
from apps.jobs.redis_errors import queue_unavailable
from apps.jobs.store import JobStore
from lab.processes.ports import free_port
from lab.processes.queue import Redis, redis_server, worker
from lab.processes.service import add_episode, serving, wait_for
from tests.support.jobs import ended, job_request, submit

PASSWORD = "pa5sw0rd"

# Each kind: how the server is made to refuse, its address, and what is said.


@contextmanager
def out_of_memory(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        server.ask("CONFIG", "SET", "maxmemory", 1)
        yield server.url


@contextmanager
def cannot_save(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        shutil.rmtree(folder)
        server.ask("BGSAVE")
        wait_for(lambda: server.ask("INFO")["rdb_last_bgsave_status"] == "err", what="the failure")
        server.ask("CONFIG", "SET", "save", "3600 1")
        yield server.url
        server.ask("CONFIG", "SET", "save", "")  # else it would not stop


@contextmanager
def replica(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        server.ask("REPLICAOF", "127.0.0.1", free_port())
        yield server.url


@contextmanager
def no_password(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        server.ask("CONFIG", "SET", "requirepass", PASSWORD)
        yield server.url


@contextmanager
def wrong_password(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        server.ask("CONFIG", "SET", "requirepass", PASSWORD)
        yield f"redis://:wrong@127.0.0.1:{server.port}/0"


@contextmanager
def few_rights(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        server.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection")
        yield f"redis://reader:secret@127.0.0.1:{server.port}/0"


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    port = free_port(above=10_000)  # where members talk to each other
    server = Redis(folder, port, options=("--cluster-enabled", "yes"))
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@contextmanager
def no_such_database(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        yield f"redis://127.0.0.1:{server.port}/99"


@contextmanager
def full(folder: Path) -> Iterator[str]:
    with (
        redis_server(folder, "--maxclients", "1") as server,
        redis.Redis(port=server.port) as client,
    ):
        wait_for(lambda: _is_in(client), what="the only connection")
        yield server.url


def _is_in(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:  # of the moment before, the server's last connection is not gone yet
        return False


@contextmanager
def no_replicas(folder: Path) -> Iterator[str]:
    with redis_server(folder, "--min-replicas-to-write", "1") as server:
        yield server.url


@pytest.mark.parametrize(
    ("kind", "detail", "hint"),
    [
        (out_of_memory, "out of memory", "maxmemory"),
        (cannot_save, "could not save", "space and rights"),
        (replica, "read-only replica", "primary"),
        (no_password, "wants a password", "redis://:PASSWORD@"),
        (wrong_password, "refuses the user name or password", "Correct"),
        (few_rights, "does not let this user", "all keys"),
        (cluster, "part of a cluster", "a single server"),
        (no_such_database, "no database of that number", "Correct"),
        (full, "no more connections", "maxclients"),
        (no_replicas, "too few replicas", "min-replicas-to-write"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_refusal_has_its_words(tmp_path: Path, kind, detail: str, hint: str) -> None:
    with kind(tmp_path / "redis") as url:
        store = JobStore(url, 1)
        with pytest.raises(QueueUnavailable) as caught:
            store.check()
        store.close()
        with pytest.raises(QueueUnavailable) as sending:
            Publisher(Settings(redis_url=url)).send(job_request(tmp_path, "talk"))
    assert detail in caught.value.detail
    assert hint in str(caught.value.hint)
    assert PASSWORD not in caught.value.detail + str(caught.value.hint)
    assert sending.value.detail == caught.value.detail


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ("LOADING Redis is loading the dataset in memory", "is loading"),
        ("MASTERDOWN Link with MASTER is down", "lost its primary"),
        ("BUSY Redis is busy running a script.", "busy with a script"),
        ("MOVED 3999 127.0.0.1:6381", "part of a cluster"),
        (
            "ERR Error running script (call to f_0): @user_script:5: -OOM command not allowed",
            "memory",
        ),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "refuses: WRONGTYPE"),
    ],
)
def test_words_of_redis(said: str, detail: str) -> None:
    """Of states that no test brings about, as redis-py reads them from the wire."""
    assert detail in queue_unavailable(BaseParser.parse_error(said)).detail


def test_a_redis_that_refuses_for_a_while(tmp_path: Path, test_data: Path) -> None:
    """Ready and requests say why; the worker outlives it, and a job that was on completes."""
    data_root = tmp_path / "data"
    add_episode(data_root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    with (
        redis_server(tmp_path / "redis") as redis_,
        serving(data_root, SCREENALYTICS_REDIS_URL=redis_.url, SCREENALYTICS_LEASE_S="3") as server,
        worker(data_root, redis_.url) as working,
    ):
        job = submit(server, "show", stride=30, det_size=320, max_cpu_percent=9).json()["job_id"]
        wait_for(working.runs, what="the run")
        for refuse, accept, words in (
            (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0), "memory"),
            (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE"), "read-only replica"),
        ):
            redis_.ask(*refuse)
            ready = server.client.get("/health/ready")
            answer = submit(server, "talk")
            metrics = server.client.get("/metrics").text
            redis_.ask(*accept)
            assert ready.status_code == 200  # local mode works
            assert words in ready.json()["dependencies"]["redis"]["detail"]
            assert not ready.json()["dependencies"]["redis"]["ok"]
            assert answer.status_code == 503
            assert words in answer.json()["detail"]
            assert "screenalytics_redis_up 0.0" in metrics
        assert ended(server, job)["state"] == "success"
        accepts = lambda: submit(server, "talk", stride=120).status_code == 202  # noqa: E731
        wait_for(accepts, what="the queue")
        second = server.client.get("/celery_jobs", params={"ep_id": "talk"}).json()["items"][0]
        assert ended(server, second["job_id"])["state"] == "success"
        assert working.process.poll() is None
