"""Deleted episodes and runs: moved aside as a whole, restored, and removed for good in the end.

Moving takes several renames. What is moved lies under a hidden name meanwhile, and gets its name in
the trash when all of it is there; so what a crash leaves under a hidden name belongs back to its
place, and `tidy` puts it there.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from apps.common.errors import (
    EpisodeExists,
    EpisodeNotFound,
    RunExists,
    ScreenalyticsError,
    StorageFailed,
    StorageUnavailable,
    TrashNotFound,
)
from apps.common.files import entries_of, storage_errors, sync, write_json
from apps.common.layout import Layout
from apps.common.names import LATEST, is_name
from apps.runs.about import about_episode, about_run, tree_lock
from apps.runs.episodes import check_episode, episode_exists
from apps.runs.lock import busy_error, is_held
from apps.runs.playable import making_playable
from apps.runs.preview import making_preview
from apps.runs.store import latest_run_id, no_such_run, point_latest_anew
from apps.runs.trash_entries import (
    MOVING,
    NOTE,
    Deleted,
    find_entry,
    in_trash,
    new_entry,
    places_of,
    read_entry,
    undo_until,
    unknown_entry,
)

_log = logging.getLogger("screenalytics.trash")
_GONE = ".gone-"  # begins the name of what is being removed


def delete_episode(layout: Layout, ep_id: str) -> Deleted:
    """Moves an episode with its video and all its runs to the trash.

    Raises:
        EpisodeNotFound: there is no such episode.
        EpisodeBusy, PreviewBusy, PlayableBusy: something works on it.
        StorageFailed, StorageUnavailable: it cannot be moved; then it stays.
    """
    with alone(layout, ep_id):
        check_episode(layout, ep_id)
        _refuse_work(layout, ep_id)
        if layout.remote is not None:
            layout.remote.hide(ep_id, None)
        title = about_episode(layout, ep_id).title
        return _move(layout, new_entry(layout, "episode", ep_id, None, title))


def delete_run(layout: Layout, ep_id: str, run_id: str) -> Deleted:
    """Moves a run to the trash. `latest` is then the newest completed one that is left.

    Raises:
        RunNotFound: there is no such run.
        EpisodeBusy, PreviewBusy: something works on it.
        StorageFailed, StorageUnavailable: it cannot be moved; then it stays.
    """
    if run_id == LATEST:
        run_id = latest_run_id(layout, ep_id)
    with alone(layout, ep_id):
        return move_run(layout, ep_id, run_id)


def move_run(layout: Layout, ep_id: str, run_id: str) -> Deleted:
    """As `delete_run`, of an episode that the caller holds by `alone`."""
    files = layout.run(ep_id, run_id)
    if not files.folder.is_dir():
        raise no_such_run(ep_id, run_id)
    with making_preview(files):
        if layout.remote is not None:
            layout.remote.hide(ep_id, run_id)
        title = about_run(layout, ep_id, run_id).title
        return _move(layout, new_entry(layout, "run", ep_id, run_id, title))


def restore(layout: Layout, trash_id: str) -> Deleted:
    """Puts something back where it was.

    Raises:
        TrashNotFound: it is not in the trash.
        EpisodeExists, RunExists: its place is taken again.
        EpisodeNotFound: a run's episode is not there.
        EpisodeBusy: something works on the episode.
        StorageFailed, StorageUnavailable: it cannot be moved.
    """
    entry = find_entry(layout, trash_id)
    with alone(layout, entry.ep_id):
        folder = _read_again(layout, entry)
        if entry.run_id is not None and not episode_exists(layout, entry.ep_id):
            raise EpisodeNotFound(
                f"Episode {entry.ep_id!r} of this run does not exist.",
                hint="Restore the episode first.",
            )
        if layout.remote is not None:
            layout.remote.show(entry.ep_id, entry.run_id)
        with tree_lock(layout):
            _refuse_taken(layout, entry, folder)
            with storage_errors():
                moving = folder.rename(layout.trash / f"{MOVING}{trash_id}")
            _put_back(layout, entry, moving)
        if entry.run_id is not None:
            files = layout.run(entry.ep_id, entry.run_id)
            with suppress(OSError):  # it is there again all the same
                if not files.folder.is_symlink():
                    files.restored.touch()
        if layout.remote is not None:  # what is known of people may have been removed meanwhile
            layout.remote.changed(layout, entry.ep_id, entry.run_id, at_once=False)
    return entry


def remove(layout: Layout, trash_id: str) -> int:
    """Removes something for good; the bytes of its files.

    Raises:
        TrashNotFound: it is not in the trash.
        StorageUnavailable: it cannot be removed from the storage; it stays.
    """
    entry = find_entry(layout, trash_id)
    if layout.remote is not None:
        layout.remote.erase(entry.ep_id, entry.run_id)
    gone = layout.trash / f"{_GONE}{trash_id}"
    try:
        (layout.trash / trash_id).rename(gone)
    except OSError:
        raise unknown_entry(trash_id) from None
    shutil.rmtree(gone, ignore_errors=True)
    if entry.run_id is None and not episode_exists(layout, entry.ep_id):
        for cache in (layout.pictures(entry.ep_id), layout.playable(entry.ep_id)):
            shutil.rmtree(cache, ignore_errors=True)
    return entry.size_bytes


def tidy(layout: Layout, hours: float) -> None:
    """Finishes what was interrupted, and removes what has been in the trash for so long."""
    for folder in entries_of(layout.trash):
        if folder.name.startswith(_GONE):
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.name.startswith(MOVING):
            with suppress(ScreenalyticsError):
                _finish(layout, folder)
    for entry in in_trash(layout):
        if undo_until(entry, hours) <= datetime.now(UTC):
            with suppress(TrashNotFound, StorageUnavailable):  # then it is tried again
                remove(layout, entry.trash_id)
                _log.info("removed from the trash", extra={"ep_id": entry.ep_id})


def _finish(layout: Layout, moving: Path) -> None:
    """Puts back what a crash has left half moved; where its place is taken, it stays in the trash.

    Raises:
        EpisodeBusy: it is being moved just now, or something works on its episode.
        TrashNotFound: it was moved meanwhile.
    """
    if not (moving / NOTE).exists():
        with suppress(OSError):
            moving.rmdir()  # nothing was moved yet
        return
    entry = read_entry(layout, moving)
    with alone(layout, entry.ep_id), tree_lock(layout):
        entry = read_entry(layout, moving)
        try:
            _refuse_taken(layout, entry, moving)
        except (EpisodeExists, RunExists):
            with storage_errors():
                moving.rename(layout.trash / entry.trash_id)
            return
        _put_back(layout, entry, moving)


@contextmanager
def alone(layout: Layout, ep_id: str, patience_s: float = 0) -> Iterator[None]:
    """Holds an episode against runs and whatever else changes it. Readers do not see a run in it.

    Args:
        patience_s: for how long to wait for whoever moves something of it; for a run nobody waits.

    Raises:
        EpisodeBusy: a run holds it.
    """
    lock = layout.lock(ep_id)
    with storage_errors():
        layout.locks.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(lock, timeout=0)
        held.acquire(0 if is_held(layout, ep_id) else patience_s)
    except Timeout:
        raise busy_error(layout, ep_id) from None
    try:
        yield
    finally:
        held.release()


def _refuse_work(layout: Layout, ep_id: str) -> None:
    """Refuses an episode of which a preview or a file to play is being made."""
    for folder in entries_of(layout.runs(ep_id)):
        if is_name(folder.name) and folder.name != LATEST and folder.is_dir():
            with suppress(StorageFailed), making_preview(layout.run(ep_id, folder.name)):
                pass
    if layout.playable(ep_id).is_dir():
        with making_playable(layout, ep_id):
            pass


def _move(layout: Layout, entry: Deleted) -> Deleted:
    moving = layout.trash / f"{MOVING}{entry.trash_id}"
    with tree_lock(layout):
        with storage_errors():
            moving.mkdir(parents=True)
            write_json(moving / NOTE, entry.model_dump(), durable=True)
        try:
            with storage_errors():
                _move_parts(layout, entry, moving)
        except StorageFailed:
            _put_back(layout, entry, moving)
            raise
    return entry


def _move_parts(layout: Layout, entry: Deleted, moving: Path) -> None:
    for name, place in places_of(layout, entry).items():
        if place.is_symlink() or place.is_dir():
            place.rename(moving / name)
            sync(place.parent)
    if entry.run_id is not None:
        point_latest_anew(layout, entry.ep_id)
    moving.rename(layout.trash / entry.trash_id)
    sync(layout.trash)


def _put_back(layout: Layout, entry: Deleted, moving: Path) -> None:
    with storage_errors():
        for name, place in places_of(layout, entry).items():
            part = moving / name
            if part.is_symlink() or part.is_dir():
                place.parent.mkdir(parents=True, exist_ok=True)
                part.rename(place)
                sync(place.parent)
    if entry.run_id is not None:
        point_latest_anew(layout, entry.ep_id)
    shutil.rmtree(moving, ignore_errors=True)


def _refuse_taken(layout: Layout, entry: Deleted, folder: Path) -> None:
    """Refuses where something has come in the place of what would be put back."""
    for name, place in places_of(layout, entry).items():
        part = folder / name
        if (part.is_symlink() or part.is_dir()) and (place.is_symlink() or place.exists()):
            if entry.run_id is not None:
                raise RunExists(
                    f"Episode {entry.ep_id!r} has another run {entry.run_id!r} now.",
                    hint="Delete that one first.",
                )
            raise EpisodeExists(
                f"There is another episode {entry.ep_id!r} now.", hint="Delete that one first."
            )


def _read_again(layout: Layout, entry: Deleted) -> Path:
    """The entry's folder, still there now that the episode is held."""
    folder = layout.trash / entry.trash_id
    read_entry(layout, folder)
    return folder
