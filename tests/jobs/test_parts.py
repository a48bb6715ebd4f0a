"""Parts of a job's run in Redis: each is one maker's at a time, and all end with their job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.common.contracts.manifest import Progress
from apps.common.contracts.parts import PartPlan
from apps.jobs.parts import DividedRun, Maker, PartStore
from apps.jobs.store import JobRequest, JobStore
from lab.processes.queue import Redis
from lab.processes.service import wait_for
from tests.support.jobs import job_request

LEASE_S = 1.0
PLAN = PartPlan(starts=[0, 30, 60], samples=[4, 5, 6], video_frames=90, kind="kind")
ALICE = Maker(token="a", worker="worker-a", host="one")
BOB = Maker(token="b", worker="worker-b", host="two")
CAROL = Maker(token="c", worker="worker-c", host="two")


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    opened = JobStore(broker.url, LEASE_S)
    yield opened
    opened.close()
    broker.ask("FLUSHALL")


@pytest.fixture
def parts(store: JobStore) -> PartStore:
    return PartStore(store)


@pytest.fixture
def job(store: JobStore, parts: PartStore, tmp_path: Path) -> str:
    """Its first part is Alice's."""
    request: JobRequest = job_request(tmp_path, "show")
    store.register(request)
    store.begin(request.job_id, "worker-a", "a")
    divided = DividedRun(plan=PLAN, since=0.0, code="code", makers_a_host=1)
    assert parts.register(request.job_id, divided, ALICE)
    assert not parts.register(request.job_id, divided, BOB)
    return request.job_id


def test_each_part_is_one_makers(parts: PartStore, job: str) -> None:
    assert [parts.claim(job, BOB), parts.claim(job, CAROL)] == [2, 3]
    assert parts.claim(job, BOB) == "wait"
    assert parts.beat(job, 2, BOB, None) == "ok"
    assert parts.beat(job, 2, CAROL, None) == "taken"
    assert parts.made(job, 2, CAROL) == "taken"
    assert [parts.made(job, n, maker) for n, maker in ((1, ALICE), (2, BOB), (3, CAROL))] == [
        "ok"
    ] * 3
    assert parts.claim(job, ALICE) == "made"
    assert parts.count_made() == 3


def test_a_part_whose_maker_is_silent_is_anothers(parts: PartStore, job: str) -> None:
    assert parts.claim(job, BOB) == 2
    wait_for(lambda: parts.read(job)[1].state == "retrying", what="the lease to lapse")
    parts.beat(job, 1, ALICE, None)
    assert parts.claim(job, CAROL) == 2
    assert parts.beat(job, 2, BOB, None) == "taken"
    assert parts.made(job, 2, BOB) == "taken"
    parts.release(job, 2, BOB)  # changes nothing
    told = parts.read(job)[1]
    assert (told.state, told.worker, told.attempts) == ("in_progress", "worker-c", 2)


def test_a_part_that_was_given_up_or_is_gone_is_made_again(parts: PartStore, job: str) -> None:
    assert parts.claim(job, BOB) == 2
    parts.release(job, 2, BOB)
    assert (parts.read(job)[1].state, parts.read(job)[1].worker) == ("queued", None)
    assert parts.claim(job, CAROL) == 2
    assert parts.made(job, 2, CAROL) == "ok"
    parts.reopen(job, 2)
    assert parts.claim(job, ALICE) == 2
    assert parts.read(job)[1].attempts == 3


def test_a_host_makes_no_more_parts_at_once_than_it_may(parts: PartStore, job: str) -> None:
    assert parts.claim(job, BOB, makers_a_host=1) == 2
    assert parts.claim(job, CAROL, makers_a_host=1) == "crowded"
    assert parts.claim(job, CAROL, makers_a_host=2) == 3


@pytest.mark.parametrize("ending", ["cancel", "end", "forget", "lost"])
def test_nobody_goes_on_with_parts_of_a_job_that_is_over(
    store: JobStore, parts: PartStore, job: str, broker: Redis, ending: str
) -> None:
    assert parts.claim(job, BOB) == 2
    if ending == "cancel":
        assert store.ask_cancel(job) == "asked"
    elif ending == "end":
        store.fail(job, {"detail": "It failed."})
    elif ending == "forget":
        parts.forget(job)
    else:
        broker.ask("FLUSHALL")
    assert parts.beat(job, 2, BOB, None) == "over"
    assert parts.made(job, 2, BOB) == "over"
    assert parts.claim(job, CAROL) == "over"
    if ending in ("forget", "lost"):
        assert parts.read(job) == []
        assert parts.divided(job) is None


def test_parts_go_on_where_their_job_was_handed_back(
    store: JobStore, parts: PartStore, job: str
) -> None:
    assert parts.claim(job, BOB) == 2
    assert store.hand_back(store.read(job).request, "a") == "queued"
    assert parts.beat(job, 2, BOB, None) == "ok"
    assert parts.claim(job, CAROL) == 3


def test_a_line_a_part(parts: PartStore, job: str) -> None:
    progress = Progress(
        phase="running",
        frames_done=3,
        frames_total=5,
        video_frames_total=90,
        elapsed_sec=1.5,
        analyzed_fps=2.0,
        eta_sec=1.0,
        run_id="run",
        updated_at="now",
        cpu_percent=80.0,
    )
    parts.claim(job, BOB)
    parts.beat(job, 2, BOB, progress)
    parts.made(job, 1, ALICE)
    told = [
        (one.number, one.state, one.host, one.frames_done, one.frames_total, one.cpu_percent)
        for one in parts.read(job)
    ]
    assert told == [
        (1, "made", "one", 4, 4, None),
        (2, "in_progress", "two", 3, 5, 80.0),
        (3, "queued", None, 0, 6, None),
    ]


def test_parts_of_a_job_that_is_gone_are_not_registered(parts: PartStore) -> None:
    divided = DividedRun(plan=PLAN, since=0.0, code="code", makers_a_host=0)
    assert not parts.register("job-gone", divided, ALICE)
    assert parts.read("job-gone") == []
