"""Thousands of jobs and workers: what Redis is asked does not grow with what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.api.active_runs import WaitingJobs
from apps.api.webhook_events import batch_ended
from apps.common.batch_schemas import BatchRequest
from apps.common.errors import BatchNotFound
from apps.common.schemas import ActiveRun
from apps.common.settings import Settings
from apps.jobs.batches import BatchEntry, BatchStore
from apps.jobs.outbox import Outbox
from apps.jobs.queue import QUEUES, Publisher
from apps.jobs.reconcile import reconcile
from apps.jobs.store import JobRequest, JobStore, WorkerFacts
from lab.processes.queue import Redis, redis_server
from lab.processes.service import wait_for
from tests.support.jobs import IDLER, job_request

LEASE_S = 0.3
READS = ("hget", "hmget", "hgetall", "lrange")
WALKS = ("scan", "keys")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--appendonly", "no") as running:
        yield running


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    broker.ask("FLUSHALL")
    opened = JobStore(broker.url, LEASE_S)
    yield opened
    opened.close()


@pytest.fixture
def publisher(broker: Redis) -> Publisher:
    return Publisher(Settings(redis_url=broker.url))


def commands(broker: Redis, action: Callable[[], object]) -> Counter[str]:
    """How often Redis is asked what by the action."""
    broker.ask("CONFIG", "RESETSTAT")
    action()
    stats = broker.ask("INFO", "commandstats")
    return Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})


def waiting(store: JobStore, publisher: Publisher, root: Path, count: int) -> list[JobRequest]:
    """Jobs that are registered and sent, of which nobody has heard for a lease."""
    requests = [job_request(root, f"show-{number}") for number in range(count)]
    for request in requests:
        assert store.register(request) is None
        publisher.send(request)
    silent(store, requests[-1])
    return requests


def silent(store: JobStore, request: JobRequest) -> None:
    wait_for(lambda: store.read(request.job_id).silent_s > LEASE_S, what="a lease to pass")


def look(store: JobStore, publisher: Publisher) -> None:
    store.redis.delete("screenalytics:turn:reconcile")
    reconcile(store, publisher)


def next_message(broker: Redis) -> str:
    return str(broker.ask("LINDEX", QUEUES[0], -1))


def test_what_waits_in_the_queue_is_not_read_again(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    """By whoever looks after jobs; only the ends of the queues are read."""
    waiting(store, publisher, tmp_path, 40)
    asked = commands(broker, lambda: look(store, publisher))
    assert {name: asked[name] for name in READS} == {
        "hget": 0,
        "hmget": 0,
        "hgetall": 0,
        "lrange": len(QUEUES),
    }
    assert broker.ask("LLEN", QUEUES[0]) == 40


def test_a_message_that_is_lost_comes_again_when_its_turn_has_come(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    """Before all that wait, in the order of their turn; those behind are as they were."""
    requests = waiting(store, publisher, tmp_path, 5)
    lost = requests[:2]
    for request in lost:  # as by workers that die before they note it
        assert request.job_id in broker.ask("RPOP", QUEUES[0])
    look(store, publisher)
    assert broker.ask("LLEN", QUEUES[0]) == 5
    for request in requests:
        assert request.job_id in next_message(broker)
        broker.ask("RPOP", QUEUES[0])


def test_a_job_that_was_never_sent_keeps_its_turn(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    """The server died between registering and sending it, and others have come since."""
    never = job_request(tmp_path, "never")
    [first] = waiting(store, publisher, tmp_path / "first", 1)
    assert store.register(never) is None
    last = job_request(tmp_path, "last")
    assert store.register(last) is None
    publisher.send(last)
    silent(store, last)
    look(store, publisher)
    assert broker.ask("LLEN", QUEUES[0]) == 2  # it is not its turn
    assert first.job_id in broker.ask("RPOP", QUEUES[0])
    assert store.begin(first.job_id, "worker", "token") == "begun"
    look(store, publisher)
    assert never.job_id in next_message(broker)


def test_messages_of_jobs_that_have_ended_hide_none_that_is_lost(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    requests = waiting(store, publisher, tmp_path, 30)
    lost, *others = requests
    assert lost.job_id in broker.ask("RPOP", QUEUES[0])
    for request in others:
        assert store.cancel_now(request.job_id, {"detail": "not wanted"})
    look(store, publisher)
    assert lost.job_id in next_message(broker)


def test_low_jobs_are_looked_after_by_themselves(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    """Normal ones wait, and a low one was lost; its turn is after all of theirs."""
    low = job_request(tmp_path, "low").model_copy(update={"priority": "low"})
    assert store.register(low) is None
    waiting(store, publisher, tmp_path, 3)
    look(store, publisher)
    assert low.job_id in str(broker.ask("LRANGE", QUEUES[1], 0, -1))
    assert broker.ask("LLEN", QUEUES[0]) == 3


def test_whoever_shows_all_jobs_reads_each_that_waits_once(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    requests = waiting(store, publisher, tmp_path, 20)
    shown = WaitingJobs(store)
    assert commands(broker, shown.look)["hgetall"] == 20
    assert commands(broker, shown.look)["hgetall"] == 0
    assert store.begin(requests[3].job_id, "worker", "token") == "begun"
    lines: list[ActiveRun] = []
    asked = commands(broker, lambda: lines.extend(shown.look().jobs))
    assert asked["hgetall"] == 1
    order = [requests[3], *requests[:3], *requests[4:]]
    assert [line.job_id for line in lines] == [request.job_id for request in order]
    assert [line.state for line in lines] == ["in_progress", *["queued"] * 19]
    assert [line.ahead for line in lines] == [None, *range(1, 20)]
    assert store.hand_back(requests[3], "token") == "queued"
    assert [line.job_id for line in shown.look().jobs] == [one.job_id for one in requests]
    assert store.cancel_now(requests[0].job_id, {"detail": "not wanted"})
    assert [line.ahead for line in shown.look().jobs] == list(range(19))


def test_figures_read_no_job(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    requests = waiting(store, publisher, tmp_path, 10)
    low = job_request(tmp_path, "low").model_copy(update={"priority": "low"})
    assert store.register(low) is None
    assert store.begin(requests[0].job_id, "worker", "token") == "begun"
    asked = commands(broker, store.queue_figures)
    assert {name: asked[name] for name in READS} == dict.fromkeys(READS, 0)
    figures = store.queue_figures()
    assert (figures.waiting, figures.running) == (10, 1)
    assert LEASE_S < figures.oldest_s < 3600
    assert [job.request for job in store.running()] == [requests[0]]


def test_workers_are_found_without_a_look_at_all_keys(store: JobStore, broker: Redis) -> None:
    for number in range(300):
        store.redis.set(f"other:{number}", "")
        store.announce(named(f"worker-{number:03}"), 60)
    found: list[WorkerFacts] = []
    asked = commands(broker, lambda: found.extend(store.workers()))
    assert {name: asked[name] for name in WALKS} == dict.fromkeys(WALKS, 0)
    assert [one.name for one in found] == [f"worker-{number:03}" for number in range(300)]
    asked = commands(broker, store.worker_count)
    assert (asked["zcount"], asked["hget"]) == (1, 0)
    assert store.worker_count() == 300


def test_a_worker_that_says_nothing_leaves_nothing(store: JobStore, broker: Redis) -> None:
    store.announce(IDLER, 0.05)
    wait_for(lambda: store.worker_count() == 0, what="it to be forgotten")
    assert store.workers() == []
    other = named("other")
    store.announce(other, 60)
    assert broker.ask("HKEYS", "screenalytics:workers:facts") == ["other"]
    store.sign_off("other")
    assert store.workers() == []
    assert broker.ask("KEYS", "screenalytics:workers*") == []


def named(name: str) -> WorkerFacts:
    return IDLER.model_copy(update={"name": name})


def test_a_batch_that_is_forgotten_leaves_nothing(
    store: JobStore, broker: Redis, publisher: Publisher
) -> None:
    """Redis forgets it after a month; whoever looks after jobs takes it out of the lists."""
    Outbox(store).want_endings()
    batches = BatchStore(store)
    request = BatchRequest(episodes=["show"])
    for batch_id in ("old", "new"):
        batches.create(batch_id, "2026-01-01T00:00:00.000+00:00", request, ["show"])
        batches.resume(batch_id)
        batches.queued(batch_id)
    broker.ask("PEXPIRE", "screenalytics:batch:old", 1)
    wait_for(lambda: broker.ask("EXISTS", "screenalytics:batch:old") == 0, what="its end")
    look(store, publisher)
    assert mentions(broker, "old") == []
    assert batches.newest() == ["new"]
    assert sorted(Outbox(store).open_batches()) == [("new", 0), ("new", 1)]
    batches.forget("new")
    look(store, publisher)
    assert mentions(broker, "new") == []
    with pytest.raises(BatchNotFound):
        batches.read("new")


def test_whether_a_batch_has_ended_reads_no_job_while_one_waits(
    store: JobStore, broker: Redis, publisher: Publisher, tmp_path: Path
) -> None:
    """For each batch of an archive, again and again."""
    requests = waiting(store, publisher, tmp_path, 10)
    batches = BatchStore(store)
    names = [request.spec.ep_id for request in requests]
    created = "2026-01-01T00:00:00.000+00:00"
    batches.create("season", created, BatchRequest(episodes=names), names)
    for request in requests:
        batches.note("season", {request.spec.ep_id: BatchEntry(job_id=request.job_id)})
    batch = batches.read("season")
    for request in requests[1:]:
        assert store.cancel_now(request.job_id, {"detail": "not wanted"})
    assert commands(broker, lambda: batch_ended(batch, store))["hgetall"] == 0
    assert batch_ended(batch, store) is None
    assert store.cancel_now(requests[0].job_id, {"detail": "not wanted"})
    event = batch_ended(batch, store)
    assert event is not None
    assert event.data.status == "cancelled"


def mentions(broker: Redis, word: str) -> list[str]:
    """Keys that have the word in their name, or in what they hold."""
    found = []
    for key in broker.ask("KEYS", "*"):
        kind = broker.ask("TYPE", key)
        held = {
            "string": lambda k=key: broker.ask("GET", k),
            "hash": lambda k=key: broker.ask("HGETALL", k),
            "zset": lambda k=key: broker.ask("ZRANGE", k, 0, -1),
            "none": lambda: "",  # its time was up since
        }[kind]()
        if word in key or word in str(held):
            found.append(key)
    return found


def test_an_episode_forgets_jobs_that_redis_has_forgotten(store: JobStore, tmp_path: Path) -> None:
    """However often it is run, for however many years."""
    key = "screenalytics:episode:show:jobs"
    store.redis.zadd(key, {"job-of-long-ago": 1})
    request = job_request(tmp_path, "show")
    assert store.register(request) is None
    assert store.redis.zrange(key, 0, -1) == [request.job_id]
