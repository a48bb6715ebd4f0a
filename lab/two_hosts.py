"""What dividing a job gains and costs: two hosts with one core each, against one of them.

Each worker is held on a core of its own and believes to be on a host of its own (a UTS namespace:
Linux, as root). The same episode is queued in turns: for the first worker alone, and divided among
both. Wall clock and CPU of all processes are compared as ratios; medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from apps.common.layout import Layout
from apps.common.names import new_run_id
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, resolve
from apps.common.schemas import Segments
from apps.common.settings import Settings
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore
from apps.jobs.submit import new_job_id
from apps.runs.record import now
from apps.runs.spec import RunSpec
from apps.runs.store import read_manifest
from lab import arguments as values
from lab.parts import differing, results
from lab.processes.ending import all_ended
from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import add_episode

_HOST = HostFacts(("CPUExecutionProvider",), frozenset(), thread_limit=1)
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Figures:
    """Of one job: seconds from its sending to its end, and CPU seconds of its processes."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, {self.cpu_s:.1f} s of CPU"


@dataclass(frozen=True)
class Bench:
    """A queue, an episode, and how it is run."""

    root: Path
    redis: Redis
    store: JobStore
    stride: int

    def job(self, segments: Segments) -> tuple[JobRequest, Figures]:
        """Queues it and waits for its end."""
        asked = RunRequest(stride=self.stride, fps=1000, people=True)
        spec = RunSpec(
            ep_id="show",
            run_id=new_run_id(),
            execution_mode="redis",
            resolution=resolve(asked, {}, _HOST),
            data_root=str(self.root),
        )
        request = JobRequest(
            job_id=new_job_id(),
            spec=spec,
            timeout_s=3600,
            submitted_at=now(),
            segments=segments,
        )
        self.store.register(request)
        begun = time.monotonic()
        Publisher(Settings(redis_url=self.redis.url)).send(request)
        while not (found := self.store.read(request.job_id)).is_finished:
            time.sleep(_POLL_SECONDS)
        wall_s = time.monotonic() - begun
        if found.result is None:
            raise RuntimeError(f"the job failed: {found.problem}")
        return request, Figures(wall_s, found.result.cpu.seconds)


@contextmanager
def held_worker(root: Path, redis: Redis, host: str, core: int) -> Iterator[Worker]:
    """A worker of a host of that name, on one core."""
    with worker(root, redis.url, host=host, SCREENALYTICS_LEASE_S="30") as running:
        for process in running.tree():
            process.cpu_affinity([core])
        yield running


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("video", type=Path)
    p.add_argument("--stride", type=values.positive, default=3)
    p.add_argument("--segments", default="auto", help="of the divided job (default: auto)")
    p.add_argument("--rounds", type=values.positive, default=3)
    asked = p.parse_args()
    segments: Segments = int(asked.segments) if asked.segments.isdecimal() else asked.segments
    load = os.getloadavg()[0]
    alone: list[Figures] = []
    shared: list[Figures] = []
    with all_ended() as folder, ExitStack() as stack:
        root = folder / "data"
        add_episode(root, "show", asked.video)
        redis = stack.enter_context(redis_server(folder / "redis"))
        bench = Bench(root, redis, JobStore(redis.url, 30), asked.stride)
        stack.enter_context(held_worker(root, redis, "one", 0))
        for round_ in range(asked.rounds):
            whole, figures = bench.job("off")
            alone.append(figures)
            with held_worker(root, redis, "two", 1):
                divided, figures = bench.job(segments)
            shared.append(figures)
            parts = len(read_manifest(Layout(root), "show", divided.spec.run_id).parts)
            other = differing(results(root, whole.spec.run_id), results(root, divided.spec.run_id))
            print(
                f"round {round_ + 1}: one host {alone[-1]}; two hosts {figures}; {parts} parts; "
                + (f"other: {', '.join(other)}" if other else "the same results"),
                flush=True,
            )
    pairs = list(zip(alone, shared, strict=True))
    wall = statistics.median(two.wall_s / one.wall_s for one, two in pairs)
    cpu = statistics.median(two.cpu_s / one.cpu_s for one, two in pairs)
    cores = psutil.cpu_count()
    print(f"two hosts over one: {wall:.2f} of the wall clock, {cpu:.3f} of the CPU")
    print(f"{cores} cores, load average {load:.1f} at the start, stride {asked.stride}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
