"""Faults, injected into real processes at random moments, and what became of the work.

`tests/faults/test_faults.py` runs each once; `make faults` runs each many times and writes
docs/reliability.md. There a trial starts its own Redis, API and worker; the test lets those that a
trial leaves alive serve the next one, which has an episode of its own.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import redis

from apps.common.layout import Layout
from apps.runs.launch import PART_MODULE, RUN_MODULE
from lab.faults.evidence import ANSWERS
from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import Server, add_episode, gone, serving, wait_for

RUN = {"stride": 4, "det_size": 320, "max_cpu_percent": 30}  # four seconds, most of them at rest
SHORT_RUN = {"stride": 60, "det_size": 320}  # where it matters only that it completes
LONGEST_MOMENT = 4.0  # seconds after the request within which a fault strikes
PATIENCE = 60.0
PROGRAMS = (
    RUN_MODULE,
    PART_MODULE,
    "apps.cli.make_preview",
    "apps.cli.probe",
)  # end with their launcher
Program = TypeVar("Program", Server, Worker)
Held = TypeVar("Held")


@dataclass
class Trial:
    """What became of the accepted work of one trial.

    `seconds` is the longest time from the end of a client or a server to that of its run.
    """

    completed: int = 0
    lost: int = 0
    doubled: int = 0
    orphans: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        return self.lost == self.doubled == self.orphans == 0


class Kept:
    """Programs that go on from one trial to the next; a new one stands for each that died.

    Attributes:
        end_other_workers: ends those that other trials keep, who would take this one's jobs.
    """

    def __init__(self) -> None:
        self.end_other_workers: Callable[[], None] = lambda: None
        self._running: dict[type, tuple[Server | Worker, ExitStack]] = {}
        self._held: dict[type, Any] = {}
        self._closing = ExitStack()

    def held(self, kind: type[Held], start: AbstractContextManager[Held]) -> Held:
        """What is started once, and there to the end of all trials."""
        if kind not in self._held:
            self._held[kind] = self._closing.enter_context(start)
        found: Held = self._held[kind]
        return found

    def close(self) -> None:
        self.end(Server, Worker)
        self._closing.close()

    def one(self, kind: type[Program], start: AbstractContextManager[Program]) -> Program:
        running, _ = self._running.get(kind, (None, None))
        if isinstance(running, kind) and running.process.poll() is None:
            return running
        self.end(kind)
        closing = ExitStack()
        started = closing.enter_context(start)
        self._running[kind] = (started, closing)
        return started

    def end(self, *kinds: type) -> None:
        for kind in kinds:
            if kind in self._running:
                self._running.pop(kind)[1].close()


@dataclass
class Stack:
    """Redis, API and worker of one trial, and the episode that it is about."""

    data_root: Path
    video: Path
    redis: Redis
    rng: random.Random
    episode: str = "show"
    seed: int = 1
    episodes: int = 20  # where there are many
    kept: Kept | None = None
    quick: bool = False  # what is away comes back soon
    ends: list[float] = field(default_factory=list)  # seconds that runs were still there
    _kept_worker_in_use: bool = False

    @property
    def layout(self) -> Layout:
        return Layout(self.data_root)

    def note(self, text: str) -> None:
        """Keeps what a client was answered, for the case that the trial is not clean."""
        with (self.data_root.parent / ANSWERS).open("a") as stream:
            stream.write(f"{time.time():.3f} {text}\n")

    @contextmanager
    def api(self, **environment: str) -> Iterator[Server]:
        settings = {"SCREENALYTICS_REDIS_URL": self.redis.url, "SCREENALYTICS_LEASE_S": "3"}
        start = serving(self.data_root, **settings, **environment)
        if self.kept is not None and not environment:
            yield self.kept.one(Server, start)
            return
        with start as server:
            yield server

    @contextmanager
    def worker(self, concurrency: int = 1) -> Iterator[Worker]:
        start = worker(self.data_root, self.redis.url, concurrency=concurrency)
        if self.kept is not None:
            self.kept.end_other_workers()
        if self.kept is not None and concurrency == 1 and not self._kept_worker_in_use:
            self._kept_worker_in_use = True
            try:
                yield self.kept.one(Worker, start)
            finally:
                self._kept_worker_in_use = False
            return
        if self.kept is not None and concurrency > 1:
            self.kept.end(Worker)  # it would take the job
        with start as running:
            yield running

    def moment(self) -> None:
        """Waits until a fault is due."""
        time.sleep(self.rng.uniform(0, LONGEST_MOMENT))

    def completed_runs(self, server: Server, ep_id: str | None = None) -> int:
        runs = server.client.get(f"/episodes/{ep_id or self.episode}/runs").json()["items"]
        return [run["status"] for run in runs].count("completed")

    def orphans(self) -> list[psutil.Process]:
        """Run processes of this trial that are alive, wherever they hang in the process tree."""
        return orphans_of({str(self.data_root)})


@contextmanager
def shared_stack(
    folder: Path, video: Path, *, quick: bool = True
) -> Iterator[Callable[[str, int], Stack]]:
    """Gives a function that makes what one trial needs, from the episode's name and a seed."""
    with redis_server(folder / "redis") as redis:
        kept = Kept()

        def of_trial(episode: str, seed: int) -> Stack:
            add_episode(folder / "data", episode, video)
            rng = random.Random(seed)
            return Stack(
                folder / "data",
                video,
                redis,
                rng,
                episode,
                seed,
                episodes=4 if quick else 20,
                kept=kept,
                quick=quick,
            )

        try:
            yield of_trial
        finally:
            kept.close()


