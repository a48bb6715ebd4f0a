"""What a worker does with a job before it runs it, and where it need not: on a real Redis."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.common.contracts.manifest import CpuFigures, RunManifest, RunResult
from apps.common.errors import JobNotFound
from apps.common.files import write_json
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobRequest, JobStore, QueueJob
from apps.runs.spec import RunSpec
from apps.worker.drain import Drain
from apps.worker.execution import MAX_ATTEMPTS, JobExecution
from apps.worker.here import WorkerHere
from lab.processes.queue import Redis, redis_server
from lab.processes.service import wait_for
from tests.support.jobs import job_request

LEASE_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, LEASE_S)
    yield opened
    opened.close()


@pytest.fixture
def request_(store: JobStore, tmp_path: Path) -> JobRequest:
    """A job that waits; nobody has sent it."""
    return registered(store, tmp_path)


def registered(store: JobStore, data_root: Path, timeout_s: float = 60) -> JobRequest:
    request = job_request(data_root, f"show-{data_root.name}", timeout_s)
    assert store.register(request) is None
    return request


def execute(store: JobStore, request: JobRequest) -> QueueJob:
    execution = JobExecution(
        request.job_id,
        store,
        WorkerHere("this one", Settings(data_root=Path(request.spec.data_root)), ""),
        delivery_tag=None,
        drain=Drain(),
    )
    return asyncio.run(execution.run())


def completed(spec: RunSpec) -> RunManifest:
    options = spec.resolution.options
    result = RunResult(
        ep_id=spec.ep_id,
        execution_mode="redis",
        run_id=spec.run_id,
        elapsed_seconds=40,
        device="cpu",
        provider="CPUExecutionProvider",
        profile=options.profile,
        options=options,
        cpu_threads=2,
        frames_total=500,
        frames_done=500,
        detections=1,
        tracks=1,
        analyzed_fps=12.5,
        cpu=CpuFigures(peak_percent=1, mean_percent=1, seconds=1),
        peak_rss_mb=1,
        artifacts={},
    )
    return RunManifest(
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        execution_mode="redis",
        status="completed",
        started_at="2026-01-01T00:00:00.000+00:00",
        host="here",
        pid=1,
        options=options,
        sources={},
        versions={},
        result=result,
    )


def problem(job: QueueJob) -> str:
    assert job.problem is not None
    return str(job.problem["detail"])


@contextmanager
def held(request: JobRequest) -> Iterator[None]:
    """The episode, as a run on this host holds it."""
    path = Layout(Path(request.spec.data_root)).shown_lock(request.spec.ep_id)
    path.parent.mkdir(parents=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def test_a_job_that_nobody_knows(store: JobStore, tmp_path: Path) -> None:
    with pytest.raises(JobNotFound):
        execute(store, job_request(tmp_path, "show"))


def test_a_job_that_was_cancelled_before_it_began(store: JobStore, request_: JobRequest) -> None:
    assert store.ask_cancel(request_.job_id) == "end"
    job = execute(store, request_)
    assert (job.state, problem(job)) == ("cancelled", "The job was cancelled.")


def test_a_job_that_another_worker_works_on_is_left_to_it(
    store: JobStore, request_: JobRequest
) -> None:
    assert store.begin(request_.job_id, "another", "token") == "begun"
    job = execute(store, request_)
    assert (job.state, job.worker, job.attempts) == ("in_progress", "another", 1)


def test_a_job_whose_workers_died_in_it_too_often(
    store: JobStore, request_: JobRequest, broker: Redis
) -> None:
    none_waits = JobStore(broker.url, 0.0)  # for whom every worker is dead at once
    for number in range(MAX_ATTEMPTS):
        assert none_waits.begin(request_.job_id, "dead", f"token-{number}") == "begun"
    job = execute(none_waits, request_)
    none_waits.close()
    assert (job.state, job.attempts) == ("failed", MAX_ATTEMPTS + 1)
    assert (
        problem(job) == f"The job's worker died {MAX_ATTEMPTS} times in it; it is not tried again."
    )


def test_a_job_whose_run_an_earlier_delivery_completed(
    store: JobStore, request_: JobRequest
) -> None:
    """The worker died between the run's end and saying so: it is not run again."""
    spec = request_.spec
    made = completed(spec)
    files = Layout(Path(spec.data_root)).run(spec.ep_id, spec.run_id)
    files.folder.mkdir(parents=True)
    write_json(files.manifest, made.model_dump(mode="json"))
    job = execute(store, request_)
    assert (job.state, job.result) == ("success", made.result)
    assert RunManifest.model_validate_json(files.manifest.read_bytes()) == made


def test_a_job_that_waits_for_its_episode_too_long(store: JobStore, tmp_path: Path) -> None:
    request = registered(store, tmp_path, timeout_s=0.1)
    with held(request):
        job = execute(store, request)
    assert job.state == "failed"
    assert problem(job).startswith("The episode was held by another run for 0.1 s")


def test_a_job_that_is_cancelled_while_it_waits_for_its_episode(
    store: JobStore, request_: JobRequest
) -> None:
    ended: list[QueueJob] = []
    with held(request_):
        worker = threading.Thread(target=lambda: ended.append(execute(store, request_)))
        worker.start()
        wait_for(lambda: store.read(request_.job_id).state == "in_progress", what="the worker")
        assert store.ask_cancel(request_.job_id) == "asked"
        worker.join()
    assert [(job.state, problem(job)) for job in ended] == [("cancelled", "The job was cancelled.")]


def test_a_job_that_waits_for_another_host_asks_more_and_more_seldom(
    store: JobStore, tmp_path: Path, broker: Redis
) -> None:
    """Redis is asked after 0, 0.3, 0.9 and 2.1 seconds; a cancel is heard all the time."""
    request = registered(store, tmp_path, timeout_s=3)
    elsewhere = EpisodeLease(store, request.spec.ep_id, "run-1", host="elsewhere")
    assert elsewhere.take()
    broker.ask("CONFIG", "RESETSTAT")
    job = execute(store, request)
    assert problem(job).startswith("The episode was held by another run for 3 s")
    assert 2 <= broker.ask("INFO", "commandstats")["cmdstat_set"]["calls"] <= 5
    elsewhere.give_back()
