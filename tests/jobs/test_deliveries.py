"""Deliveries too many and too few: a job begins once, and is never forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.common.settings import Settings
from apps.jobs.queue import QUEUE, Publisher
from apps.jobs.store import JobStore
from lab.processes.link import linked
from lab.processes.queue import LEASE_SECONDS, Redis, redis_server, worker
from lab.processes.service import Server, wait_for
from tests.support.jobs import IDLER, ended, job, job_request, submit

LEASE_S = float(LEASE_SECONDS)
SLOW = {"stride": 30, "det_size": 320, "max_cpu_percent": 5}  # twenty seconds, mostly at rest


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, LEASE_S)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_left(server: Server, broker: Redis) -> Iterator[None]:
    yield
    for item in server.client.get("/celery_jobs").json()["items"]:
        if item["job_id"] is not None:
            server.client.post(f"/celery_jobs/{item['job_id']}/cancel")
    broker.ask("DEL", QUEUE, "unacked", "unacked_index")


def runs_of(server: Server, ep_id: str, run_id: str) -> list[str]:
    runs = server.client.get(f"/episodes/{ep_id}/runs").json()["items"]
    return [run["status"] for run in runs if run["run_id"] == run_id]


@pytest.mark.trap(25, 32)
def test_a_lost_connection_is_no_death(server: Server, broker: Redis, data_root: Path) -> None:
    """The message comes again; the run goes on, is counted once, and parks nobody."""
    # Its words about neighbours say that it has all its connections again.
    with worker(data_root, broker.url, concurrency=2, mingles=True) as working:

        def said(words: str) -> int:
            return working.log.read_text().count(words)

        long = submit(server, "show", **SLOW).json()
        wait_for(working.runs, what="the run")
        for number in range(6):  # more often than a worker may die
            broker.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            broker.ask("CLIENT", "KILL", "TYPE", "pubsub")
            wait_for(lambda n=number: said("sync complete") + said("all alone") > n + 1)
        wait_for(lambda: said("delivery dropped"), what="a second delivery")
        assert job(server, long["job_id"])["state"] == "in_progress"
        short = submit(server, "talk", stride=120).json()["job_id"]
        assert ended(server, short)["state"] == "success"  # by the other process
        assert job(server, long["job_id"])["state"] == "in_progress"
        end = ended(server, long["job_id"], within=60)
    assert (end["state"], end["attempts"]) == ("success", 1)
    assert runs_of(server, "show", long["run_id"]) == ["completed"]


def test_a_second_message_is_dropped_while_the_first_is_worked_on(
    server: Server, broker: Redis, data_root: Path, store: JobStore
) -> None:
    with worker(data_root, broker.url) as one, worker(data_root, broker.url) as two:
        accepted = submit(server, "show", stride=30, det_size=320, max_cpu_percent=12).json()
        first = wait_for(lambda: [w for w in (one, two) if w.runs()], what="the run")[0]
        second = two if first is one else one
        publisher = Publisher(Settings(redis_url=broker.url))
        for _ in range(7):
            publisher.send(store.read(accepted["job_id"]).request)
        wait_for(lambda: second.log.read_text().count("delivery dropped") == 7)
        first.kill()  # nothing is left of any message: the job is sent again
        again = lambda: job(server, accepted["job_id"])["attempts"] == 2  # noqa: E731
        wait_for(again, 8 * LEASE_S)
        end = ended(server, accepted["job_id"])
    assert end["state"] == "success"
    assert runs_of(server, "show", accepted["run_id"]) == ["completed"]


def test_a_begin_that_is_sent_twice_counts_once(data_root: Path, store: JobStore) -> None:
    """As where the connection breaks before its answer; another delivery's is told apart."""
    request = job_request(data_root, "talk", stride=120)
    assert store.register(request) is None
    answers = [store.begin(request.job_id, "worker", token) for token in ("one", "one", "two")]
    assert answers == ["begun", "begun", "elsewhere"]
    assert store.read(request.job_id).attempts == 1
    assert store.cancel_now(request.job_id, {"detail": "no longer wanted"})


