"""Queues many episodes in one request, tells how far they are, ends them, and tries again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from starlette.concurrency import run_in_threadpool

from apps.api.batch_status import NOT_QUEUED, UNFINISHED, status_of
from apps.api.cancel import cancel_queued
from apps.api.services import Services
from apps.common.batch_schemas import (
    MAX_EPISODES,
    BatchRequest,
    BatchStatus,
    EpisodeState,
)
from apps.common.errors import (
    InvalidInput,
    JobNotFound,
    QueueUnavailable,
    ScreenalyticsError,
    from_dict,
)
from apps.common.schemas import EpisodeRequest
from apps.jobs.batches import Batch, BatchEntry, BatchStore
from apps.jobs.submit import new_job_id, submit
from apps.runs.episodes import list_episodes
from apps.runs.record import now

_AGAIN: tuple[EpisodeState, ...] = ("failed", "cancelled", "refused")
_CANCELS_AT_ONCE = 8


async def start_batch(
    services: Services, request: BatchRequest, ep_ids: list[str] | None = None
) -> BatchStatus:
    """Queues each episode; those that are refused say why, and keep no other one from it.

    Args:
        ep_ids: those of the folder that is asked for.

    Raises:
        InvalidInput: no episode matches, or too many do.
        QueueUnavailable: Redis is away, or no worker listens: nothing is queued.
    """
    if ep_ids is None:
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
    return status_of(batch, jobs)


async def cancel_batch(services: Services, batch_id: str) -> BatchStatus:
    """Ends all of its jobs: those that wait first, so that none begins meanwhile.

    Raises:
        BatchNotFound: there is no such batch.
    """
    await _read(services, batch_id)
    await services.ask_redis(BatchStore(services.jobs).cancel, batch_id)
    for _ in range(2):  # an episode may be queued while it is said that no other one is to be
        status = await batch_status(services, batch_id)
        unfinished = [one for one in status.items if one.state in UNFINISHED]
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
    try:
        return await _queue_all(services, batch, ep_ids)
    finally:
        with suppress(QueueUnavailable):
            await services.ask_redis(BatchStore(services.jobs).queued, batch.batch_id)


async def _queue_all(
    services: Services, batch: Batch, ep_ids: Sequence[str]
) -> dict[str, BatchEntry]:
    entries: dict[str, BatchEntry] = {}
    batches = BatchStore(services.jobs)

    async def note(ep_id: str, entry: BatchEntry) -> None:
        entries[ep_id] = entry
        await services.ask_redis(batches.note, batch.batch_id, {ep_id: entry})

    for place, ep_id in enumerate(ep_ids):
        try:
            if await services.ask_redis(batches.is_cancelled, batch.batch_id):
                break
            await _queue_one(services, batch, ep_id, note)
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
    batch: Batch,
    ep_id: str,
    note: Callable[[str, BatchEntry], Awaitable[None]],
) -> None:
    """Notes its job, also before it is sent, or why it is refused.

    Raises:
        QueueUnavailable: Redis is away, or no worker listens.
    """
    request = batch.request
    wanted = request.model_dump(
        exclude_unset=True,
        exclude={"episodes", "pattern", "folder", "priority", "segments", "timeout_s"},
    )
    limit_s = services.time_limit_s(request.timeout_s)
    try:
        spec = await services.prepare(EpisodeRequest(ep_id=ep_id, **wanted), "redis")
        entry = BatchEntry(job_id=new_job_id(), run_id=spec.run_id)
        await note(ep_id, entry.model_copy(update={"problem": NOT_QUEUED}))
        await services.ask_redis(
            submit,
            spec,
            limit_s,
            services.jobs,
            services.publisher,
            request.priority,
            entry.job_id,
            batch.batch_id,
            request.segments,
        )
    except QueueUnavailable:
        raise
    except ScreenalyticsError as error:
        entry = BatchEntry(problem=error.to_dict())
    await note(ep_id, entry)


def _nothing_queued(entries: Mapping[str, BatchEntry]) -> ScreenalyticsError:
    """What is wrong with the first one, where nothing could be queued."""
    error = from_dict(next(iter(entries.values())).problem or NOT_QUEUED)
    if len(entries) > 1 and not isinstance(error, QueueUnavailable):
        error.detail = f"None of {len(entries)} episodes could be queued. The first: {error.detail}"
    return error
