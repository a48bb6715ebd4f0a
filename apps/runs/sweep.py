"""Frees what processes left behind that were killed: uploads, staging folders, temporary files.

What is in use is locked by whom it serves, and any death frees that lock; so nothing is judged by
its age, and any number of servers and workers may sweep one data root.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from apps.common.files import TEMPORARY, entries_of, remove_unclaimed
from apps.common.layout import DISCARDED, PART, Layout
from apps.common.names import is_name, is_run_name
from apps.runs.staging import remove_staging, remove_tree

_log = logging.getLogger("screenalytics.sweep")
_REST_EVERY = 100  # folders; then others get their turn
_REST_SECONDS = 0.01


@dataclass
class Freed:
    """What was removed: how many of each kind, and bytes of all."""

    uploads: int = 0
    staging: int = 0
    temporary: int = 0
    size: int = 0


def sweep_in_background(layout: Layout) -> None:
    """Sweeps beside what a program has to do, and logs what that freed."""
    threading.Thread(target=_sweep_and_tell, args=(layout,), name="sweep", daemon=True).start()


def _sweep_and_tell(layout: Layout) -> None:
    freed = sweep(layout)
    if freed != Freed():
        facts = {
            "uploads": freed.uploads,
            "staging_folders": freed.staging,
            "temporary_files": freed.temporary,
            "megabytes": round(freed.size / 1e6, 1),
        }
        _log.info("freed what killed processes had left", extra=facts)


def sweep(layout: Layout) -> Freed:
    """Removes all that nobody uses any more; what cannot be removed stays for the next time."""
    freed = Freed()
    for path in entries_of(layout.uploads):
        if path.name.endswith(PART) and (size := remove_unclaimed(path)) is not None:
            freed.uploads += 1
            freed.size += size
    for folder in (layout.locks, layout.jobs):
        _remove_temporary(folder, freed)
    for top in (layout.cache, layout.comparisons):
        for below, _, _ in os.walk(top):
            _remove_temporary(Path(below), freed)
    for number, (ep_id, run_id) in enumerate(_runs(layout, freed)):
        _sweep_run(layout, ep_id, run_id, freed)
        if number % _REST_EVERY == _REST_EVERY - 1:
            time.sleep(_REST_SECONDS)
    return freed


def _runs(layout: Layout, freed: Freed) -> Iterator[tuple[str, str]]:
    for episode in entries_of(layout.all_manifests):
        if is_name(episode.name) and not episode.is_symlink():
            _remove_temporary(episode, freed)
            _remove_arriving(layout, episode.name, freed)
            for run in entries_of(layout.runs(episode.name)):
                if is_run_name(run.name) and not run.is_symlink():
                    yield episode.name, run.name


def _remove_arriving(layout: Layout, ep_id: str, freed: Freed) -> None:
    """What was coming from the storage for a process that is gone."""
    coming = layout.arriving(ep_id)
    if coming.is_dir() and not coming.is_symlink():
        with suppress(Timeout, OSError), FileLock(layout.remote_lock(ep_id), timeout=0):
            freed.size += remove_tree(coming)
            freed.staging += 1


def _sweep_run(layout: Layout, ep_id: str, run_id: str, freed: Freed) -> None:
    files = layout.run(ep_id, run_id)
    for path in entries_of(files.folder):
        if path.name.startswith(DISCARDED):
            freed.size += remove_tree(path)
            freed.staging += int(not path.exists())
        elif path == files.staging:
            freed.size += remove_staging(layout, ep_id, run_id)
            freed.staging += int(not path.exists())
        else:
            _remove_where_temporary(path, freed)


def _remove_temporary(folder: Path, freed: Freed) -> None:
    for path in entries_of(folder):
        _remove_where_temporary(path, freed)


def _remove_where_temporary(path: Path, freed: Freed) -> None:
    is_temporary = path.name.startswith(".") and path.name.endswith(TEMPORARY)
    if is_temporary and (size := remove_unclaimed(path)) is not None:
        freed.temporary += 1
        freed.size += size
