"""The library: what there is with its names and sizes; naming, deleting, restoring."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.api.removal import remove_episode, remove_run, restore_deleted
from apps.common.library_schemas import (
    EpisodeChange,
    EpisodeNamed,
    Library,
    LibraryQuery,
    RunChange,
    RunNamed,
    Trash,
    TrashEntry,
)
from apps.common.names import EpisodeId, RunId, RunIdOrLatest, TrashId
from apps.common.settings import Settings
from apps.runs.about import change_episode, change_run
from apps.runs.trash import remove
from apps.runs.trash_entries import Deleted, find_entry, in_trash, undo_until

router = APIRouter(tags=["library"])

_BUSY = documented(
    {409: "Something works on it, or a job waits for it.", 507: "The disk refuses it."}
)
_TAKEN = documented(
    {409: "Its place is taken again, or something works on it.", 507: "The disk refuses it."}
)


@router.get("/library")
async def library(services: ServicesDep, query: Annotated[LibraryQuery, Query()]) -> Library:
    """Episodes as people look for them, pinned ones first, and what lies on the disk.

    Each has its `state`, whose changes `GET /events` tells. Results are counted once, when their
    run has ended; where there is much to count, it goes on with the next request (`disk.counted`).
    """
    found = await services.library.find(query, services.videos)
    looked = await services.states.of([item.ep_id for item in found.items])
    states = {state.ep_id: state for state in looked.items}
    items = [item.model_copy(update={"state": states.get(item.ep_id)}) for item in found.items]
    return found.model_copy(update={"items": items})


@router.patch("/episodes/{ep_id}", responses=documented({507: "The disk refuses it."}))
def rename_episode(ep_id: EpisodeId, body: EpisodeChange, services: ServicesDep) -> EpisodeNamed:
    """Gives an episode a title, or pins it. Of two at once the last one counts, field by field."""
    about = change_episode(services.layout, ep_id, body)
    return EpisodeNamed(ep_id=ep_id, title=about.title, pinned=about.pinned)


@router.patch("/episodes/{ep_id}/runs/{run_id}", responses=documented({507: "Disk full."}))
def rename_run(ep_id: EpisodeId, run_id: RunId, body: RunChange, services: ServicesDep) -> RunNamed:
    """Gives a run a title, in the same manner."""
    about = change_run(services.layout, ep_id, run_id, body)
    return RunNamed(ep_id=ep_id, run_id=run_id, title=about.title)


@router.delete("/episodes/{ep_id}", responses=_BUSY)
async def delete_episode(ep_id: EpisodeId, services: ServicesDep) -> TrashEntry:
    """Moves an episode with its video and all its runs to the trash, unless something works on it.

    `POST /trash/{trash_id}/restore` puts it back.
    """
    return _answer(await remove_episode(services, ep_id), services.settings)


@router.delete("/episodes/{ep_id}/runs/{run_id}", responses=_BUSY)
async def delete_run(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> TrashEntry:
    """Moves a run to the trash. `latest` is then the newest completed one that is left."""
    return _answer(await remove_run(services, ep_id, run_id), services.settings)


@router.get("/trash")
def trash(services: ServicesDep) -> Trash:
    """What was deleted, newest first."""
    items = [_answer(entry, services.settings) for entry in in_trash(services.layout)]
    size = sum(item.frees_bytes for item in items)
    return Trash(items=items, total=len(items), size_bytes=size)


@router.post("/trash/{trash_id}/restore", responses=_TAKEN)
async def restore(trash_id: TrashId, services: ServicesDep) -> TrashEntry:
    """Puts something back where it was, runs and all."""
    entry = find_entry(services.layout, trash_id)
    return _answer(await restore_deleted(services, entry), services.settings)


@router.delete("/trash/{trash_id}", status_code=204)
def remove_for_good(trash_id: TrashId, services: ServicesDep) -> Response:
    """Removes something from the trash for good."""
    remove(services.layout, trash_id)
    return Response(status_code=204)


def _answer(entry: Deleted, settings: Settings) -> TrashEntry:
    return TrashEntry(
        trash_id=entry.trash_id,
        kind=entry.kind,
        ep_id=entry.ep_id,
        run_id=entry.run_id,
        title=entry.title,
        deleted_at=entry.deleted_at,
        undo_until=undo_until(entry, settings.trash_hours).isoformat(timespec="milliseconds"),
        frees_bytes=entry.size_bytes,
    )
