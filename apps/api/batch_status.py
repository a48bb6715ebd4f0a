"""How far a batch is, by what has become of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from apps.common.batch_schemas import BatchEpisode, BatchState, BatchStatus, EpisodeState
from apps.common.errors import JobNotFound, JobUnreadable, QueueUnavailable
from apps.jobs.batches import Batch, BatchEntry
from apps.jobs.store import QueueJob

UNFINISHED: tuple[EpisodeState, ...] = ("queued", "in_progress", "retrying")
NOT_QUEUED = QueueUnavailable(
    "This episode is not queued.", hint="Wait a moment where the batch is new; else retry it."
).to_dict()
_FORGOTTEN = JobNotFound("Its job is not known any more.", hint="Retry the batch.").to_dict()


def status_of(batch: Batch, jobs: Mapping[str, QueueJob | JobUnreadable | None]) -> BatchStatus:
    """How far it is by its jobs, which are given by id."""
    found = {
        ep_id: None if entry.job_id is None else jobs.get(entry.job_id)
        for ep_id, entry in batch.entries.items()
    }
    items = [_episode(ep_id, batch.entries[ep_id], job) for ep_id, job in found.items()]
    counts = Counter(item.state for item in items)
    return BatchStatus(
        batch_id=batch.batch_id,
        created_at=batch.created_at,
        priority=batch.request.priority,
        state=_state(counts),
        total=len(items),
        counts=dict(counts),
        progress=round(sum(item.progress for item in items) / len(items), 4),
        eta_sec=_eta([job for job in found.values() if isinstance(job, QueueJob)]),
        items=items,
    )


def _episode(ep_id: str, entry: BatchEntry, job: QueueJob | JobUnreadable | None) -> BatchEpisode:
    state: EpisodeState
    if isinstance(job, QueueJob):
        state, error = job.state, job.problem
    elif isinstance(job, JobUnreadable):
        state, error = "failed", job.to_dict()
    elif entry.job_id is None or entry.problem is not None:
        state, error, entry = "refused", entry.problem or NOT_QUEUED, BatchEntry()
    else:
        state, error = "failed", _FORGOTTEN
    return BatchEpisode(
        ep_id=ep_id,
        job_id=entry.job_id,
        run_id=entry.run_id,
        state=state,
        progress=round(_done(job), 4) if isinstance(job, QueueJob) else 1.0,
        error=error,
    )


def _done(job: QueueJob) -> float:
    """Share of a job's frames."""
    if job.is_finished:
        return 1.0
    progress = job.progress
    if progress is None or progress.frames_total <= 0:
        return 0.0
    return min(1.0, progress.frames_done / progress.frames_total)


def _state(counts: Mapping[EpisodeState, int]) -> BatchState:
    if any(counts.get(state) for state in UNFINISHED):
        return "active"
    if counts.get("failed") or counts.get("refused"):
        return "failed"
    return "cancelled" if counts.get("cancelled") else "success"


def _eta(jobs: Sequence[QueueJob]) -> float | None:
    """Seconds until all have ended, by what the others took and as many at once as run now."""
    left = [job for job in jobs if not job.is_finished]
    if not left:
        return 0.0
    running = {job.request.job_id: job.progress for job in left if job.progress is not None}
    of_running = [
        (progress.elapsed_sec, progress.eta_sec)
        for progress in running.values()
        if progress.eta_sec is not None
    ]
    took = [job.result.elapsed_seconds for job in jobs if job.result is not None]
    took += [elapsed + eta for elapsed, eta in of_running]
    if not took:
        return None
    of_one = sum(took) / len(took)
    seconds = sum(eta for _, eta in of_running) + of_one * (len(left) - len(of_running))
    return round(seconds / max(1, len(running)), 1)
