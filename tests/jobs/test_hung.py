"""A Redis that hangs delays nobody who does not need it."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from apps.common.errors import QueueUnavailable
from apps.jobs.store import JobStore
from lab.processes.queue import redis_server
from lab.processes.service import add_episode, serving, wait_for

READERS = 200


@pytest.mark.alone
def test_two_hundred_readers_of_a_redis_that_hangs(tmp_path: Path) -> None:
    data_root = tmp_path / "data"
    with (
        redis_server(tmp_path / "redis") as redis,
        serving(data_root, SCREENALYTICS_REDIS_URL=redis.url) as server,
    ):
        assert redis.process is not None
        for path in ("/version", "/options", "/episodes"):
            assert server.client.get(path).status_code == 200
        redis.process.send_signal(signal.SIGSTOP)
        try:
            readers = [_ask(server.port) for _ in range(READERS)]
            times = [_seconds(server.client, p) for p in ("/version", "/episodes", "/version")]
            answers = [_answer(reader) for reader in readers]
        finally:
            redis.process.send_signal(signal.SIGCONT)
        assert all("Redis does not answer in time" in answer for answer in answers)
        assert max(times) < 1.5, times
        wait_for(lambda: server.client.get("/celery_jobs").json()["queue_problem"] is None)


def test_a_redis_that_hangs_is_not_asked_again_at_once(tmp_path: Path) -> None:
    """Whoever waited in vain spares the next ones that: few threads wait, however many ask."""
    calls = 6
    with redis_server(tmp_path / "redis") as redis:
        assert redis.process is not None
        store = JobStore(redis.url, 3)
        before = redis.ask("INFO")["total_connections_received"]
        redis.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(calls):
                with pytest.raises(QueueUnavailable, match="in time"):
                    store.check()
        finally:
            redis.process.send_signal(signal.SIGCONT)
        asked = redis.ask("INFO")["total_connections_received"] - before - 1  # but for this one
        assert asked < calls / 2
        wait_for(lambda: _works(store), what="it to be asked again")
        store.close()


def _works(store: JobStore) -> bool:
    try:
        store.check()
    except QueueUnavailable:
        return False
    return True


def test_a_comparison_beside_a_redis_that_hangs(tmp_path: Path, test_data: Path) -> None:
    """Each run's episode is free when its answer arrives, so the next one can begin."""
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    with (
        redis_server(tmp_path / "redis") as redis,
        serving(data_root, SCREENALYTICS_REDIS_URL=redis.url) as server,
    ):
        assert redis.process is not None
        redis.process.send_signal(signal.SIGSTOP)
        try:
            body = {"repeat": 1, "options": {"stride": 120}}
            answer = server.client.post("/episodes/talk/comparisons", json=body)
        finally:
            redis.process.send_signal(signal.SIGCONT)
    assert answer.status_code == 200, answer.text
    assert [summary["mode"] for summary in answer.json()["summaries"]] == ["cli", "sse", "local"]
    assert "redis was left out: Redis does not answer in time" in answer.text


def _ask(port: int) -> socket.socket:
    """A reader of the queue, which waits for its answer."""
    reader = socket.create_connection(("127.0.0.1", port), timeout=60)
    reader.sendall(b"GET /celery_jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    return reader


def _answer(reader: socket.socket) -> str:
    with reader, reader.makefile("rb") as lines:
        return lines.read().decode()


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.monotonic()
    assert client.get(path).status_code == 200
    return time.monotonic() - start
