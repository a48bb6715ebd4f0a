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

_READ_AT_ONCE = 500  # records in one answer of Redis


@dataclass(frozen=True)
class Queue:
    """What Redis has of the jobs that are asked for.

    Args:
        jobs: those that wait with how many unfinished ones came before.
        workers: that listen; asked only where a job waits for one.
        problem: why nothing is known.
    """

    jobs: list[ActiveRun] = field(default_factory=list)
    workers: int | None = None
    problem: str | None = None

    @classmethod
    def of(cls, store: JobStore, ep_id: str | None) -> Queue:
        """An episode's newest jobs, or all unfinished ones; to be asked in a thread of Redis."""
        jobs = store.active() if ep_id is None else store.of_episode(ep_id)
        waiting = [job.request.job_id for job in jobs if job.state == "queued"]
        if not waiting:
            return cls([_line(job) for job in jobs])
        ahead = store.ahead(waiting)
        return cls(
            [_line(job, ahead.get(job.request.job_id)) for job in jobs], store.worker_count()
        )

    def with_direct(self, direct: Iterable[ActiveRun], ep_id: str | None = None) -> ActiveRuns:
        """Its jobs beside what runs without it; a job that runs on this host is one of both.

        Args:
            direct: as `direct_runs` finds them.
            ep_id: only this episode's.
        """
        listed = {(run.ep_id, run.run_id) for run in self.jobs}
        others = [
            run
            for run in direct
            if ep_id in (None, run.ep_id) and (run.ep_id, run.run_id) not in listed
        ]
        items = [*others, *self.jobs]
        return ActiveRuns(
            items=items, total=len(items), queue_problem=self.problem, workers=self.workers
        )


class WaitingJobs:
    """All unfinished jobs, asked again and again: one that waits is read once, for its turn.

    For one thread at a time.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._known: dict[str, ActiveRun] = {}

    def look(self) -> Queue:
        """As `Queue.of` for all; it does not count workers."""
        turns = self._store.turns()
        lines = {job_id: run for job_id, run in self._known.items() if turns.get(job_id, False)}
        missing = [job_id for job_id in turns if job_id not in lines]
        for first in range(0, len(missing), _READ_AT_ONCE):
            found = self._store.read_all(missing[first : first + _READ_AT_ONCE])
            jobs = {name: job for name, job in found.items() if isinstance(job, QueueJob)}
            lines |= {job_id: _line(job) for job_id, job in jobs.items()}
        ordered = {job_id: lines[job_id] for job_id in turns if job_id in lines}
        self._known = {id_: run for id_, run in ordered.items() if run.state == "queued"}
        places = {job_id: place for place, job_id in enumerate(turns)}
        return Queue(
            [
                run.model_copy(update={"ahead": places[job_id]}) if run.state == "queued" else run
                for job_id, run in ordered.items()
            ]
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


def _line(job: QueueJob, ahead: int | None = None) -> ActiveRun:
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
