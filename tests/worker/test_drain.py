"""A worker that is told to stop finishes its job, or hands it back; another one does it at once."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.common.settings import Settings
from apps.jobs.queue import QUEUE, Publisher, put_first
from apps.jobs.store import JobRequest, JobStore, QueueJob
from apps.worker.drain import ENDING_SECONDS, Drain
from lab.processes.queue import Redis, Worker, worker
from lab.processes.service import add_episode, wait_for
from tests.support.jobs import job_request

LEASE_S = "60"  # longer than any test: what waits for a lease to lapse does not pass
SLOW = {"stride": 30, "det_size": 320, "max_cpu_percent": 5}  # twenty seconds, mostly at rest


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("drain") / "data"
    for name in ("show", "talk", "walk"):
        add_episode(root, name, test_data / "videos" / "short_hamilton_clip.mp4")
    return root


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, float(LEASE_S))
    yield opened
    opened.close()
    broker.ask("FLUSHALL")


def sent(store: JobStore, broker: Redis, request: JobRequest) -> JobRequest:
    assert store.register(request) is None
    Publisher(Settings(redis_url=broker.url)).send(request)
    return request


def running(data_root: Path, broker: Redis, drain_s: float) -> Any:
    settings = {"SCREENALYTICS_LEASE_S": LEASE_S, "SCREENALYTICS_DRAIN_SECONDS": str(drain_s)}
    return worker(data_root, broker.url, **settings)


def stop(one: Worker, number: signal.Signals = signal.SIGTERM) -> None:
    one.process.send_signal(number)


def said(one: Worker, words: str) -> bool:
    return words in one.log.read_text()


def completed_runs(data_root: Path, ep_id: str) -> list[str]:
    found = (data_root / "manifests" / ep_id / "runs").glob("*/run.json")
    return [p.parent.name for p in found if json.loads(p.read_text())["status"] == "completed"]


def end_of(store: JobStore, request: JobRequest) -> QueueJob:
    wait_for(lambda: store.read(request.job_id).is_finished, 60, "the job's end")
    return store.read(request.job_id)


def test_a_run_that_ends_in_time_is_finished_and_nothing_new_is_begun(
    data_root: Path, broker: Redis, store: JobStore
) -> None:
    with running(data_root, broker, 50) as one:
        job = sent(store, broker, job_request(data_root, "show", stride=30, max_cpu_percent=20))
        wait_for(one.runs, what="the run")
        waiting = sent(store, broker, job_request(data_root, "talk", stride=60))
        stop(one)
        one.process.wait(60)
        end = store.read(job.job_id)
        assert (end.state, end.attempts) == ("success", 1)
        assert store.read(waiting.job_id).state == "queued"
        assert broker.ask("LLEN", QUEUE) == 1
        assert not said(one, "handed back")
    assert completed_runs(data_root, "show") == [job.spec.run_id]


def test_a_run_that_takes_longer_is_handed_back_and_done_by_another_worker(
    data_root: Path, broker: Redis, store: JobStore
) -> None:
    with running(data_root, broker, 1) as one:
        job = sent(store, broker, job_request(data_root, "talk", **{**SLOW, "max_cpu_percent": 12}))
        wait_for(one.runs, what="the run")
        later = sent(store, broker, job_request(data_root, "walk", stride=60))
        stop(one)
        one.process.wait(ENDING_SECONDS + 1)
        waiting = store.read(job.job_id)
        assert (waiting.state, waiting.attempts, waiting.worker) == ("queued", 0, None)
        assert [found.request.job_id for found in store.active()] == [job.job_id, later.job_id]
        assert said(one, "job handed back")
        assert job.job_id in broker.ask("LINDEX", QUEUE, -1)  # the next one
        assert broker.ask("LLEN", QUEUE) == 2
    with running(data_root, broker, 1):
        end = end_of(store, job)
        assert (end.state, end.attempts) == ("success", 1)
        assert end_of(store, later).state == "success"
    assert completed_runs(data_root, "talk") == [job.spec.run_id]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hands_back_at_once(
    data_root: Path, broker: Redis, store: JobStore, second: signal.Signals
) -> None:
    with running(data_root, broker, 600) as one, running(data_root, broker, 600) as two:
        job = sent(store, broker, job_request(data_root, "walk", **SLOW))
        first = wait_for(lambda: [w for w in (one, two) if w.runs()], what="the run")[0]
        other = two if first is one else one
        stop(first)
        wait_for(lambda: said(first, "the worker stops; its job may go on"), what="the drain")
        with pytest.raises(subprocess.TimeoutExpired):
            first.process.wait(1)
        stop(first, second)
        wait_for(other.runs, what="the other worker")  # no lease has lapsed
        first.process.wait(ENDING_SECONDS)
        now = store.read(job.job_id)
        assert (now.state, now.attempts) == ("in_progress", 1)
        assert now.worker is not None
        assert now.worker.split("@")[0] == other.log.stem
        assert store.ask_cancel(job.job_id) == "asked"
        assert end_of(store, job).state == "cancelled"
    assert broker.ask("LLEN", QUEUE) == 0


def test_a_job_that_only_waits_for_its_episode_is_handed_back_at_once(
    data_root: Path, broker: Redis, store: JobStore
) -> None:
    lease = "screenalytics:episode:show:lease"
    broker.ask("SET", lease, "elsewhere/run")
    with running(data_root, broker, 600) as one:
        job = sent(store, broker, job_request(data_root, "show", stride=60))
        wait_for(lambda: store.read(job.job_id).state == "in_progress", what="the worker")
        stop(one)
        one.process.wait(ENDING_SECONDS)
        assert store.read(job.job_id).state == "queued"
    broker.ask("DEL", lease)
    with running(data_root, broker, 600):
        assert end_of(store, job).state == "success"


def test_what_is_to_be_cancelled_is_not_handed_back(store: JobStore, tmp_path: Path) -> None:
    request = job_request(tmp_path, "show")
    assert store.register(request) is None
    assert store.begin(request.job_id, "worker", "token") == "begun"
    assert store.hand_back(request, "another delivery's") is None
    assert store.ask_cancel(request.job_id) == "asked"
    assert store.hand_back(request, "token") == "cancel"
    assert store.read(request.job_id).state == "in_progress"


def test_what_is_handed_back_again_and_again_ends_some_time(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    """Counted from when it was first handed back for a reason that may last."""
    request = sent(store, broker, job_request(tmp_path, "show"))
    for within_s, answer in ((60, "queued"), (60, "queued"), (None, "queued"), (0, "late")):
        assert store.begin(request.job_id, "worker", "token") == "begun"
        assert store.hand_back(request, "token", within_s) == answer
    job = store.read(request.job_id)
    assert (job.state, job.attempts) == ("in_progress", 1)


def test_the_turn_of_what_is_handed_back(store: JobStore, broker: Redis, tmp_path: Path) -> None:
    """Behind what runs, before what came later, and in its own priority."""
    names = ("first", "second", "third")
    requests = [sent(store, broker, job_request(tmp_path, name)) for name in names]
    first, second, third = requests
    assert store.begin(second.job_id, "worker", "token") == "begun"
    broker.ask("RPOP", QUEUE)  # the first one's, as by a worker
    assert store.hand_back(second, "token") == "queued"
    assert [job.request.job_id for job in store.active()] == [r.job_id for r in requests]
    put_first(store, third)
    assert third.job_id in broker.ask("LINDEX", QUEUE, -1)
    put_first(store, first)  # it has been taken: nothing changes
    assert broker.ask("LLEN", QUEUE) == 2


def test_the_time_of_a_drain() -> None:
    drain = Drain()
    assert (drain.has_begun, drain.left_s) == (False, None)
    drain.begin(60)
    left_s = drain.left_s
    assert left_s is not None
    assert 0 < left_s <= 60
    drain.begin(0)
    assert (drain.has_begun, drain.left_s) == (True, 0)
