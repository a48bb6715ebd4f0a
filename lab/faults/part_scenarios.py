"""Faults of a job that is divided among workers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apps.common.layout import Layout
from lab.faults.scenarios import (
    PATIENCE,
    Stack,
    Trial,
    judge_job,
    left,
    state,
    submit,
    wait_for_end,
)
from lab.processes.queue import Worker
from lab.processes.service import Server, add_episode, wait_for

DIVIDED = {"stride": 4, "det_size": 320, "max_cpu_percent": 30, "segments": 4}
VIDEO = "short_hamilton_clip.mp4"  # of several closed groups of pictures
_LEASE_SECONDS = 3.0  # as the stack's


@contextmanager
def divided(stack: Stack) -> Iterator[tuple[Server, list[Worker], str]]:
    """The API, two workers, and a job that both work on."""
    stack.episode = f"{stack.episode}-divided"
    add_episode(stack.data_root, stack.episode, stack.video.with_name(VIDEO))
    with stack.api() as server, stack.worker() as one, stack.worker() as two:
        job = submit(stack, server, **DIVIDED)
        wait_for(lambda: one.parts() and two.parts(), PATIENCE, "both at work")
        yield server, [one, two], job


def _led(server: Server, workers: list[Worker], job: str) -> tuple[Worker, Worker]:
    """Who leads, and who helps."""
    name = str(server.client.get(f"/celery_jobs/{job}").json()["worker"])
    one, two = workers
    return (one, two) if one.log.stem in name else (two, one)


def _judge(stack: Stack, server: Server, job: str) -> Trial:
    trial = judge_job(stack, server, job)
    is_left = Layout(stack.data_root).parts(job).exists()
    trial.orphans += int(is_left)
    return trial


def part_process_killed(stack: Stack) -> Trial:
    """`kill -9` of a process that makes a part on each worker, or puts them together."""
    with divided(stack) as (server, workers, job):
        stack.moment()
        for worker in stack.rng.sample(workers, 2):
            for process in [*worker.parts(), *worker.runs()][:1]:
                process.kill()
        return _judge(stack, server, job)


def part_helper_killed(stack: Stack) -> Trial:
    """`kill -9` of a worker that helps, and of all that it started."""
    with divided(stack) as (server, workers, job):
        _, helper = _led(server, workers, job)
        stack.moment()
        for process in helper.tree():
            process.kill()
        return _judge(stack, server, job)


def part_leader_killed(stack: Stack) -> Trial:
    """The same of the one that leads, at any phase: the other goes on with what is made."""
    with divided(stack) as (server, workers, job):
        leader, _ = _led(server, workers, job)
        time.sleep(stack.rng.uniform(0, 10))  # also while they are put together
        for process in leader.tree():
            process.kill()
        return _judge(stack, server, job)


def part_worker_frozen(stack: Stack) -> Trial:
    """One of two workers hears of nothing for longer than its lease, while its part goes on."""
    with divided(stack) as (server, workers, job):
        stack.moment()
        worker = stack.rng.choice(workers)
        frozen = [*worker.pool(), *worker.tree()[:1]]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * _LEASE_SECONDS)
        for process in frozen:
            process.send_signal(signal.SIGCONT)
        return _judge(stack, server, job)


def parts_redis_restarted(stack: Stack) -> Trial:
    """Redis stops while parts are made, or put together, and comes back."""
    with divided(stack) as (server, _, job):
        stack.moment()
        stack.redis.stop()
        time.sleep(stack.rng.uniform(0.5, 3))
        stack.redis.start()
        return _judge(stack, server, job)


def parts_cancelled(stack: Stack) -> Trial:
    """A divided job is cancelled at any phase: all of it ends within three seconds."""
    with divided(stack) as (server, _, job):
        stack.moment()
        server.client.post(f"/celery_jobs/{job}/cancel")
        end, runs = wait_for_end(server, job), stack.completed_runs(server)
        is_consistent = (end, runs) in (("cancelled", 0), ("success", 1))
        orphans = left(stack)
        again = wait_for_end(server, submit(stack, server, **{**DIVIDED, "segments": "off"}))
        is_done = state(server, job) == end and again == "success"
        return Trial(int(is_done), int(not (is_consistent and is_done)), 0, orphans)


FAULTS: dict[str, Callable[[Stack], Trial]] = {
    function.__name__: function
    for function in (
        part_process_killed,
        part_helper_killed,
        part_leader_killed,
        part_worker_frozen,
        parts_redis_restarted,
        parts_cancelled,
    )
}