def orphans_of(roots: set[str]) -> list[psutil.Process]:
    """Run processes with one of these data roots."""
    return [p for p in psutil.process_iter() if _belongs(p, roots)]


def _belongs(process: psutil.Process, roots: set[str]) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        ours = any(name in part for part in process.cmdline() for name in PROGRAMS)
        return ours and process.environ().get("SCREENALYTICS_DATA_ROOT") in roots
    except psutil.Error:
        return False


# What is asked, and what is waited for.


def submit(stack: Stack, server: Server, **fields: Any) -> str:
    body = {"ep_id": stack.episode, **(fields or RUN)}
    answer = server.client.post("/celery_jobs/detect_track", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def state(server: Server, job_id: str) -> str:
    answer = server.client.get(f"/celery_jobs/{job_id}")
    return str(answer.json()["state"]) if answer.status_code == 200 else "unknown"


def wait_for_end(server: Server, job_id: str) -> str:
    """The state in which the job ended; the last one seen where it did not."""
    ends = ("success", "failed", "cancelled")
    with suppress(AssertionError):
        wait_for(lambda: state(server, job_id) in ends, PATIENCE, f"the end of {job_id}")
    return state(server, job_id)


def leave(stack: Stack, server: Server, after: float) -> None:
    """Sends a local request, and closes the connection some time later."""
    body = json.dumps({"ep_id": stack.episode, "execution_mode": "local", **RUN})
    head = "POST /celery_jobs/detect_track HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall((head + body).encode())
        time.sleep(after)


def works_again(stack: Stack, server: Server) -> bool:
    """The episode is free within two seconds, and a local run of it completes."""
    deadline = time.monotonic() + 2.0
    while True:
        code = server.detect_track(stack.episode, **SHORT_RUN).status_code
        if code != 409 or time.monotonic() > deadline:
            return code == 200
        time.sleep(0.1)


def judge_job(stack: Stack, server: Server, job_id: str, wanted: str = "success") -> Trial:
    """The job must have ended as wanted, with exactly one completed run where it succeeded."""
    end = wait_for_end(server, job_id)
    runs = stack.completed_runs(server)
    return Trial(
        completed=int(end == "success" and runs == 1),
        lost=int(end != wanted or (end == "success" and runs == 0)),
        doubled=max(0, runs - 1),
        orphans=left(stack),
    )


def left(stack: Stack) -> int:
    """Processes that are still there two seconds after they should have ended."""
    begun = time.monotonic()
    try:
        wait_for(lambda: not stack.orphans(), 2.5)
    except AssertionError:
        return len(stack.orphans())
    finally:
        stack.ends.append(time.monotonic() - begun)
    return 0


# The faults.


def worker_killed(stack: Stack) -> Trial:
    """`kill -9` of the worker in the middle of a job; another one is started."""
    with stack.api() as server:
        with stack.worker() as first:
            job = submit(stack, server)
            stack.moment()
            first.kill()
        with stack.worker():
            return judge_job(stack, server, job)


def pool_process_killed(stack: Stack) -> Trial:
    """`kill -9` of the worker's process that executes the job."""
    with stack.api() as server, stack.worker() as running:
        job = submit(stack, server)
        stack.moment()
        for process in running.pool():
            process.kill()
        return judge_job(stack, server, job)


def run_killed_queued(stack: Stack) -> Trial:
    """`kill -9` of the run's own process, as by a system out of memory; a queued job."""
    with stack.api() as server, stack.worker() as running:
        job = submit(stack, server)
        stack.moment()
        for process in running.runs():
            process.kill()
        return judge_job(stack, server, job)


def run_killed_local(stack: Stack) -> Trial:
    """The same in local mode: the request gets its answer, and the episode is free."""
    with stack.api() as server:
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: answers.append(server.detect_track(stack.episode, **RUN)), daemon=True
        )
        thread.start()
        stack.moment()
        for process in server.run_processes():
            process.kill()
        thread.join(PATIENCE)
        is_answered = bool(answers) and answers[0].status_code in (200, 500)
        first = bool(answers) and answers[0].status_code == 200
        again = works_again(stack, server)
        runs = stack.completed_runs(server)
        return Trial(
            completed=int(again),
            lost=int(not is_answered or not again),
            doubled=max(0, runs - 1 - int(first)),
            orphans=left(stack),
        )