def test_a_worker_looks_after_jobs_where_no_api_is(data_root: Path, tmp_path: Path) -> None:
    """The API was killed between the two, and nobody has started another one."""
    with redis_server(tmp_path / "redis") as other, worker(data_root, other.url) as running:
        store = JobStore(other.url, LEASE_S)
        request = job_request(data_root, "talk", stride=120)
        assert store.register(request) is None
        wait_for(lambda: store.read(request.job_id).is_finished, 30, "the job's end")
        assert store.read(request.job_id).state == "success"
        store.close()
        assert "job sent again" in running.log.read_text()


def test_one_program_looks_at_a_time(broker: Redis, store: JobStore) -> None:
    """Whoever looks has the turn for a while, however many programs there are."""
    other = JobStore(broker.url, LEASE_S)
    assert store.take_turn("test", 0.5)
    assert not other.take_turn("test", 0.5)
    assert not store.take_turn("test", 0.5)
    wait_for(lambda: other.take_turn("test", 60), what="the turn to end")
    assert not store.take_turn("test", 60)
    other.close()


def test_registered_and_never_sent_taken_and_never_noted(
    server: Server, broker: Redis, data_root: Path, store: JobStore
) -> None:
    """As when the API is killed between the first two, or a worker between the others.

    An API looks after jobs where no worker is, and the next worker does them.
    """
    store.announce(IDLER, 60)
    taken = submit(server, "show", stride=120, det_size=320).json()["job_id"]
    assert taken in broker.ask("RPOP", QUEUE)  # as a worker does
    request = job_request(data_root, "talk", stride=120)
    assert store.register(request) is None
    assert submit(server, "talk").status_code == 409
    sent = lambda: [e for e in broker.ask("LRANGE", QUEUE, 0, -1) if request.job_id in e]  # noqa: E731
    assert len(wait_for(sent, what="the job to be sent")) == 1
    assert job(server, request.job_id)["state"] == "queued"
    store.sign_off(IDLER.name)
    with worker(data_root, broker.url):
        assert ended(server, request.job_id)["state"] == "success"
        assert ended(server, taken)["state"] == "success"


def test_begun_and_forgotten(server: Server, broker: Redis, data_root: Path) -> None:
    """The worker is killed, and Redis knows nothing of its message any more."""
    with worker(data_root, broker.url) as first:
        accepted = submit(server, "show", **SLOW).json()["job_id"]
        wait_for(first.runs, what="the run")
        first.kill()
        broker.ask("DEL", "unacked", "unacked_index", QUEUE)
        lapsed = lambda: job(server, accepted)["state"] == "retrying"  # noqa: E731
        wait_for(lapsed, what="the lease to lapse")
        with worker(data_root, broker.url):
            again = lambda: job(server, accepted)["attempts"] == 2  # noqa: E731
            wait_for(again, what="the second try")
            assert server.client.post(f"/celery_jobs/{accepted}/cancel").status_code == 200
            assert ended(server, accepted)["state"] == "cancelled"


def test_a_job_that_waits_its_turn_is_not_sent_again(
    server: Server, broker: Redis, data_root: Path, store: JobStore
) -> None:
    """Nobody works, for several leases; the API looks after jobs all the time."""
    store.announce(IDLER, 60)
    accepted = submit(server, "talk", stride=120).json()["job_id"]
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - since > 3 * LEASE_S, what="some leases to pass")
    assert broker.ask("LLEN", QUEUE) == 1
    assert job(server, accepted)["state"] == "queued"
    assert server.client.post(f"/celery_jobs/{accepted}/cancel").json()["state"] == "cancelled"
    store.sign_off(IDLER.name)
    broker.ask("DEL", QUEUE)


def test_a_job_is_sent_though_the_connection_breaks_while_its_queue_is_declared(
    broker: Redis, tmp_path: Path
) -> None:
    with linked(broker.port) as link:
        publisher = Publisher(Settings(redis_url=f"redis://127.0.0.1:{link.port}/0"))
        link.breaks_at = b"_kombu.binding"
        publisher.send(job_request(tmp_path, "show"))
        assert link.breaks_at is None
    assert broker.ask("LLEN", QUEUE) == 1
