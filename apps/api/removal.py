"""Deletes and restores, where nothing works on the episode: no request, no job, no other host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.concurrency import run_in_threadpool

from apps.api.services import Services
from apps.common.errors import EpisodeNotFound
from apps.common.people_schemas import Forgotten
from apps.jobs.moving import moving_lease, take, unfinished_jobs, waits
from apps.people.forget import add_to, forget_people, refusals_noted
from apps.people.places import all_episodes
from apps.runs.trash import delete_episode, delete_run, restore
from apps.runs.trash_entries import Deleted


async def remove_episode(services: Services, ep_id: str) -> Deleted:
    """As `delete_episode`.

    Raises:
        EpisodeBusy: something works on it, or a job waits for it.
    """
    async with moving_episode(services, ep_id):
        await _refuse_jobs(services, ep_id, None)
        return await run_in_threadpool(delete_episode, services.layout, ep_id)


async def remove_run(services: Services, ep_id: str, run_id: str) -> Deleted:
    """As `delete_run`.

    Raises:
        EpisodeBusy: something works on the episode, or the run's job waits.
    """
    async with moving_episode(services, ep_id):
        await _refuse_jobs(services, ep_id, run_id)
        return await run_in_threadpool(delete_run, services.layout, ep_id, run_id)


async def restore_deleted(services: Services, entry: Deleted) -> Deleted:
    """As `restore`.

    Raises:
        EpisodeBusy: something works on the episode.
    """
    async with moving_episode(services, entry.ep_id):
        return await run_in_threadpool(restore, services.layout, entry.trash_id)


async def forget_of_episode(services: Services, ep_id: str, name: str | None) -> Forgotten:
    """As `forget_people`.

    Raises:
        EpisodeBusy: something works on the episode.
    """
    async with moving_episode(services, ep_id):
        return await run_in_threadpool(forget_people, services.layout, ep_id, name)


async def forget_of_all(services: Services, name: str | None) -> Forgotten:
    """As `forget_of_episode`, of all episodes; those that refuse it are named."""
    all_of_them = Forgotten()
    for ep_id in await run_in_threadpool(all_episodes, services.layout):
        with refusals_noted(all_of_them, ep_id), suppress(EpisodeNotFound):  # removed meanwhile
            add_to(all_of_them, await forget_of_episode(services, ep_id, name))
    return all_of_them


@asynccontextmanager
async def moving_episode(services: Services, ep_id: str) -> AsyncIterator[None]:
    """Keeps this server, and other hosts, from working on the episode.

    Others on this host are found by the episode's file lock.

    Raises:
        EpisodeBusy: something works on it.
    """
    with services.runs.moving(ep_id):
        lease = await run_in_threadpool(moving_lease, services.layout, services.jobs, ep_id)
        await services.ask_redis(take, lease, ep_id)
        try:
            yield
        finally:
            await services.ask_redis(lease.give_back)


async def _refuse_jobs(services: Services, ep_id: str, run_id: str | None) -> None:
    """Refuses an episode, or a run, that an unfinished job is for."""
    for job in await services.ask_redis(unfinished_jobs, services.jobs, ep_id):
        if run_id in (None, job.request.spec.run_id):
            raise waits(job)
