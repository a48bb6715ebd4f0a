"""A job in parts: several workers, the same result to the byte, whatever happens to them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from apps.common.contracts.parts import PartPlan
from apps.common.layout import Layout
from apps.common.options import RunRequest
from apps.common.schemas import Segments
from apps.common.settings import Settings
from apps.jobs.parts import DividedRun, Maker, PartStore
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore, QueueJob
from apps.worker.drain import Drain
from apps.worker.help import PartHelp
from apps.worker.here import WorkerHere
from apps.worker.left_parts import remove_left_parts
from lab.parts import results
from lab.processes.queue import Redis, Worker, worker
from lab.processes.service import add_episode, wait_for
from tests.support.jobs import job_request

LEASE_S = "3"
FAST = {"stride": 5, "det_size": 320, "people": True}
SLOW = {**FAST, "max_cpu_percent": 10}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("parts") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    return root


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, float(LEASE_S))
    yield opened
    opened.close()
    broker.ask("FLUSHALL")


def kill(one: Worker) -> None:
    """With all that it has started."""
    for process in one.tree():
        process.kill()


class Crew:
    """Workers that go on from one test to the next; a new one stands for each that was killed."""

    def __init__(self, data_root: Path, broker: Redis, stack: ExitStack) -> None:
        self._data_root = data_root
        self._broker = broker
        self._stack = stack
        self._workers: list[Worker] = []

    def of(self, count: int) -> list[Worker]:
        """So many; the others are ended."""
        alive = [each for each in self._workers if each.process.poll() is None]
        for each in alive[count:]:
            kill(each)
            each.process.wait()
        self._workers = alive[:count]
        while len(self._workers) < count:
            started = worker(self._data_root, self._broker.url, SCREENALYTICS_LEASE_S=LEASE_S)
            self._workers.append(self._stack.enter_context(started))
        return self._workers


@pytest.fixture(scope="module")
def crew(data_root: Path, broker: Redis) -> Iterator[Crew]:
    with ExitStack() as stack:
        yield Crew(data_root, broker, stack)


@pytest.fixture
def one(crew: Crew) -> Worker:
    """The only one."""
    return crew.of(1)[0]


@pytest.fixture
def two(crew: Crew, store: JobStore) -> list[Worker]:
    both = crew.of(2)
    wait_for(lambda: store.worker_count() == 2, what="both to say so again")
    return both


@pytest.fixture(scope="module")
def undivided(data_root: Path, broker: Redis, crew: Crew) -> dict[str, bytes]:
    store = JobStore(broker.url, float(LEASE_S))
    crew.of(1)
    job = sent(store, broker, data_root, "off")
    assert end_of(store, job).state == "success"
    store.close()
    return results(data_root, job.spec.run_id)


def sent(
    store: JobStore, broker: Redis, data_root: Path, segments: Segments, **options: object
) -> JobRequest:
    asked = job_request(data_root, "show", **{**FAST, **options})
    request = asked.model_copy(update={"segments": segments})
    assert store.register(request) is None
    Publisher(Settings(redis_url=broker.url)).send(request)
    return request


def end_of(store: JobStore, request: JobRequest) -> QueueJob:
    wait_for(lambda: store.read(request.job_id).is_finished, 90, "the job's end")
    return store.read(request.job_id)


def told_parts(data_root: Path, request: JobRequest) -> list[dict[str, Any]]:
    manifest = Layout(data_root).run("show", request.spec.run_id).manifest
    parts: list[dict[str, Any]] = json.loads(manifest.read_text())["parts"]
    return parts


def nothing_is_left(store: JobStore, data_root: Path, request: JobRequest) -> bool:
    is_known = PartStore(store).divided(request.job_id) is not None
    return not is_known and not Layout(data_root).parts(request.job_id).exists()


def makers(store: JobStore, request: JobRequest) -> set[str | None]:
    """Workers that make parts now."""
    parts = PartStore(store).read(request.job_id)
    return {part.worker for part in parts if part.state == "in_progress"}


def led(store: JobStore, request: JobRequest, two: list[Worker]) -> tuple[Worker, Worker]:
    """Who leads, and who helps."""
    name = store.read(request.job_id).worker or ""
    first, second = two
    return (first, second) if first.log.stem in name else (second, first)


def both_at_work(store: JobStore, request: JobRequest) -> None:
    wait_for(lambda: len(makers(store, request)) == 2, 30, "both workers at parts")


def test_two_workers_share_a_job(
    data_root: Path,
    broker: Redis,
    store: JobStore,
    undivided: dict[str, bytes],
    two: list[Worker],
) -> None:
    job = sent(store, broker, data_root, 4)
    both_at_work(store, job)
    seen = []

    def is_over() -> bool:
        found = store.read(job.job_id)
        if found.progress is not None:
            seen.append((found.progress.phase, found.progress.frames_done))
            assert found.progress.frames_total == 55
        return found.is_finished

    wait_for(is_over, 90, "the job's end")
    end = store.read(job.job_id)
    assert (end.state, end.attempts) == ("success", 1), end.problem
    assert results(data_root, job.spec.run_id) == undivided
    parts = told_parts(data_root, job)
    assert len(parts) == 4
    assert sum(part["frames"] for part in parts) == 55
    assert len({part["worker"] for part in parts}) == 2
    assert {part["attempts"] for part in parts} == {1}
    assert [done for _, done in seen] == sorted(done for _, done in seen), "progress went back"
    assert end.result is not None
    assert end.result.cpu.seconds > sum(part["cpu_seconds"] for part in parts)
    assert end.result.elapsed_seconds > max(part["seconds"] for part in parts)
    manifest = json.loads(Layout(data_root).run("show", job.spec.run_id).manifest.read_text())
    began, ended = (
        datetime.fromisoformat(manifest[f"{key}_at"]) for key in ("started", "finished")
    )
    assert (ended - began).total_seconds() == pytest.approx(end.result.elapsed_seconds, abs=1)
    assert nothing_is_left(store, data_root, job)
    assert PartStore(store).count_made() == 4


def test_one_worker_makes_all_where_nobody_helps(
    data_root: Path, broker: Redis, store: JobStore, undivided: dict[str, bytes], one: Worker
) -> None:
    """It is sent its own call for help at the end, which is over by then."""
    job = sent(store, broker, data_root, 2)
    assert end_of(store, job).state == "success"
    assert results(data_root, job.spec.run_id) == undivided
    assert len({part["worker"] for part in told_parts(data_root, job)}) == 1
    after = sent(store, broker, data_root, "auto")  # nobody is idle elsewhere
    assert end_of(store, after).state == "success"
    assert told_parts(data_root, after) == []
    assert results(data_root, after.spec.run_id) == undivided


def test_a_part_of_a_killed_helper_is_made_again_alone(
    data_root: Path,
    broker: Redis,
    store: JobStore,
    undivided: dict[str, bytes],
    two: list[Worker],
) -> None:
    job = sent(store, broker, data_root, 4, max_cpu_percent=20)
    both_at_work(store, job)
    leader, helper = led(store, job, two)
    wait_for(helper.parts, what="its process")
    kill(helper)
    end = end_of(store, job)
    assert (end.state, end.attempts) == ("success", 1), end.problem
    assert results(data_root, job.spec.run_id) == undivided
    assert sorted(part["attempts"] for part in told_parts(data_root, job)) == [1, 1, 1, 2]
    assert end.worker is not None
    assert leader.log.stem in end.worker


def test_another_goes_on_with_the_parts_of_a_killed_leader(
    data_root: Path,
    broker: Redis,
    store: JobStore,
    undivided: dict[str, bytes],
    two: list[Worker],
) -> None:
    job = sent(store, broker, data_root, 4, max_cpu_percent=20)
    both_at_work(store, job)
    wait_for(lambda: PartStore(store).count_made() > 0, 60, "a part")
    leader, helper = led(store, job, two)
    kill(leader)
    end = end_of(store, job)
    assert (end.state, end.attempts) == ("success", 2), end.problem
    assert end.worker is not None
    assert helper.log.stem in end.worker
    assert results(data_root, job.spec.run_id) == undivided
    parts = told_parts(data_root, job)
    assert PartStore(store).count_made() == 4, "a part that was made has been made again"
    assert 1 in [part["attempts"] for part in parts]
    assert nothing_is_left(store, data_root, job)


def test_a_cancel_ends_all_parts(
    data_root: Path, broker: Redis, store: JobStore, two: list[Worker]
) -> None:
    job = sent(store, broker, data_root, 4, **SLOW)
    both_at_work(store, job)
    wait_for(lambda: all(each.parts() for each in two), what="a process of each")
    processes = [process for each in two for process in each.parts()]
    assert store.ask_cancel(job.job_id) == "asked"
    wait_for(lambda: not any(process.is_running() for process in processes), 20, "their end")
    assert end_of(store, job).state == "cancelled"
    wait_for(lambda: nothing_is_left(store, data_root, job), what="nothing to be left")
    manifest = json.loads(Layout(data_root).run("show", job.spec.run_id).manifest.read_text())
    assert (manifest["status"], manifest["exit_reason"]) == ("cancelled", "The job was cancelled.")
    time.sleep(1)
    assert [process for each in two for process in (*each.parts(), *each.runs())] == []


def test_a_file_that_is_gone_is_made_again(
    data_root: Path, broker: Redis, store: JobStore, undivided: dict[str, bytes], one: Worker
) -> None:
    job = sent(store, broker, data_root, 3, max_cpu_percent=25)
    wait_for(lambda: PartStore(store).count_made() == 1, 60, "a part")
    Layout(data_root).part(job.job_id, 1).unlink()
    assert end_of(store, job).state == "success"
    assert [part["attempts"] for part in told_parts(data_root, job)] == [2, 1, 1]
    assert results(data_root, job.spec.run_id) == undivided


def test_a_damaged_part_costs_time_and_nothing_else(
    data_root: Path, broker: Redis, store: JobStore, undivided: dict[str, bytes], one: Worker
) -> None:
    job = sent(store, broker, data_root, 2, max_cpu_percent=25)
    wait_for(lambda: PartStore(store).count_made() == 1, 60, "a part")
    path = Layout(data_root).part(job.job_id, 1)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    end = end_of(store, job)
    assert end.state == "success"
    assert end.result is not None
    assert any("The run was done as a whole." in text for text in end.result.warnings)
    assert results(data_root, job.spec.run_id) == undivided


def test_who_asks_for_parts_is_told_why_there_are_none(
    data_root: Path, broker: Redis, store: JobStore, one: Worker
) -> None:
    job = sent(store, broker, data_root, 2, reuse_still=True)
    end = end_of(store, job)
    assert end.result is not None
    assert [text for text in end.result.warnings if "not divided" in text] == [
        "The run was not divided. With reuse_still each frame is compared with those before it."
    ]
    assert nothing_is_left(store, data_root, job)


@pytest.mark.parametrize("lack", ["code", "folder", "parts", "job"])
def test_who_cannot_help_leaves_it(store: JobStore, tmp_path: Path, lack: str) -> None:
    request = job_request(tmp_path, "show")
    store.register(request)
    plan = PartPlan(starts=[0, 5], samples=[1, 1], video_frames=10, kind="kind")
    code = "other" if lack == "code" else "code"
    divided = DividedRun(plan=plan, since=0.0, code=code, makers_a_host=0)
    leader = Maker(token="token", worker="leader", host="elsewhere")
    if lack not in ("parts", "job"):
        assert PartStore(store).register(request.job_id, divided, leader)
    if lack != "folder":
        Layout(tmp_path).parts(request.job_id).mkdir(parents=True)
    if lack == "job":
        store.forget(request.job_id)
    here = WorkerHere("helper", Settings(data_root=tmp_path), "code")
    helping = PartHelp(here, store, delivery_tag=None, drain=Drain())
    assert asyncio.run(helping.run(request.job_id)) == 0
    assert [part.attempts for part in PartStore(store).read(request.job_id)] in ([1, 0], [])


def test_parts_of_ended_jobs_are_swept(store: JobStore, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    going, ended = job_request(tmp_path, "show"), job_request(tmp_path, "talk")
    for request in (going, ended):
        store.register(request)
        layout.parts(request.job_id).mkdir(parents=True)
        layout.part(request.job_id, 1).write_bytes(b"part")
    store.begin(ended.job_id, "worker", "token")
    store.fail(ended.job_id, {})
    layout.parts("job-unknown").mkdir()
    assert remove_left_parts(layout, store) == 4
    assert [path.name for path in layout.all_parts.iterdir()] == [going.job_id]


def test_the_requests_default_divides_nothing_locally() -> None:
    assert "segments" not in RunRequest.model_fields
