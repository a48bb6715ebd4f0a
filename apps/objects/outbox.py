"""Notes of runs that are to be stored: made before a run completes, gone when it is stored."""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from apps.common.errors import StorageUnavailable
from apps.common.files import entries_of, open_regular, read_json, storage_errors, write_json
from apps.common.layout import Layout
from apps.common.names import is_name, is_run_name
from apps.runs.episodes import list_episodes
from apps.runs.record import now
from apps.runs.store import list_runs

FRESH_SECONDS = 10.0  # a note of a run whose own process is about to store it


def note_due(layout: Layout, ep_id: str, run_id: str, *, replaces: bool = False) -> None:
    """Notes that a run is to be stored once it has completed; to be called before that.

    Args:
        replaces: in place of the one of its name that is there.

    Raises:
        StorageFailed: the disk does not take the note.
    """
    path = layout.unpublished(ep_id, run_id)
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        known = read_json(path) or {}  # of a run that is not stored yet: what is there is used
        body = {
            "token": known.get("token", secrets.token_hex(8)),
            "since": now(),
            "replaces": replaces or known.get("replaces") is True,
        }
        write_json(path, body, durable=True)


def completed_here(layout: Layout, ep_id: str) -> list[str]:
    """Names of an episode's runs that have completed, and of which all is here."""
    return [
        name
        for name in list_runs(layout, ep_id)
        if (read_json(layout.run(ep_id, name).manifest) or {}).get("status") == "completed"
        and not layout.run(ep_id, name).remote.exists()
    ]


def note_unstored(layout: Layout) -> None:
    """Notes all completed runs that are not stored: those from before there was a storage."""
    noted = set(due(layout))
    for ep_id in list_episodes(layout):
        for run_id in completed_here(layout, ep_id):
            if (ep_id, run_id) not in noted and not layout.run(ep_id, run_id).stored.exists():
                note_due(layout, ep_id, run_id)


def due(layout: Layout, older_s: float = 0) -> list[tuple[str, str]]:
    """Runs that are noted, by episode and name.

    Args:
        older_s: not those that were noted since so many seconds, unless they were given up.
    """
    latest = time.time() - older_s
    return [
        (folder.name, path.stem)
        for folder in entries_of(layout.outbox)
        for path in entries_of(folder)
        if is_name(folder.name)
        and path.suffix == ".json"
        and is_run_name(path.stem)
        and _is_due(path, latest)
    ]


def _is_due(path: Path, latest: float) -> bool:
    """Whether a note is older than that, or its run's own process has given up."""
    try:
        return path.stat().st_mtime <= latest or "problem" in (read_json(path) or {})
    except OSError:
        return False


@contextmanager
def claimed_note(path: Path) -> Iterator[dict[str, Any] | None]:
    """What a note says, held against others; None where it is gone or held."""
    stream: BinaryIO
    try:
        stream = open_regular(path)
    except OSError:
        yield None
        return
    with stream:
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            note = json.loads(stream.read())
        except (OSError, ValueError):
            note = None
        yield note if isinstance(note, dict) and "token" in note and path.exists() else None


def forget(path: Path, note: dict[str, Any]) -> None:
    """Removes the note of what is stored; one that was made meanwhile stays, for there is more.

    Args:
        note: what it said.
    """
    if read_json(path) == note:
        path.unlink(missing_ok=True)


def remember(path: Path, error: StorageUnavailable) -> None:
    """Writes into a note why its run is not stored, for people."""
    note = read_json(path)
    if note is not None:
        tries = int(note.get("tries", 0)) + 1
        with suppress(OSError):
            write_json(path, {**note, "tries": tries, "problem": error.detail, "at": now()})
