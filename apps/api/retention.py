"""Old runs go by the policy: at once where it is asked for, and every hour."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from starlette.concurrency import run_in_threadpool

from apps.api.removal import remove_run
from apps.api.services import Services
from apps.common.errors import ScreenalyticsError
from apps.common.layout import Layout
from apps.common.retention_schemas import (
    Pruned,
    PrunedRun,
    Retention,
    RetentionPolicy,
    RunThatStays,
)
from apps.common.settings import Settings
from apps.runs.episodes import list_episodes
from apps.runs.retention import note_pruned, pruned_runs, surplus_runs

_log = logging.getLogger("screenalytics.retention")
_SHOWN = 100
_TURN_SECONDS = 3600.0


def policy_of(settings: Settings) -> RetentionPolicy:
    return RetentionPolicy(keep=settings.keep_runs, keep_days=settings.keep_days)


def shown(layout: Layout, policy: RetentionPolicy) -> Retention:
    """What goes next, and what went last."""
    items = list(surplus_runs(layout, policy))
    went = [run for ep_id in list_episodes(layout) for run in pruned_runs(layout, ep_id)]
    went.sort(key=lambda run: run.pruned_at, reverse=True)
    return Retention(
        policy=policy,
        items=items,
        total=len(items),
        size_bytes=sum(run.size_bytes for run in items),
        pruned=list(islice(went, _SHOWN)),
    )


async def prune_forever(services: Services) -> None:
    """Has go what the operator's policy does not keep, at once and every hour."""
    policy = policy_of(services.settings)
    while policy.is_on:
        try:
            await prune(services, policy)
        except Exception:
            # Whatever lies in the data root, the next turn looks at it again.
            _log.exception("old runs could not be pruned")
        await asyncio.sleep(_TURN_SECONDS)


async def prune(services: Services, policy: RetentionPolicy) -> Pruned:
    """Moves all runs to the trash that a policy does not keep; one that is worked on stays."""
    went: list[PrunedRun] = []
    stayed: list[RunThatStays] = []
    for run in await run_in_threadpool(lambda: list(surplus_runs(services.layout, policy))):
        try:
            deleted = await remove_run(services, run.ep_id, run.run_id)
            went.append(
                await run_in_threadpool(note_pruned, services.layout, run, deleted.trash_id)
            )
        except ScreenalyticsError as error:
            stayed.append(RunThatStays(ep_id=run.ep_id, run_id=run.run_id, why=error.detail))
    return Pruned(
        policy=policy,
        pruned=went,
        size_bytes=sum(run.size_bytes for run in went),
        stayed=stayed,
    )
