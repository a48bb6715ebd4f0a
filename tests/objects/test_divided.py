"""A divided job by workers that share nothing but Redis and a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.common.layout import Layout
from apps.common.schemas import Segments
from apps.common.settings import Settings
from apps.jobs.parts import PartStore
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore, QueueJob
from apps.objects.records import video_key
from lab.parts import results
from lab.processes.bucket import KEY, S3, SECRET, Faults, proxy, refuses
from lab.processes.queue import LEASE_SECONDS, Redis, Worker, redis_server, worker
from lab.processes.service import wait_for
from tests.support.jobs import job_request
from tests.support.repeated import repeated

OPTIONS = {"stride": 5, "det_size": 320, "people": True, "max_cpu_percent": 35}


@dataclass
class Two:
    """Two workers with a data root each."""

    broker: Redis
    store: JobStore
    s3: S3
    bucket: str
    faults: Faults
    environment: dict[str, str]
    folder: Path
    stack: ExitStack
    workers: dict[str, Worker]

    def root(self, name: str) -> Path:
        return self.folder / name / "data"

    def start(self, name: str) -> None:
        self.root(name).mkdir(parents=True, exist_ok=True)
        started = worker(self.root(name), self.broker.url, **self.environment)
        self.workers[name] = self.stack.enter_context(started)

    def kill(self, name: str) -> None:
        for process in self.workers[name].tree():
            process.kill()
        self.workers[name].process.wait()

    def sent(self, segments: Segments, ep_id: str = "show", **options: object) -> JobRequest:
        asked = job_request(self.root("one"), ep_id, **{**OPTIONS, **options})
        request = asked.model_copy(update={"segments": segments})
        assert self.store.register(request) is None
        Publisher(Settings(redis_url=self.broker.url)).send(request)
        return request

    def end_of(self, request: JobRequest) -> QueueJob:
        wait_for(lambda: self.store.read(request.job_id).is_finished, 90, "the job's end")
        return self.store.read(request.job_id)

    def leader(self, request: JobRequest) -> str:
        name = self.store.read(request.job_id).worker or ""
        return next(one for one, each in self.workers.items() if each.log.stem in name)

    def results(self, request: JobRequest) -> dict[str, bytes]:
        """Of the run, where it was put together."""
        spec = request.spec
        found = results(self.root(self.leader(request)), spec.run_id, spec.ep_id)
        return {name: body for name, body in found.items() if name != ".stored"}

    def parts(self, request: JobRequest) -> list[dict[str, Any]]:
        layout = Layout(self.root(self.leader(request)))
        manifest = layout.run(request.spec.ep_id, request.spec.run_id).manifest
        parts: list[dict[str, Any]] = json.loads(manifest.read_text())["parts"]
        return parts

    def both_at_work(self, request: JobRequest) -> None:
        def makers() -> set[str | None]:
            read = PartStore(self.store).read(request.job_id)
            return {part.worker for part in read if part.state == "in_progress"}

        wait_for(lambda: len(makers()) == 2, 30, "both workers at parts")

    def left(self) -> list[str]:
        """What is left of parts, anywhere."""
        files = [
            str(path)
            for name in self.workers
            for path in (self.root(name) / ".parts").rglob("*")
            if path.is_file()
        ]
        return files + [key for key in self.s3.keys(self.bucket) if "/parts/" in key]

    def nothing_is_left(self) -> None:
        wait_for(lambda: not self.left(), what="nothing to be left of the parts")


@pytest.fixture(scope="module")
def running(s3: S3, tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("divided")
    bucket = s3.bucket()
    video = (test_data / "videos" / "short_hamilton_clip.mp4").read_bytes()
    s3.put(bucket, f"shows/{video_key('show', 'episode.mp4')}", video)
    with ExitStack() as stack:
        url, faults = stack.enter_context(proxy(s3))
        broker = stack.enter_context(redis_server(folder / "redis"))
        environment = {
            "SCREENALYTICS_STORAGE": f"s3://{bucket}/shows",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        store = JobStore(broker.url, float(LEASE_SECONDS))
        yield Two(broker, store, s3, bucket, faults, environment, folder, stack, {})
        store.close()


@pytest.fixture
def two(running: Two) -> Iterator[Two]:
    """Both of them, alive."""
    running.faults.rules.clear()
    for name in ("one", "other"):
        if name not in running.workers or running.workers[name].process.poll() is not None:
            running.start(name)
    wait_for(lambda: running.store.worker_count() == 2, what="both to be known")
    yield running
    running.faults.rules.clear()


@pytest.fixture(scope="module")
def undivided(running: Two) -> dict[str, bytes]:
    running.start("one")
    request = running.sent("off", max_cpu_percent=100)
    assert running.end_of(request).state == "success"
    return running.results(request)


def test_workers_of_hosts_without_a_common_folder_share_a_job(
    two: Two, undivided: dict[str, bytes]
) -> None:
    request = two.sent(4)
    two.both_at_work(request)
    end = two.end_of(request)
    assert (end.state, end.attempts) == ("success", 1), end.problem
    assert two.results(request) == undivided
    parts = two.parts(request)
    assert len(parts) == 4
    assert len({part["worker"] for part in parts}) == 2
    assert {part["attempts"] for part in parts} == {1}
    two.nothing_is_left()


def test_another_host_goes_on_with_what_a_killed_one_has_stored(
    two: Two, undivided: dict[str, bytes]
) -> None:
    request = two.sent(4)
    two.both_at_work(request)
    made = PartStore(two.store)
    before = made.count_made()
    wait_for(lambda: made.count_made() > before, 60, "a part")
    two.kill(two.leader(request))
    end = two.end_of(request)
    assert (end.state, end.attempts) == ("success", 2), end.problem
    assert two.results(request) == undivided
    assert 1 in [part["attempts"] for part in two.parts(request)]
    assert made.count_made() == before + 4, "a part that was made has been made again"


def test_a_file_that_is_gone_from_the_storage_is_made_again(
    two: Two, undivided: dict[str, bytes]
) -> None:
    """Of a helper whose files never come: the one that leads makes all."""
    two.faults.add("HEAD", "/parts/", refuses(404, "NoSuchKey"))
    request = two.sent(4)
    two.both_at_work(request)
    end = two.end_of(request)
    assert end.state == "success", end.problem
    assert two.results(request) == undivided
    assert max(part["attempts"] for part in two.parts(request)) > 1
    two.faults.rules.clear()
    two.nothing_is_left()


def test_a_storage_that_is_away_for_a_while_loses_no_part(
    two: Two, undivided: dict[str, bytes]
) -> None:
    request = two.sent(4)
    two.both_at_work(request)
    for method in ("HEAD", "GET", "PUT", "POST"):
        two.faults.add(method, "/parts/", refuses(503, "SlowDown"))
    seen = len(two.faults.seen)
    wait_for(lambda: any("/parts/" in one for one in two.faults.seen[seen:]), 60, "a refusal")
    two.faults.rules.clear()
    end = two.end_of(request)
    assert (end.state, end.attempts) == ("success", 1), end.problem
    assert end.result is not None
    assert not [text for text in end.result.warnings if "whole" in text or "alone" in text]
    assert two.results(request) == undivided
    two.nothing_is_left()


def test_a_helper_has_those_bytes_of_the_video_that_its_parts_need(
    two: Two, test_data: Path, tmp_path: Path
) -> None:
    source = test_data / "videos" / "short_hamilton_clip.mp4"
    long = repeated(source, tmp_path / "long.mp4", 1 + 24_000_000 // source.stat().st_size)
    two.s3.put(two.bucket, f"shows/{video_key('long', 'episode.mp4')}", long.read_bytes())
    few = {"stride": 30, "det_size": 160, "people": False, "max_cpu_percent": 100}
    request = two.sent(4, "long", **few)
    two.both_at_work(request)
    end = two.end_of(request)
    assert end.state == "success", end.problem
    assert len({part["worker"] for part in two.parts(request)}) == 2
    leads = two.leader(request)
    (helper,) = {"one", "other"} - {leads}
    videos = [two.root(name) / "videos" / "long" / "episode.mp4" for name in (leads, helper)]
    assert [path.exists() for path in videos] == [True, False]
    whole = two.sent("off", "long", **few)
    assert two.end_of(whole).state == "success"
    assert two.results(request) == two.results(whole)
    two.nothing_is_left()


def test_a_cancel_leaves_nothing(two: Two) -> None:
    request = two.sent(4, max_cpu_percent=10)
    two.both_at_work(request)
    made = PartStore(two.store)
    before = made.count_made()
    wait_for(lambda: made.count_made() > before, 60, "a part")
    assert two.store.ask_cancel(request.job_id) == "asked"
    assert two.end_of(request).state == "cancelled"
    two.nothing_is_left()
