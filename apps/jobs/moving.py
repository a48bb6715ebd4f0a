"""An episode that is moved, or runs of it: no other host works on it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.common.errors import EpisodeBusy, QueueUnavailable
from apps.common.layout import Layout
from apps.common.names import new_run_id
from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobStore, QueueJob
from apps.runs.lock import busy_error, is_held


@contextmanager
def moving(layout: Layout, jobs: JobStore, ep_id: str) -> Iterator[None]:
    """Keeps other hosts from the episode for the time of the block, where Redis is there.

    Others on this host are found by the episode's file lock, which whoever moves takes as well.

    Raises:
        EpisodeBusy: something works on it.
    """
    lease = moving_lease(layout, jobs, ep_id)
    take(lease, ep_id)
    try:
        yield
    finally:
        lease.give_back()


def moving_lease(layout: Layout, jobs: JobStore, ep_id: str) -> EpisodeLease:
    """The lease to take.

    Raises:
        EpisodeBusy: a run on this host holds the episode.
    """
    if is_held(layout, ep_id):
        raise busy_error(layout, ep_id)
    return EpisodeLease(jobs, ep_id, f"moved-{new_run_id()}")


def take(lease: EpisodeLease, ep_id: str) -> None:
    """Takes it.

    Raises:
        EpisodeBusy: another host works on the episode.
    """
    if not lease.take():
        raise EpisodeBusy(
            f"Episode {ep_id!r} is running on another host.",
            hint="Wait until that run ends, or stop it, then try again.",
        )


def unfinished_jobs(jobs: JobStore, ep_id: str) -> list[QueueJob]:
    """The episode's jobs that wait or run; without Redis none can begin."""
    try:
        return [job for job in jobs.of_episode(ep_id) if not job.is_finished]
    except QueueUnavailable:
        return []


def waits(job: QueueJob) -> EpisodeBusy:
    """Why nothing is removed that a job is for."""
    spec, job_id = job.request.spec, job.request.job_id
    return EpisodeBusy(
        f"Job {job_id} of episode {spec.ep_id!r} is {job.state}.",
        hint=f"Cancel it first: POST /celery_jobs/{job_id}/cancel.",
        execution_mode=spec.execution_mode,
        run_id=spec.run_id,
        job_id=job_id,
    )


def waited_for(jobs: JobStore, ep_id: str) -> dict[str, EpisodeBusy]:
    """Runs of an episode that an unfinished job is for, with why they stay."""
    return {job.request.spec.run_id: waits(job) for job in unfinished_jobs(jobs, ep_id)}
