"""Limits of a job: they follow from one another, and whatever ends a job is said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.common.contracts.manifest import Holder
from apps.common.layout import Layout
from apps.jobs.limits import RUNS, SAY_SECONDS
from apps.jobs.queue import QUEUE
from apps.jobs.store import JobStore
from apps.runs.record import now
from lab.processes.queue import Redis, worker
from lab.processes.service import Server, gone, serving, wait_for
from tests.support.holding import Hold, holding
from tests.support.jobs import IDLER, ended, job, submit

SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 10}


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


def test_celerys_limit_allows_what_the_jobs_own_allow(server: Server, broker: Redis) -> None:
    """It waits `timeout_s` for the episode, runs as long, and once more where the run is killed."""
    store = JobStore(broker.url, 3)
    store.announce(IDLER, 60)  # a worker that takes nothing
    timeout_s = 1000.0
    accepted = submit(server, "talk", timeout_s=timeout_s).json()["job_id"]
    message = json.loads(broker.ask("LINDEX", QUEUE, 0))
    broker.ask("DEL", QUEUE)
    assert store.cancel_now(accepted, {"detail": "no longer wanted"})
    store.sign_off(IDLER.name)
    store.close()
    hard, soft = message["headers"]["timelimit"]
    assert soft is None
    assert hard > timeout_s + RUNS * timeout_s + SAY_SECONDS


@contextmanager
def waiting_for_its_episode(server: Server, hold: Hold, **fields: object) -> Iterator[str]:
    """A job whose turn has come while another run holds its episode, until the block ends."""
    held = Holder(
        ep_id="show", run_id="other", execution_mode="cli", pid=1, host="here", since=now()
    )
    first = submit(server, "talk", **SLOW).json()["job_id"]
    wait_for(lambda: job(server, first)["state"] == "in_progress")
    accepted = submit(server, "show", **fields).json()["job_id"]
    other = hold(held)
    server.client.post(f"/celery_jobs/{first}/cancel")
    yield accepted
    other.kill()
    other.wait()


def test_waiting_too_long_is_said_and_less_takes_nothing_from_the_time_of_the_run(
    server: Server, broker: Redis, data_root: Path
) -> None:
    """A run is ended `timeout_s` after its own start, however long its job waited before."""
    timeout_s = 4.0
    with worker(data_root, broker.url) as running, holding(Layout(data_root)) as hold:
        with waiting_for_its_episode(server, hold, timeout_s=1) as accepted:
            end = ended(server, accepted)
        assert (end["state"], end["error"]["status"]) == ("failed", 504)
        assert "held by another run for 1 s" in end["error"]["detail"]

        with waiting_for_its_episode(server, hold, timeout_s=timeout_s, **SLOW) as accepted:
            wait_for(lambda: job(server, accepted)["state"] == "in_progress", what="it to wait")
            since = time.monotonic()
            wait_for(lambda: time.monotonic() - since > 0.4 * timeout_s, what="a part of its time")
        run = wait_for(running.runs, what="the run")[0]
        begun = run.create_time()
        end = ended(server, accepted)
    assert (end["state"], end["error"]["status"]) == ("failed", 504)
    assert end["error"]["detail"] == f"The run took longer than {timeout_s:g} s."
    assert time.time() - begun >= timeout_s


def test_a_limit_that_celery_was_given_ends_the_job_with_a_sentence(
    server: Server, broker: Redis, data_root: Path
) -> None:
    """As any exception in the task that nobody expected: the job is not left unfinished."""
    with worker(data_root, broker.url, "--soft-time-limit", "4") as running:
        accepted = submit(server, "show", **SLOW).json()
        processes = wait_for(running.runs, what="the run")
        end = ended(server, accepted["job_id"])
        assert end["state"] == "failed"
        assert "SoftTimeLimitExceeded" in end["error"]["detail"]
        wait_for(lambda: gone(processes), what="the run's end")
        assert submit(server, "show", stride=12).status_code == 202
