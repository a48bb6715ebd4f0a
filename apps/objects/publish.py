"""Stores completed runs: all files, then the record that has others see them.

A run is noted before it completes, and the note goes when it is stored. So whatever dies or is away
in between, whoever looks after the notes of this host stores it later.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import ValidationError

from apps.common.errors import StorageUnavailable
from apps.common.files import entries_of, open_regular, read_json, storage_errors, write_json
from apps.common.layout import Layout, RunFiles
from apps.common.names import is_name, is_run_name
from apps.objects.archive import archived
from apps.objects.records import (
    StoredFile,
    StoredRun,
    hidden_key,
    is_file_name,
    object_key,
    objects_of,
    record_key,
)
from apps.objects.store import PART_BYTES, NoObject, ObjectChanged, ObjectExists, ObjectStore
from apps.runs.episodes import list_episodes
from apps.runs.lock import is_held
from apps.runs.record import now
from apps.runs.store import list_runs

_log = logging.getLogger("screenalytics.storage")
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds, of a run that has just completed
_LONGEST_PAUSE = 600.0  # of one that is looked after
_READ_BYTES = 1 << 20
_POLL_SECONDS = 0.2
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


def publish_now(
    layout: Layout, store: ObjectStore, ep_id: str, run_id: str, check: Callable[[], object]
) -> StorageUnavailable | None:
    """Stores a run that has just completed, in a few tries.

    Args:
        check: called before each; what it raises ends them.

    Returns:
        Why it is not stored; None where it is.
    """
    path = layout.unpublished(ep_id, run_id)
    for pause in (*PAUSES, None):
        check()
        try:
            while not publish(layout, store, ep_id, run_id) and path.exists():
                check()  # somebody else is storing it
                time.sleep(_POLL_SECONDS)
            return None
        except StorageUnavailable as error:
            if pause is None:
                _remember(path, error)
                return error
            _log.info("a run is stored later", extra={"why": error.detail})
            time.sleep(pause)
            store.try_again()
    raise AssertionError("the last try returns")


def publish(layout: Layout, store: ObjectStore, ep_id: str, run_id: str) -> bool:
    """Stores a run that is noted, unless somebody else is storing it.

    Returns:
        Whether this run is the one that is stored under its name.

    Raises:
        StorageUnavailable: it is not stored; the note stays.
    """
    path, files = layout.unpublished(ep_id, run_id), layout.run(ep_id, run_id)
    with _claimed(path) as note:
        if note is None:
            return False
        manifest = read_json(files.manifest)
        if manifest is None or manifest.get("status") != "completed" or files.remote.exists():
            if not is_held(layout, ep_id):  # else it is about to complete
                path.unlink(missing_ok=True)
            return False
        token = note["token"]
        stored = _stored_files(store, files, objects_of(ep_id, run_id, token))
        run = StoredRun(token=token, manifest=manifest, files=stored)
        try:
            e_tag = _commit(store, ep_id, run_id, run, replaces=note.get("replaces") is True)
        except NoObject:  # it went this moment
            return False
        if e_tag is not None:
            with storage_errors():
                files.stored.write_text(e_tag)
        path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()
    facts = {"ep_id": ep_id, "run_id": run_id}
    if e_tag is not None:
        _log.info("run stored", extra=facts)
    else:
        _log.warning("another run of that name is in the storage already", extra=facts)
    return e_tag is not None


def _commit(
    store: ObjectStore, ep_id: str, run_id: str, run: StoredRun, *, replaces: bool
) -> str | None:
    """Has others see a run; the ETag of its record, or None where there is one of another host.

    Args:
        replaces: the record of before, which this host knows, gives way.
    """
    key, body = record_key(ep_id, run_id), run.model_dump_json().encode()
    hidden = hidden_key(ep_id, run_id)
    try:
        return store.put(key, body, create=True)
    except ObjectExists:
        there, e_tag = store.get(key)
    with suppress(ValidationError):
        other = StoredRun.model_validate_json(there)
        if other.token == run.token:  # stored before: the answer was lost on its way here
            return e_tag
        if replaces or _is_there(store, hidden):  # a deleted run gives way as well
            try:
                e_tag = store.replace(key, body, e_tag)
            except ObjectChanged:
                raise StorageUnavailable(
                    "Another host is storing this run again just now.", hint="Try again."
                ) from None
            _remove_objects(store, ep_id, run_id, other)
            store.delete([hidden])
            return e_tag
    _remove_objects(store, ep_id, run_id, run)
    return None


def _is_there(store: ObjectStore, key: str) -> bool:
    try:
        store.get(key)
    except NoObject:
        return False
    return True


def _remove_objects(store: ObjectStore, ep_id: str, run_id: str, run: StoredRun) -> None:
    below = objects_of(ep_id, run_id, run.token)
    store.delete([found.key for found in store.below(below)])


class Republisher:
    """Looks after the notes of a data root. Several may: each note is one's at a time.

    Args:
        layout: of the data root.
        store: where to.
    """

    def __init__(self, layout: Layout, store: ObjectStore) -> None:
        self._layout = layout
        self._store = store
        self._pause = 0.0  # seconds
        self._not_before = 0.0

    def turn(self) -> None:
        """Stores what is noted; not again for longer and longer while the storage is away."""
        if time.monotonic() < self._not_before:
            return
        for ep_id, run_id in due(self._layout, FRESH_SECONDS):
            try:
                publish(self._layout, self._store, ep_id, run_id)
            except StorageUnavailable as error:
                self._pause = min(_LONGEST_PAUSE, max(5.0, 2 * self._pause))
                self._not_before = time.monotonic() + self._pause
                _remember(self._layout.unpublished(ep_id, run_id), error)
                facts = {"why": error.detail, "again_in_s": self._pause}
                _log.warning("a run is not stored yet", extra=facts)
                return
            except Exception:  # whatever lies in a run's folder, others are stored
                _log.exception("a run cannot be stored")
        self._pause = 0.0


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


def _stored_files(store: ObjectStore, files: RunFiles, where: str) -> list[StoredFile]:
    """Stores a run's files; not its manifest, nor what is hidden or a link.

    Args:
        where: prefix of their keys.
    """
    found = []
    for path in sorted(entries_of(files.folder)):
        is_own = path in (files.manifest, files.restored)
        if not is_file_name(path.name) or path.is_symlink() or is_own:
            continue
        kind: Literal["file", "tar"] = "tar" if path.is_dir() else "file"
        content = _Measured(archived(path) if kind == "tar" else file_parts(path))
        store.put(object_key(where, path.name, kind), _one_or_many(content))
        found.append(
            StoredFile(
                name=path.name,
                kind=kind,
                size_bytes=content.size,
                sha256=content.digest.hexdigest(),
            )
        )
    return found


class _Measured:
    """Pieces that are stored; how they were is known at their end, whatever the file is then."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.digest = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.digest.update(piece)
            self.size += len(piece)
            yield piece


def _one_or_many(content: Iterable[bytes]) -> bytes | Iterable[bytes]:
    """What fits into one request, at once; else its pieces: each object in parts is three more."""
    pieces, head, size = iter(content), [], 0
    for piece in pieces:
        head.append(piece)
        size += len(piece)
        if size > PART_BYTES:
            return chain(head, pieces)
    return b"".join(head)


def file_parts(path: Path) -> Iterator[bytes]:
    """A file's content, a megabyte at a time."""
    with open_regular(path) as stream:
        while piece := stream.read(_READ_BYTES):
            yield piece


@contextmanager
def _claimed(path: Path) -> Iterator[dict[str, Any] | None]:
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


def _remember(path: Path, error: StorageUnavailable) -> None:
    """Writes into a note why its run is not stored, for people."""
    note = read_json(path)
    if note is not None:
        tries = int(note.get("tries", 0)) + 1
        with suppress(OSError):
            write_json(path, {**note, "tries": tries, "problem": error.detail, "at": now()})
