"""Stores completed runs: all files, then the record that has others see them.

A run is noted before it completes (`outbox.py`), and the note goes when it is stored. So whatever
dies or is away in between, whoever looks after the notes of this host stores it later.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from apps.common.errors import StorageUnavailable
from apps.common.files import entries_of, open_regular, read_json, storage_errors
from apps.common.layout import Layout, RunFiles
from apps.objects.archive import archived
from apps.objects.outbox import FRESH_SECONDS, claimed_note, due, forget, remember
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
from apps.runs.lock import is_held

_log = logging.getLogger("screenalytics.storage")
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds, of a run that has just completed
_READ_BYTES = 1 << 20
_POLL_SECONDS = 0.2
_LONGEST_PAUSE = 600.0  # of one that is looked after, seconds


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
                remember(path, error)
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
    with claimed_note(path) as note:
        if note is None:
            return False
        manifest = read_json(files.manifest)
        if manifest is None or manifest.get("status") != "completed" or files.remote.exists():
            if not is_held(layout, ep_id):  # else it is about to complete
                path.unlink(missing_ok=True)
            return False
        token, replaces = note["token"], note.get("replaces") is True
        before, e_tag = _stored_before(store, ep_id, run_id)
        is_own = before is not None and before.token == token  # its answer was lost on its way here
        if replaces or not is_own:
            if is_own:  # what a record names is never written over
                token = _token_after(token, e_tag)
            stored = _stored_files(store, files, objects_of(ep_id, run_id, token))
            run = StoredRun(token=token, manifest=manifest, files=stored)
            try:
                e_tag = _commit(store, ep_id, run_id, run, replaces=replaces)
            except NoObject:  # it went this moment
                return False
        if e_tag is not None:
            with storage_errors():
                files.stored.write_text(e_tag)
        forget(path, note)
    with suppress(OSError):
        path.parent.rmdir()
    facts = {"ep_id": ep_id, "run_id": run_id}
    if e_tag is not None:
        _log.info("run stored", extra=facts)
    else:
        _log.warning("another run of that name is in the storage already", extra=facts)
    return e_tag is not None


def _stored_before(
    store: ObjectStore, ep_id: str, run_id: str
) -> tuple[StoredRun | None, str | None]:
    """The record of that name, and its ETag; None where there is none, or none that is read."""
    with suppress(NoObject, ValidationError):
        body, e_tag = store.get(record_key(ep_id, run_id))
        return StoredRun.model_validate_json(body), e_tag
    return None, None


def _token_after(token: str, e_tag: str | None) -> str:
    """For a run that takes the place of one under its own token; the same at each try."""
    return hashlib.sha256(f"{token} {e_tag}".encode()).hexdigest()[: len(token)]


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
                remember(self._layout.unpublished(ep_id, run_id), error)
                facts = {"why": error.detail, "again_in_s": self._pause}
                _log.warning("a run is not stored yet", extra=facts)
                return
            except Exception:  # whatever lies in a run's folder, others are stored
                _log.exception("a run cannot be stored")
        self._pause = 0.0
