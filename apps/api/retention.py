"""Old runs and records go by the policy: at once where it is asked for, and every hour."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice

from starlette.concurrency import run_in_threadpool

from apps.api.removal import moving_episode
from apps.api.services import Services
from apps.common.errors import ScreenalyticsError
from apps.common.layout import Layout
from apps.common.retention_schemas import (
    Pruned,
    PrunedRun,
    Retention,
    RetentionPolicy,
    RunThatStays,
    SurplusRun,
)
from apps.common.settings import Settings
from apps.jobs.moving import waited_for
from apps.jobs.retention import old_records, prune_records
from apps.runs.episodes import list_episodes
from apps.runs.retention import prune_episode, pruned_runs, surplus_runs

_log = logging.getLogger("screenalytics.retention")
_SHOWN = 100
_TURN_SECONDS = 3600.0


def policy_of(settings: Settings) -> RetentionPolicy:
    return RetentionPolicy(
        keep=settings.keep_runs,
        keep_days=settings.keep_days,
        keep_job_days=settings.keep_job_days,
    )


async def shown(services: Services, policy: RetentionPolicy) -> Retention:
    """What goes next, and what went last."""
    items = await run_in_threadpool(lambda: list(surplus_runs(services.layout, policy)))
    return Retention(
        policy=policy,
        items=items,
        total=len(items),
        size_bytes=sum(run.size_bytes for run in items),
        pruned=await run_in_threadpool(_went, services.layout),
        queue=await services.ask_redis(old_records, services.jobs, policy.keep_job_days),
        trash_hours=services.settings.trash_hours,
    )


def _went(layout: Layout) -> list[PrunedRun]:
    went = [run for ep_id in list_episodes(layout) for run in pruned_runs(layout, ep_id)]
    went.sort(key=lambda run: run.pruned_at, reverse=True)
    return list(islice(went, _SHOWN))


async def prune_forever(services: Services) -> None:
    """Has go what the operator's policy does not keep, at once and every hour."""
    policy = policy_of(services.settings)
    while True:
        try:
            await prune(services, policy)
        except Exception:
            # Whatever lies in the data root, the next turn looks at it again.
            _log.exception("what is old could not be pruned")
        await asyncio.sleep(_TURN_SECONDS)


async def prune(services: Services, policy: RetentionPolicy) -> Pruned:
    """Moves all runs to the trash that a policy does not keep; one that is worked on stays."""
    went: list[PrunedRun] = []
    stayed: list[RunThatStays] = []
    surplus = await run_in_threadpool(lambda: list(surplus_runs(services.layout, policy)))
    for ep_id, found in groupby(surplus, key=lambda run: run.ep_id):
        gone, left = await _prune_episode(services, policy, ep_id, list(found))
        went += gone
        stayed += left
    until = datetime.now(UTC) + timedelta(hours=services.settings.trash_hours)
    return Pruned(
        policy=policy,
        pruned=went,
        size_bytes=sum(run.size_bytes for run in went),
        stayed=stayed,
        queue=await services.ask_redis(prune_records, services.jobs, policy.keep_job_days),
        undo_until=until.isoformat(timespec="seconds"),
    )


async def _prune_episode(
    services: Services, policy: RetentionPolicy, ep_id: str, found: list[SurplusRun]
) -> tuple[list[PrunedRun], list[RunThatStays]]:
    try:
        async with moving_episode(services, ep_id):
            stay = await services.ask_redis(waited_for, services.jobs, ep_id)
            return await run_in_threadpool(prune_episode, services.layout, ep_id, policy, stay)
    except ScreenalyticsError as error:
        return [], [RunThatStays(ep_id=ep_id, run_id=run.run_id, why=error.detail) for run in found]
