"""Removes what a process has staged that is gone; what a live one stages is left alone."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from apps.common.errors import EpisodeBusy, PreviewBusy, StorageFailed
from apps.common.files import read_json, size_of
from apps.common.layout import DISCARDED, Layout
from apps.runs.lock import busy_error, current_holder
from apps.runs.preview import making_preview


def remove_staging(layout: Layout, ep_id: str, run_id: str) -> int:
    """Removes a run's staging folder, unless something lives that may be writing there.

    Of a completed run that is a preview's process, else the run's own, or a later one of its name.

    Returns:
        Bytes that were freed.
    """
    files = layout.run(ep_id, run_id)
    if not files.staging.is_dir() or files.staging.is_symlink():
        return 0
    completed = (read_json(files.manifest) or {}).get("status") == "completed"
    guard = making_preview(files) if completed else _no_run(layout, ep_id, run_id)
    # Renamed first: a run that begins now is kept out for a moment only, whatever lies there.
    aside = files.folder / f"{DISCARDED}{secrets.token_hex(4)}"
    try:
        with guard:
            aside = _moved(files.staging, aside)
            if aside == files.staging:
                return remove_tree(aside)
    except (EpisodeBusy, PreviewBusy, StorageFailed, OSError):
        return 0
    return remove_tree(aside)


def remove_tree(folder: Path) -> int:
    """Removes a folder with all that is in it, as far as that can be; the bytes of its files."""
    size = size_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _moved(source: Path, target: Path) -> Path:
    """Where the folder is then: a full disk may have no room for another name."""
    try:
        return source.rename(target)
    except OSError:
        return source


@contextmanager
def _no_run(layout: Layout, ep_id: str, run_id: str) -> Iterator[None]:
    """Holds the episode, or knows that the run that holds it is another one.

    Raises:
        EpisodeBusy: this run's process may be alive.
    """
    layout.locks.mkdir(exist_ok=True)
    try:
        with FileLock(layout.lock(ep_id), timeout=0):
            yield
            return
    except Timeout:
        holder = current_holder(layout, ep_id)
    if holder is None or holder.run_id == run_id:
        raise busy_error(layout, ep_id)
    yield