def api_killed_local(stack: Stack) -> Trial:
    """`kill -9` of the API with a local run: it dies with its request."""
    with stack.api() as server:
        thread = threading.Thread(target=_ignored, args=(stack, server), daemon=True)
        thread.start()
        stack.moment()
        server.process.kill()
        server.process.wait()
        orphans = left(stack)
        thread.join(5)
    with stack.api() as server:
        before = stack.completed_runs(server)
        again = works_again(stack, server)
        after = stack.completed_runs(server)
        return Trial(int(again), int(not again), max(0, after - before - 1), orphans)


def _ignored(stack: Stack, server: Server) -> None:
    with suppress(httpx.HTTPError):
        server.detect_track(stack.episode, **RUN)


def api_killed_queued(stack: Stack) -> Trial:
    """`kill -9` of the API with a queued job: the job goes on, and the next API finds it."""
    with stack.worker():
        with stack.api() as server:
            job = submit(stack, server)
            stack.moment()
            server.process.kill()
            server.process.wait()
        with stack.api() as server:
            return judge_job(stack, server, job)


def redis_restarted(stack: Stack) -> Trial:
    """Redis stops in the middle of a job and comes back."""
    with stack.api() as server, stack.worker():
        job = submit(stack, server)
        stack.moment()
        stack.redis.stop()
        time.sleep(stack.rng.uniform(0.5, 3))
        stack.redis.start()
        return judge_job(stack, server, job)


def redis_away(stack: Stack) -> Trial:
    """Redis is away when a request comes: 503 within three seconds, then all is well."""
    with stack.api() as server, stack.worker():
        stack.redis.stop()
        start = time.monotonic()
        answer = server.client.post("/celery_jobs/detect_track", json={"ep_id": stack.episode})
        refused = answer.status_code == 503 and time.monotonic() - start < 3
        stack.redis.start()
        wait_for(lambda: _accepts(stack, server), PATIENCE, "the queue to work again")
        jobs = server.client.get("/celery_jobs", params={"ep_id": stack.episode}).json()["items"]
        job = str(jobs[0]["job_id"])
        trial = judge_job(stack, server, job)
        trial.lost += int(not refused)
        return trial


def _accepts(stack: Stack, server: Server) -> bool:
    body = {"ep_id": stack.episode, **SHORT_RUN}
    return server.client.post("/celery_jobs/detect_track", json=body).status_code == 202


def client_gone(stack: Stack) -> Trial:
    """A client leaves its local request at any phase."""
    with stack.api() as server:
        leave(stack, server, stack.rng.uniform(0, LONGEST_MOMENT))
        orphans = left(stack)
        before = stack.completed_runs(server)
        again = works_again(stack, server)
        doubled = max(0, stack.completed_runs(server) - before - 1)
        return Trial(int(again), int(not again), doubled, orphans)


