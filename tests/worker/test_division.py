"""Whether a job is divided: where workers of other hosts are idle, or somebody says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.jobs.store import JobStore, WorkerFacts
from apps.worker.division import MIN_SAMPLES, Division, division
from lab.processes.queue import Redis
from tests.support.jobs import IDLER, job_request


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside which the Redis has its files."""
    return tmp_path_factory.mktemp("division") / "data"


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, 60)
    yield opened
    opened.close()
    broker.ask("FLUSHALL")


def worker(store: JobStore, name: str, host: str, concurrency: int = 1) -> None:
    facts: WorkerFacts = IDLER.model_copy(
        update={"name": name, "host": host, "concurrency": concurrency}
    )
    store.announce(facts, 60)


def job(store: JobStore, data_root: Path, ep_id: str, by: str | None = None) -> None:
    request = job_request(data_root, ep_id)
    assert store.register(request) is None
    if by is not None:
        store.begin(request.job_id, by, "token")


def test_a_number_is_taken_at_its_word(store: JobStore) -> None:
    worker(store, "lead", "here", concurrency=2)
    worker(store, "b", "second")
    assert division(4, store, "here") == Division(4, 1, 2, 0)
    assert division(2, store, "here") == Division(2, 1, 1, 0)
    assert division("off", store, "here") is None


def test_idle_workers_of_other_hosts_help(store: JobStore, tmp_path: Path) -> None:
    worker(store, "lead", "here")
    worker(store, "beside", "here")  # shares the budget of CPU
    job(store, tmp_path, "show", by="lead")
    assert division("auto", store, "here") is None
    worker(store, "b1", "second")
    worker(store, "b2", "second")
    assert division("auto", store, "here") == Division(6, MIN_SAMPLES, 1, 1)
    worker(store, "c", "third")
    assert division("auto", store, "here") == Division(9, MIN_SAMPLES, 2, 1)


def test_who_has_work_does_not_help(store: JobStore, tmp_path: Path) -> None:
    worker(store, "lead", "here")
    worker(store, "b", "second")
    worker(store, "c", "third", concurrency=2)
    job(store, tmp_path, "show", by="lead")
    job(store, tmp_path, "talk", by="b")
    job(store, tmp_path, "walk", by="c")  # has a second hand
    assert division("auto", store, "here") == Division(6, MIN_SAMPLES, 1, 1)
    job(store, tmp_path, "film")  # waits for that one
    assert division("auto", store, "here") is None
    for number in range(5):
        job(store, tmp_path, f"more-{number}")
    assert division("auto", store, "here") is None
