"""What runs now and what waits: runs of this host, whoever started them, and jobs of the queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.api.run_registry import RunRegistry
from apps.common.contracts.manifest import Holder
from apps.common.layout import Layout
from apps.common.schemas import ActiveRun, ActiveRuns
from apps.jobs.store import JobStore, QueueJob
from apps.runs.lock import current_holders
from apps.runs.spec import RunSpec
from apps.runs.store import read_progress


@dataclass(frozen=True)
class Queue:
    """What Redis has of the jobs that are asked for.

    Args:
        ahead: by id, for those that wait, how many unfinished ones came before.
        workers: that listen; asked only where a job waits for one.
        problem: why nothing is known.
    """

    jobs: list[QueueJob] = field(default_factory=list)
    ahead: dict[str, int] = field(default_factory=dict)
    workers: int | None = None
    problem: str | None = None

    @classmethod
    def of(cls, store: JobStore, ep_id: str | None) -> Queue:
        """An episode's newest jobs, or all unfinished ones; to be asked in a thread of Redis."""
        jobs = store.active() if ep_id is None else store.of_episode(ep_id)
        waiting = [job.request.job_id for job in jobs if job.state == "queued"]
        if not waiting:
            return cls(jobs)
        return cls(jobs, store.ahead(waiting), len(store.workers()))

    def with_direct(self, direct: Iterable[ActiveRun], ep_id: str | None = None) -> ActiveRuns:
        """Its jobs beside what runs without it; a job that runs on this host is one of both.

        Args:
            direct: as `direct_runs` finds them.
            ep_id: only this episode's.
        """
        queued = [_line(job, self.ahead.get(job.request.job_id)) for job in self.jobs]
        listed = {(run.ep_id, run.run_id) for run in queued}
        others = [
            run
            for run in direct
            if ep_id in (None, run.ep_id) and (run.ep_id, run.run_id) not in listed
        ]
        items = [*others, *queued]
        return ActiveRuns(
            items=items, total=len(items), queue_problem=self.problem, workers=self.workers
        )


def direct_runs(layout: Layout, runs: RunRegistry) -> list[ActiveRun]:
    """Local runs of this server, and whatever else holds an episode on this host."""
    waiting, before = runs.specs(started=False), runs.specs(started=True)
    known: list[RunSpec | Holder] = [
        *before,
        *current_holders(layout),
    ]
    running = {(run.ep_id, run.run_id): run for run in known}
    return [
        *(_direct(layout, run, "in_progress") for run in running.values()),
        *(
            _direct(layout, spec, "queued", ahead=len(before) + place)
            for place, spec in enumerate(waiting)
        ),
    ]


def _direct(
    layout: Layout, run: RunSpec | Holder, state: str, *, ahead: int | None = None
) -> ActiveRun:
    return ActiveRun(
        run_id=run.run_id,
        ep_id=run.ep_id,
        execution_mode=run.execution_mode,
        state=state,
        progress=read_progress(layout, run.ep_id, run.run_id),
        ahead=ahead,
    )


def _line(job: QueueJob, ahead: int | None) -> ActiveRun:
    spec = job.request.spec
    return ActiveRun(
        run_id=spec.run_id,
        ep_id=spec.ep_id,
        execution_mode=spec.execution_mode,
        state=job.state,
        job_id=job.request.job_id,
        progress=job.progress,
        ahead=ahead,
    )
