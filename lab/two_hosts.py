"""What dividing a job gains and costs: two hosts with one core each, against one of them.

Each worker is held on a core of its own and believes to be on a host of its own (a UTS namespace:
Linux, as root). With `--namespaces` each has a network and an address of its own as well, and Redis
a third one; nothing of it is reached from outside. The same episode is queued in turns: for the
first worker alone, divided among both, and whole for each of them at the same time. Wall clock and
CPU of all processes are compared as ratios; medians of the rounds.

Cores of one machine share its memory, so a frame costs more CPU while the other core works as well.
Two whole jobs side by side tell how much; what a divided job costs beyond that is the dividing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from apps.common.layout import Layout
from apps.common.names import new_run_id
from apps.common.schemas import Segments
from apps.common.settings import Settings
from apps.jobs.parts import PartStore
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore
from apps.jobs.submit import new_job_id
from apps.runs.record import now
from apps.runs.store import read_manifest
from lab import arguments as values
from lab.parts import differing, results
from lab.processes.ending import all_ended
from lab.processes.network import BRIDGE, Host, enter_own_network, hosts
from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import add_episode
from lab.specs import SMALL_HOST, spec_of

_HOST = replace(SMALL_HOST, thread_limit=1)
_POLL_SECONDS = 0.05
_EPISODE, _TWIN = "show", "twin"  # of the same video
_INSIDE = "--in-own-network"


@dataclass(frozen=True)
class Figures:
    """Of one job: seconds from its sending to its end, and CPU seconds of its processes.

    Attributes:
        stages: seconds until a part was begun, a second host had one, a host had none left to
            begin, and all were made; then the run is put together.
    """

    wall_s: float
    cpu_s: float
    stages: tuple[float, ...] = ()

    def __str__(self) -> str:
        stages = ", ".join(f"{second:.1f}" for second in self.stages)
        return f"{self.wall_s:.1f} s, {self.cpu_s:.1f} s of CPU" + (
            f" ({stages})" if stages else ""
        )


class Stages:
    """Notes when a divided job comes to each stage of `Figures`, as Redis tells."""

    def __init__(self, parts: PartStore, job_id: str, since: float) -> None:
        self._parts = parts
        self._id = job_id
        self._begun = since
        self.seconds: list[float] = []

    def look(self) -> None:
        parts = self._parts.read(self._id)
        making = [part for part in parts if part.state == "in_progress"]
        left = [part for part in parts if part.state == "queued"]
        reached = (
            bool(parts),
            len({part.host for part in parts if part.host is not None}) > 1,
            bool(parts) and not left and len(making) < 2,
            bool(parts) and all(part.state == "made" for part in parts),
        )
        while len(self.seconds) < len(reached) and reached[len(self.seconds)]:
            self.seconds.append(time.monotonic() - self._begun)


@dataclass(frozen=True)
class Bench:
    """A queue, an episode, and how it is run."""

    root: Path
    redis: Redis
    store: JobStore
    stride: int
    people: bool

    def job(self, segments: Segments) -> tuple[JobRequest, Figures]:
        """Queues the episode and waits for its end."""
        request, since = self._send(_EPISODE, segments)
        return request, self._figures(request, since)

    def side_by_side(self) -> float:
        """CPU seconds of a whole job while another worker has the same one; mean of the two."""
        sent = [self._send(ep_id, "off") for ep_id in (_EPISODE, _TWIN)]
        return statistics.mean(self._figures(*each).cpu_s for each in sent)

    def _send(self, ep_id: str, segments: Segments) -> tuple[JobRequest, float]:
        """What was queued, and when its sending began."""
        spec = spec_of(
            self.root,
            ep_id,
            new_run_id(),
            mode="redis",
            host=_HOST,
            stride=self.stride,
            fps=1000,
            people=self.people,
        )
        request = JobRequest(
            job_id=new_job_id(),
            spec=spec,
            timeout_s=3600,
            submitted_at=now(),
            segments=segments,
        )
        self.store.register(request)
        since = time.monotonic()
        Publisher(Settings(redis_url=self.redis.url)).send(request)
        return request, since

    def _figures(self, request: JobRequest, since: float) -> Figures:
        """Of a job whose sending began then; waits for its end."""
        stages = Stages(PartStore(self.store), request.job_id, since)
        while not (found := self.store.read(request.job_id)).is_finished:
            stages.look()
            time.sleep(_POLL_SECONDS)
        wall_s = time.monotonic() - since
        if found.result is None:
            raise RuntimeError(f"the job failed: {found.problem}")
        return Figures(wall_s, found.result.cpu.seconds, tuple(stages.seconds))


@contextmanager
def held_worker(root: Path, redis: Redis, host: str | Host, core: int) -> Iterator[Worker]:
    """A worker of that host, or of a host of that name, on one core."""
    name, before = (host, ()) if isinstance(host, str) else (None, host.command)
    with worker(root, redis.url, host=name, before=before, SCREENALYTICS_LEASE_S="30") as running:
        for process in running.tree():
            process.cpu_affinity([core])
        yield running


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("video", type=Path)
    p.add_argument("--stride", type=values.positive, default=3)
    p.add_argument("--segments", default="auto", help="of the divided job (default: auto)")
    p.add_argument("--rounds", type=values.positive, default=3)
    p.add_argument("--no-people", action="store_true", help="tracks alone")
    p.add_argument("--namespaces", action="store_true", help="a network of its own for each host")
    p.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    asked = p.parse_args()
    if asked.namespaces and not asked.in_own_network:
        enter_own_network([sys.executable, "-m", "lab.two_hosts", *sys.argv[1:], _INSIDE])
    segments: Segments = int(asked.segments) if asked.segments.isdecimal() else asked.segments
    load = os.getloadavg()[0]
    rounds: list[tuple[Figures, Figures, float]] = []  # alone, shared; CPU beside another
    with all_ended() as folder, ExitStack() as stack:
        root = folder / "data"
        for ep_id in (_EPISODE, _TWIN):
            add_episode(root, ep_id, asked.video)
        one, two = stack.enter_context(hosts("one", "two")) if asked.namespaces else ("one", "two")
        address = BRIDGE if asked.namespaces else "127.0.0.1"
        options = ("--protected-mode", "no")  # loopback, or a network without a way in
        redis = stack.enter_context(redis_server(folder / "redis", *options, address=address))
        bench = Bench(root, redis, JobStore(redis.url, 30), asked.stride, not asked.no_people)
        stack.enter_context(held_worker(root, redis, one, 0))
        for round_ in range(asked.rounds):
            whole, alone = bench.job("off")
            with held_worker(root, redis, two, 1):
                divided, shared = bench.job(segments)
                beside_s = bench.side_by_side()
            rounds.append((alone, shared, beside_s))
            parts = len(read_manifest(Layout(root), _EPISODE, divided.spec.run_id).parts)
            other = differing(results(root, whole.spec.run_id), results(root, divided.spec.run_id))
            print(
                f"round {round_ + 1}: one host {alone}; two hosts {shared}; {parts} parts; "
                f"two whole jobs at once {beside_s:.1f} s of CPU each; "
                + (f"other: {', '.join(other)}" if other else "the same results"),
                flush=True,
            )
    wall = statistics.median(shared.wall_s / alone.wall_s for alone, shared, _ in rounds)
    cpu = statistics.median(shared.cpu_s / alone.cpu_s for alone, shared, _ in rounds)
    busy = statistics.median(shared.cpu_s / beside_s for _, shared, beside_s in rounds)
    cores = psutil.cpu_count()
    print(
        f"two hosts over one: {wall:.2f} of the wall clock, {cpu:.3f} of the CPU; "
        f"{busy:.3f} of the CPU of a whole job while both cores work"
    )
    print(f"{cores} cores, load average {load:.1f} at the start, stride {asked.stride}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