def cancelled(stack: Stack) -> Trial:
    """A queued job is cancelled at any phase: it ends within three seconds, or had completed."""
    with stack.api() as server, stack.worker():
        job = submit(stack, server)
        stack.moment()
        end = str(server.client.post(f"/celery_jobs/{job}/cancel").json()["state"])
        runs = stack.completed_runs(server)
        consistent = (end, runs) in (("cancelled", 0), ("success", 1))
        orphans = left(stack)
        again = wait_for_end(server, submit(stack, server, **SHORT_RUN))
        return Trial(int(again == "success"), int(not consistent or again != "success"), 0, orphans)


def two_at_once(stack: Stack) -> Trial:
    """Two requests for one episode, one local and one queued: one runs, or they run in turn."""
    return _rivals(stack, 2)


def twenty_at_once(stack: Stack) -> Trial:
    """Twenty requests for one episode, local and queued: one runs, the others are refused."""
    return _rivals(stack, 20)


def _rivals(stack: Stack, count: int) -> Trial:
    with stack.api() as server, stack.worker():
        answers: list[httpx.Response] = []

        def ask(mode: str) -> None:
            with server.another_client(PATIENCE) as client:
                body = {"ep_id": stack.episode, "execution_mode": mode, **RUN}
                stack.note(f"{mode}: asked")
                try:
                    answers.append(client.post("/celery_jobs/detect_track", json=body))
                except httpx.HTTPError as error:
                    stack.note(f"{mode}: {error!r}")
                    raise
                stack.note(f"{mode}: {answers[-1].status_code} {answers[-1].text}")

        modes = ["redis", "local"] * (count // 2)
        threads = [threading.Thread(target=ask, args=(mode,), daemon=True) for mode in modes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        codes = [answer.status_code for answer in answers]
        jobs = [answer.json()["job_id"] for answer in answers if answer.status_code == 202]
        ends = [wait_for_end(server, job) for job in jobs]
        for job in jobs:
            stack.note(f"job: {server.client.get(f'/celery_jobs/{job}').text}")
        promised = codes.count(200) + len(jobs)
        runs = stack.completed_runs(server)
        unexpected = len([code for code in codes if code not in (200, 202, 409)])
        return Trial(
            completed=runs,
            lost=unexpected + count - len(codes) + max(0, promised - runs),
            doubled=max(0, runs - promised) + max(0, len(ends) - 1),
            orphans=left(stack),
        )


def twenty_episodes(stack: Stack) -> Trial:
    """Twenty local requests for twenty episodes: all done, never more at once than allowed."""
    names = [f"episode-{number:02d}" for number in range(stack.episodes)]
    for name in names:
        add_episode(stack.data_root, name, stack.video)
    allowed, largest, done = 2, 0, threading.Event()
    with stack.api(SCREENALYTICS_MAX_LOCAL_RUNS=str(allowed)) as server:
        codes: list[int] = []

        def ask(name: str) -> None:
            with server.another_client(3 * PATIENCE) as client:
                body = {"ep_id": name, "execution_mode": "local", **SHORT_RUN}
                codes.append(client.post("/celery_jobs/detect_track", json=body).status_code)

        def watch() -> None:
            nonlocal largest
            while not done.wait(0.25):  # a run takes longer
                # A run's own short-lived child looks like its parent until it executes.
                direct = psutil.Process(server.process.pid).children()
                runs = {p.pid for p in server.run_processes()}
                largest = max(largest, len([p for p in direct if p.pid in runs]))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3 * PATIENCE)
        done.set()
        watcher.join()
        completed = sum(stack.completed_runs(server, name) for name in names)
        return Trial(
            completed=completed,
            lost=len(names) - codes.count(200) + max(0, largest - allowed),
            doubled=max(0, completed - len(names)),
            orphans=left(stack),
        )


def worker_stopped(stack: Stack) -> Trial:
    """SIGTERM to the worker: it finishes its job, or a later one does."""
    with stack.api() as server:
        with stack.worker() as first:
            job = submit(stack, server)
            stack.moment()
            first.process.send_signal(signal.SIGTERM)
            first.process.wait(timeout=PATIENCE)
        with stack.worker():
            return judge_job(stack, server, job)


def timed_out(stack: Stack) -> Trial:
    """A run over its time limit ends, says so, and leaves the episode free."""
    with stack.api() as server, stack.worker() as running:
        limit = stack.rng.uniform(0.5, 2)
        job = submit(stack, server, timeout_s=limit, stride=4, max_cpu_percent=20)
        end = wait_for_end(server, job)
        problem = server.client.get(f"/celery_jobs/{job}").json()["error"] or {}
        orphans = left(stack)
        assert gone(running.runs())
        again = wait_for_end(server, submit(stack, server, **SHORT_RUN))
        is_timeout = end == "failed" and problem.get("status") == 504
        lost = int(not is_timeout or again != "success")
        return Trial(int(again == "success"), lost, 0, orphans)


def api_killed_before_sending(stack: Stack) -> Trial:
    """`kill -9` of the API between a job's registration and its sending; another one is started."""
    with stack.worker():
        with stack.api() as server:
            threading.Thread(target=_submitted, args=(stack, server), daemon=True).start()
            with redis.Redis(port=stack.redis.port, decode_responses=True) as client:
                deadline = time.monotonic() + PATIENCE
                while client.zcard("screenalytics:active") == 0:  # at once: it takes milliseconds
                    assert time.monotonic() < deadline
                server.process.kill()
                job = str(client.zrange("screenalytics:active", 0, 0)[0])
            server.process.wait()
        with stack.api() as server:
            return judge_job(stack, server, job)


def _submitted(stack: Stack, server: Server) -> None:
    with suppress(httpx.HTTPError):
        submit(stack, server, **SHORT_RUN)


def worker_killed_taking(stack: Stack) -> Trial:
    """`kill -9` of a worker that Redis has just given a job; another one is started."""
    with stack.api() as server:
        with stack.worker() as first:
            # It asks Redis for a second at a time. Stopped, it is given the job, and notes nothing.
            wait_for(lambda: "brpop" in str(stack.redis.ask("CLIENT", "LIST")))
            first.process.send_signal(signal.SIGSTOP)
            job = submit(stack, server, **SHORT_RUN)
            first.kill()
        with stack.worker():
            return judge_job(stack, server, job)


def connection_lost(stack: Stack) -> Trial:
    """All connections to Redis break in the middle of a job: its message comes again."""
    with stack.api() as server, stack.worker(concurrency=2):
        job = submit(stack, server)
        stack.moment()
        stack.redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        stack.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        trial = judge_job(stack, server, job)
        attempts = server.client.get(f"/celery_jobs/{job}").json()["attempts"]
        trial.lost += int(attempts != 1)  # nobody died
        return trial


def worker_frozen(stack: Stack) -> Trial:
    """A worker is stopped (SIGSTOP) for longer than its lease, and goes on beside another one."""
    with stack.api() as server, stack.worker() as first, stack.worker():
        job = submit(stack, server)
        stack.moment()
        frozen = [process for process in first.tree() if process not in first.runs()]
        for process in frozen:
            process.suspend()
        time.sleep(stack.rng.uniform(4, 7))  # a lease has three seconds
        for process in frozen:
            process.resume()
        return judge_job(stack, server, job)


def redis_full(stack: Stack) -> Trial:
    """Redis is out of memory for some seconds of a job."""
    with stack.api() as server, stack.worker():
        job = submit(stack, server)
        stack.moment()
        stack.redis.ask("CONFIG", "SET", "maxmemory", 1)
        refused = server.client.post("/celery_jobs/detect_track", json={"ep_id": stack.episode})
        time.sleep(stack.rng.uniform(0.5, 6))
        stack.redis.ask("CONFIG", "SET", "maxmemory", 0)
        trial = judge_job(stack, server, job)
        trial.lost += int(refused.status_code not in (409, 503))
        return trial


FAULTS: dict[str, Callable[[Stack], Trial]] = {
    function.__name__: function
    for function in (
        connection_lost,  # its worker is of another kind: before there is one to be kept
        worker_killed,
        pool_process_killed,
        worker_stopped,
        run_killed_queued,
        run_killed_local,
        api_killed_local,
        api_killed_queued,
        api_killed_before_sending,
        worker_killed_taking,
        worker_frozen,
        redis_restarted,
        redis_away,
        redis_full,
        client_gone,
        cancelled,
        two_at_once,
        twenty_at_once,
        twenty_episodes,
        timed_out,
    )
}
