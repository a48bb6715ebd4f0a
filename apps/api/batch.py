"""Queues many episodes in one request, tells how far they are, ends them, and tries again."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from starlette.concurrency import run_in_threadpool

from apps.api.cancel import cancel_queued
from apps.api.services import Services
from apps.common.batch_schemas import (
    MAX_EPISODES,
    BatchEpisode,
    BatchRequest,
    BatchState,
    BatchStatus,
    EpisodeState,
)
from apps.common.errors import (
    InvalidInput,
    JobNotFound,
    JobUnreadable,
    QueueUnavailable,
    ScreenalyticsError,
    from_dict,
)
from apps.common.schemas import EpisodeRequest
from apps.jobs.batches import Batch, BatchEntry, BatchStore
from apps.jobs.store import QueueJob
from apps.jobs.submit import new_job_id, submit
from apps.runs.episodes import list_episodes
from apps.runs.record import now

_UNFINISHED: tuple[EpisodeState, ...] = ("queued", "in_progress", "retrying")
_AGAIN: tuple[EpisodeState, ...] = ("failed", "cancelled", "refused")
_CANCELS_AT_ONCE = 8
_NOT_QUEUED = QueueUnavailable(
    "This episode is not queued.", hint="Wait a moment where the batch is new; else retry it."
).to_dict()
_FORGOTTEN = JobNotFound("Its job is not known any more.", hint="Retry the batch.").to_dict()


async def start_batch(services: Services, request: BatchRequest) -> BatchStatus:
    """Queues each episode; those that are refused say why, and keep no other one from it.

    Raises:
        InvalidInput: no episode matches, or too many do.
        QueueUnavailable: Redis is away, or no worker listens: nothing is queued.
    """
    ep_ids = await run_in_threadpool(_episodes, services, request)
    batch_id = f"batch-{secrets.token_hex(8)}"
    batches = BatchStore(services.jobs)
    batch = await services.ask_redis(batches.create, batch_id, now(), request, ep_ids)
    entries = await _queue(services, batch, ep_ids)
    status = await batch_status(services, batch_id)
    if entries and status.counts == {"refused": status.total}:
        await services.ask_redis(batches.forget, batch_id)
        raise _nothing_queued(entries)
    return status


async def batch_status(services: Services, batch_id: str) -> BatchStatus:
    """How far a batch is.

    Raises:
        BatchNotFound: there is no such batch.
    """
    return await _status_of(services, await _read(services, batch_id))


async def _read(services: Services, batch_id: str) -> Batch:
    return await services.ask_redis(BatchStore(services.jobs).read, batch_id)


async def _status_of(services: Services, batch: Batch) -> BatchStatus:
    ids = [entry.job_id for entry in batch.entries.values() if entry.job_id is not None]
    jobs = await services.ask_redis(services.jobs.read_all, ids)
    return _status(batch, jobs)


async def cancel_batch(services: Services, batch_id: str) -> BatchStatus:
    """Ends all of its jobs: those that wait first, so that none begins meanwhile.

    Raises:
        BatchNotFound: there is no such batch.
    """
    await _read(services, batch_id)
    await services.ask_redis(BatchStore(services.jobs).cancel, batch_id)
    for _ in range(2):  # an episode may be queued while it is said that no other one is to be
        status = await batch_status(services, batch_id)
        unfinished = [one for one in status.items if one.state in _UNFINISHED]
        for waiting in (True, False):
            of_state = [one for one in unfinished if (one.state == "queued") == waiting]
            await _cancel_all(services, [str(one.job_id) for one in of_state])
    return await batch_status(services, batch_id)


async def _cancel_all(services: Services, job_ids: Sequence[str]) -> None:
    gate = asyncio.Semaphore(_CANCELS_AT_ONCE)

    async def cancel(job_id: str) -> None:
        async with gate:
            with suppress(JobNotFound):  # Redis has lost it
                await cancel_queued(services, job_id)

    await asyncio.gather(*map(cancel, job_ids))


async def retry_batch(services: Services, batch_id: str) -> BatchStatus:
    """Queues those again that failed, were cancelled or refused; a run of each is a new one.

    Raises:
        BatchNotFound: there is no such batch.
    """
    batch = await _read(services, batch_id)
    status = await _status_of(services, batch)
    await services.ask_redis(BatchStore(services.jobs).resume, batch_id)
    await _queue(services, batch, [one.ep_id for one in status.items if one.state in _AGAIN])
    return await batch_status(services, batch_id)


def _episodes(services: Services, request: BatchRequest) -> list[str]:
    if request.episodes is not None:
        return request.episodes
    pattern = request.pattern or ""
    videos = services.layout.videos
    found = [
        name
        for name in list_episodes(services.layout)
        if fnmatchcase(name, pattern) and (videos / name).is_dir()
    ]
    if not found:
        raise InvalidInput(f"No episode matches {pattern!r}.", hint="See GET /episodes.")
    if len(found) > MAX_EPISODES:
        raise InvalidInput(
            f"{len(found)} episodes match {pattern!r}; a batch has at most {MAX_EPISODES}.",
            hint="Divide them: a pattern that matches fewer.",
        )
    return found


async def _queue(services: Services, batch: Batch, ep_ids: Sequence[str]) -> dict[str, BatchEntry]:
    """Queues episodes of a batch; what became of each is noted at once."""
    entries: dict[str, BatchEntry] = {}
    batches = BatchStore(services.jobs)

    async def note(ep_id: str, entry: BatchEntry) -> None:
        entries[ep_id] = entry
        await services.ask_redis(batches.note, batch.batch_id, {ep_id: entry})

    for place, ep_id in enumerate(ep_ids):
        try:
            if await services.ask_redis(batches.is_cancelled, batch.batch_id):
                break
            await _queue_one(services, batch.request, ep_id, note)
        except QueueUnavailable as error:  # so it is for the others
            problem = {"problem": error.to_dict()}
            left = dict.fromkeys(ep_ids[place:], BatchEntry(**problem))
            if ep_id in entries:  # its job may be there
                left[ep_id] = entries[ep_id].model_copy(update=problem)
            with suppress(QueueUnavailable):
                await services.ask_redis(batches.note, batch.batch_id, left)
            return entries | left
    return entries


async def _queue_one(
    services: Services,
    request: BatchRequest,
    ep_id: str,
    note: Callable[[str, BatchEntry], Awaitable[None]],
) -> None:
    """Notes its job, also before it is sent, or why it is refused.

    Raises:
        QueueUnavailable: Redis is away, or no worker listens.
    """
    wanted = request.model_dump(
        exclude_unset=True, exclude={"episodes", "pattern", "priority", "timeout_s"}
    )
    limit_s = services.time_limit_s(request.timeout_s)
    try:
        spec = await services.prepare(EpisodeRequest(ep_id=ep_id, **wanted), "redis")
        entry = BatchEntry(job_id=new_job_id(), run_id=spec.run_id)
        await note(ep_id, entry.model_copy(update={"problem": _NOT_QUEUED}))
        await services.ask_redis(
            submit,
            spec,
            limit_s,
            services.jobs,
            services.publisher,
            request.priority,
            entry.job_id,
        )
    except QueueUnavailable:
        raise
    except ScreenalyticsError as error:
        entry = BatchEntry(problem=error.to_dict())
    await note(ep_id, entry)


def _nothing_queued(entries: Mapping[str, BatchEntry]) -> ScreenalyticsError:
    """What is wrong with the first one, where nothing could be queued."""
    error = from_dict(next(iter(entries.values())).problem or _NOT_QUEUED)
    if len(entries) > 1 and not isinstance(error, QueueUnavailable):
        error.detail = f"None of {len(entries)} episodes could be queued. The first: {error.detail}"
    return error


def _status(batch: Batch, jobs: Mapping[str, QueueJob | JobUnreadable | None]) -> BatchStatus:
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
        state, error, entry = "refused", entry.problem or _NOT_QUEUED, BatchEntry()
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
    if any(counts.get(state) for state in _UNFINISHED):
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
