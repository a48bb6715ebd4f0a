"""Makes episodes of new videos in a folder of the server, by the same checks as an upload."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from apps.api.import_files import staged
from apps.api.import_progress import RunningImport
from apps.api.services import Services
from apps.api.upload import Received, store_video, stored_suffix
from apps.common.batch_schemas import (
    MAX_EPISODES,
    FolderFile,
    FolderImport,
    ImportOutcome,
    ImportWay,
)
from apps.common.errors import (
    EpisodeExists,
    ScreenalyticsError,
    ServiceStopping,
    StorageUnavailable,
)
from apps.common.files import fingerprint_of
from apps.common.layout import Layout
from apps.jobs.moving import unfinished_jobs
from apps.runs.episodes import has_video, video_files
from apps.runs.new_videos import NewVideo, is_fresh, open_folder, videos_in
from apps.runs.store import has_runs

_log = logging.getLogger("screenalytics.imports")
_WATCHED_SECONDS = 1.0  # for which no file may change before it is taken
_WRITTEN = "It is still being written. Ask again later."
_MANY = f"A batch has at most {MAX_EPISODES} episodes. Ask again for the others."
_TWICE = "Another file here becomes the same episode. Rename one."


async def import_folder(services: Services, relative: str) -> tuple[FolderImport, list[str]]:
    """Imports what is new, one file after the other; `FolderImports.alone` is held.

    Returns:
        What became of each file; and the episodes to queue: those that came, and those that are
        there already, were never run and wait for nothing, as where the queue was away before.

    Raises:
        InvalidInput: there is no such folder.
        ServiceStopping: what was imported so far stays.
    """
    with services.imports.begun(relative) as running:
        folder = await run_in_threadpool(open_folder, services.settings.import_folder, relative)
        try:
            found = await run_in_threadpool(videos_in, folder)
            files, wanted = await _import(services, found, running)
        finally:
            os.close(folder)
    counts = Counter(one.outcome for one in files)
    return FolderImport(folder=relative, files=files, counts=dict(counts)), wanted


async def _import(
    services: Services, found: list[NewVideo], running: RunningImport
) -> tuple[list[FolderFile], list[str]]:
    files: list[FolderFile] = []
    wanted: list[str] = []
    taken: set[str] = set()
    new: list[NewVideo] = []
    for video in found:
        if video.ep_id in taken:
            files.append(_told(video, "refused", _TWICE))
            continue
        taken.add(video.ep_id)
        before = await run_in_threadpool(_before, services.layout, video)
        if before is None:
            new.append(video)
            continue
        files.append(before)
        if before.outcome == "already_there" and await _waits_for_nothing(services, video.ep_id):
            wanted.append(video.ep_id)
    wanted = wanted[:MAX_EPISODES]
    running.expect(new)
    if new:
        await asyncio.sleep(_WATCHED_SECONDS)
    for video in new:
        if len(wanted) >= MAX_EPISODES:
            files.append(_told(video, "later", _MANY))
            continue
        with running.file(video):
            told = await _bring(services, video, running)
        files.append(told)
        if told.outcome in ("imported", "already_there"):
            wanted.append(video.ep_id)
    return sorted(files, key=lambda one: one.file), wanted


async def _bring(services: Services, video: NewVideo, running: RunningImport) -> FolderFile:
    if is_fresh(video.facts) or not await run_in_threadpool(video.is_unchanged):
        return _told(video, "later", _WRITTEN)
    try:
        await run_in_threadpool(services.uploads.check_room, video.ep_id, video.facts.st_size)
        way = await _store(services, video, running)
    except ServiceStopping:
        raise
    except EpisodeExists as error:  # somebody has uploaded it meanwhile
        again = await run_in_threadpool(_before, services.layout, video)
        return again or _told(video, "refused", error.message)
    except ScreenalyticsError as error:
        changed = not await run_in_threadpool(video.is_unchanged)
        return _told(video, "later", _WRITTEN) if changed else _refused(video, error)
    _log.info("video imported", extra={"ep_id": video.ep_id, "way": way})
    return _told(video, "imported", None, way)


async def _store(services: Services, video: NewVideo, running: RunningImport) -> ImportWay:
    """Takes the file, has the decoder look at it, and makes it the episode's video.

    Raises:
        VideoUnreadable, EpisodeExists, StorageFailed, StorageUnavailable, ServiceStopping: so.
    """
    layout, uploads = services.layout, services.uploads
    staging = staged(video, layout.uploads, lambda: uploads.is_stopping, running.copied)
    path, way = await run_in_threadpool(staging.__enter__)
    try:
        await services.videos.facts(path)
        received = Received(video.ep_id, path, stored_suffix(video.name))
        await run_in_threadpool(store_video, received, layout, video.ep_id)
    finally:
        await run_in_threadpool(staging.__exit__, None, None, None)
    return way


def _before(layout: Layout, video: NewVideo) -> FolderFile | None:
    """What is told of a file whose episode has a video; None where it has none."""
    if not has_video(layout, video.ep_id) and not _is_stored(layout, video.ep_id):
        return None
    try:
        if _is_same(layout, video):
            return _told(video, "already_there", None)
    except StorageUnavailable as error:
        return _refused(video, error)
    return _told(
        video,
        "refused",
        f"Episode {video.ep_id!r} has another video. Rename the file, or delete the episode.",
    )


def _is_stored(layout: Layout, ep_id: str) -> bool:
    """Whether the storage has a video of which this host has not heard."""
    if layout.remote is None:
        return False
    with suppress(StorageUnavailable):  # said when it is to be stored
        return layout.remote.find_video(ep_id) is not None
    return False


def _is_same(layout: Layout, video: NewVideo) -> bool:
    """Whether a file is its episode's video.

    Raises:
        StorageUnavailable: the storage alone can tell, and is away.
    """
    here = video_files(layout.episode(video.ep_id))
    if here:
        with suppress(OSError), video.opened() as descriptor:
            there = here[0].stat()
            if os.path.samestat(there, video.facts):
                return True  # it was linked
            same_size = there.st_size == video.facts.st_size
            return same_size and fingerprint_of(here[0]) == fingerprint_of(_handle(descriptor))
        return False
    with suppress(OSError), video.opened() as descriptor:
        remote = layout.remote
        return remote is not None and remote.has_equal_video(video.ep_id, _handle(descriptor))
    return False


def _handle(descriptor: int) -> Path:
    return Path(f"/dev/fd/{descriptor}")


async def _waits_for_nothing(services: Services, ep_id: str) -> bool:
    """Whether it was never run, and no job is to."""
    if await run_in_threadpool(has_runs, services.layout, ep_id):
        return False
    return not await services.ask_redis(unfinished_jobs, services.jobs, ep_id)


def _refused(video: NewVideo, error: ScreenalyticsError) -> FolderFile:
    return _told(video, "refused", error.message)


def _told(
    video: NewVideo, outcome: ImportOutcome, why: str | None, way: ImportWay | None = None
) -> FolderFile:
    return FolderFile(file=video.shown, ep_id=video.ep_id, outcome=outcome, way=way, why=why)
