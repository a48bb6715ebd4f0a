"""Hosts that share nothing but Redis and a bucket, each with its own way to both."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from apps.common.layout import Layout
from apps.objects.outbox import due
from apps.objects.records import StoredRun, object_key, objects_of, record_key
from lab.faults.scenarios import Stack
from lab.processes.bucket import (
    KEY,
    S3,
    SECRET,
    Answer,
    Faults,
    proxy,
    s3_server,
)
from lab.processes.link import Link, linked
from lab.processes.queue import Worker, worker
from lab.processes.service import Server, clean_environment, serving

PREFIX = "shows/"


@dataclass
class Host:
    """One data root, and the programs on it."""

    name: str
    root: Path
    url: str
    bucket: str
    faults: Faults
    redis: Link
    _programs: dict[type, tuple[Server | Worker, ExitStack]] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SCREENALYTICS_REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
            "SCREENALYTICS_STORAGE": f"s3://{self.bucket}/{PREFIX.rstrip('/')}",
            "SCREENALYTICS_STORAGE_REFRESH_S": "1",
            "SCREENALYTICS_LEASE_S": "3",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def api(self) -> Server:
        """Its API, started where none lives."""
        known, _ = self._programs.get(Server, (None, None))
        if isinstance(known, Server) and known.process.poll() is None:
            return known
        self.end(Server)
        closing = ExitStack()
        started = closing.enter_context(serving(self.root, **self.environment))
        self._programs[Server] = (started, closing)
        return started

    def worker(self) -> Worker:
        """Its worker, started where none lives."""
        known, _ = self._programs.get(Worker, (None, None))
        if isinstance(known, Worker) and known.process.poll() is None:
            return known
        self.end(Worker)
        closing = ExitStack()
        own: dict[str, Any] = dict(self.environment)
        url = own.pop("SCREENALYTICS_REDIS_URL")
        started = closing.enter_context(worker(self.root, url, **own))
        self._programs[Worker] = (started, closing)
        return started

    def end(self, *kinds: type) -> None:
        for kind in kinds or (Server, Worker):
            if kind in self._programs:
                self._programs.pop(kind)[1].close()

    def kill(self, kind: type) -> None:
        """`kill -9` of a program and all that it started."""
        running = self._programs[kind][0]
        tree = [psutil.Process(running.process.pid)]
        tree += tree[0].children(recursive=True)
        for process in tree if kind is Worker else tree[:1]:
            process.kill()
        running.process.wait()

    def cli(self) -> dict[str, str]:
        return clean_environment(**self.environment)

    def waits(self) -> list[tuple[str, str]]:
        """Runs that are to be stored."""
        return due(self.layout)


@dataclass
class Hosts:
    """All of them, and the bucket as it really is."""

    s3: S3
    bucket: str
    hosts: dict[str, Host]
    watch: Watch = field(init=False)  # of the trial that is on

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def only_workers(self, *names: str) -> None:
        """Of these hosts alone."""
        for name, host in self.hosts.items():
            if name not in names:
                host.end(Worker)
        for name in names:
            self.hosts[name].worker()

    def keys(self, below: str) -> list[str]:
        keys = (key.removeprefix(PREFIX) for key in self.s3.keys(self.bucket))
        return [key for key in keys if key.startswith(below)]

    def put(self, key: str, body: bytes) -> None:
        self.s3.put(self.bucket, PREFIX + key, body)

    def get(self, key: str) -> bytes:
        return self.s3.get(self.bucket, PREFIX + key)

    def records(self, ep_id: str) -> dict[str, StoredRun]:
        """The records of an episode, by run."""
        names = [Path(key).stem for key in self.keys(f"published/{ep_id}/runs/")]
        return {
            name: StoredRun.model_validate_json(self.get(record_key(ep_id, name))) for name in names
        }

    def broken(self, ep_id: str, run_id: str, run: StoredRun) -> list[str]:
        """Files of a stored run that are not there, or are others."""
        where, found = objects_of(ep_id, run_id, run.token), []
        there = set(self.keys(where))
        for file in run.files:
            key = object_key(where, file.name, file.kind)
            body = self.get(key) if key in there else b""
            is_it = hashlib.sha256(body).hexdigest() == file.sha256
            if key not in there or len(body) != file.size_bytes or not is_it:
                found.append(key)
        return found

    def strays(self, ep_id: str) -> list[str]:
        """Objects of runs that no record names."""
        known = [objects_of(ep_id, name, run.token) for name, run in self.records(ep_id).items()]
        keys = self.keys(f"runs/{ep_id}/")
        return [key for key in keys if not any(key.startswith(where) for where in known)]

    def away(self, how: Answer, *names: str) -> None:
        """The storage is away for these hosts; for all where none is named."""
        for name in names or self.hosts:
            self.hosts[name].faults.away = how

    def away_is_over(self, *names: str) -> None:
        for name in names or self.hosts:
            self.hosts[name].faults.away = None

    def back(self) -> None:
        """All is well again."""
        for host in self.hosts.values():
            host.faults.away = None
            host.faults.rules.clear()
            host.redis.mend()


@contextmanager
def hosts_of(stack: Stack) -> Iterator[Hosts]:
    """Three hosts with the trial's episode in their bucket; kept where the stack is."""
    with ExitStack() as closing:
        if stack.kept is None:
            made = closing.enter_context(_started(stack))
        else:
            made = stack.kept.held(Hosts, _started(stack))
            stack.kept.end(Worker)  # it has no storage
            stack.kept.end_other_workers = made.only_workers
        made.back()
        closing.callback(made.back)
        made.put(f"videos/{stack.episode}/episode.mp4", stack.video.read_bytes())
        made.watch = closing.enter_context(Watch(made, stack.episode))
        yield made


@contextmanager
def _started(stack: Stack) -> Iterator[Hosts]:
    folder = stack.data_root.parent
    with ExitStack() as closing:
        s3 = closing.enter_context(s3_server(folder))
        bucket = s3.bucket()
        hosts = {}
        for name in ("one", "two", "three"):
            root = folder / name / "data"
            root.mkdir(parents=True)
            url, faults = closing.enter_context(proxy(s3))
            link = closing.enter_context(linked(stack.redis.port))
            hosts[name] = Host(name, root, url, bucket, faults, link)
            closing.callback(hosts[name].end)
        yield Hosts(s3, bucket, hosts)


class Watch:
    """Looks at the bucket from time to time: what can be seen there must be whole."""

    def __init__(self, hosts: Hosts, ep_id: str) -> None:
        self._hosts, self._ep_id = hosts, ep_id
        self.half: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        seen: set[str] = set()
        while not self._stop.wait(0.5):
            for name, run in self._hosts.records(self._ep_id).items():
                if run.token not in seen:
                    seen.add(run.token)
                    self.half += self._hosts.broken(self._ep_id, name, run)
