"""Videos in the storage: brought here for who needs them, as long as there is room for them."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from apps.common.errors import StorageUnavailable, VideoReplaced
from apps.common.files import (
    claimed,
    entries_of,
    fingerprint_by,
    fingerprint_of,
    storage_errors,
    sync,
    write_json,
)
from apps.common.layout import PART, Check, Layout
from apps.common.names import is_name
from apps.common.remote import RemoteVideo, noted_video
from apps.objects.records import VIDEOS, hidden_key, video_key, video_name
from apps.objects.store import PART_BYTES, NoObject, ObjectChanged, ObjectStore, StoredObject
from apps.runs.episodes import preferred, video_files
from apps.runs.lock import is_held
from apps.runs.storage import check_space

_log = logging.getLogger("screenalytics.storage")
_TRIES = 4  # of a video whose transfer breaks off; each goes on where the last one ended
_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.2
PATIENCE_SECONDS = 15.0  # of a server's thread that waits for what another one brings


class Videos:
    """Of one storage.

    Args:
        cache_mb: so many megabytes of videos stay here that are there as well. The one that is
            needed comes in any case.
        min_free_mb: of the disk.
    """

    def __init__(self, store: ObjectStore, cache_mb: float, min_free_mb: float) -> None:
        self._store = store
        self._cache_bytes = int(cache_mb * 1e6)
        self._min_free_mb = min_free_mb
        self._held: list[BinaryIO] = []  # until this process ends

    def all(self) -> dict[str, RemoteVideo]:
        """The videos of all episodes; of several of an episode the one that is its own."""
        found: dict[str, list[StoredObject]] = {}
        for one in self._store.below(VIDEOS):
            name = video_name(one.key)
            if name is not None:
                found.setdefault(name[0], []).append(one)
        chosen = {ep_id: own_video(objects) for ep_id, objects in found.items()}
        return {ep_id: seen(one) for ep_id, one in chosen.items() if one is not None}

    def find(self, ep_id: str) -> RemoteVideo | None:
        """The episode's video; None where there is none, or it was deleted."""
        found = self._find(ep_id)
        return None if found is None else seen(found)

    def _find(self, ep_id: str) -> StoredObject | None:
        found = own_video(list(self._store.below(video_key(ep_id, ""))))
        if found is not None and is_hidden(self._store, ep_id):
            return None
        return found

    def is_equal(self, ep_id: str, path: Path) -> bool:
        """Whether the episode's video has the fingerprint of a file.

        Raises:
            StorageUnavailable: the storage is away.
            OSError: the file cannot be read.
        """
        found = self._find(ep_id)
        if found is None or found.size_bytes != path.stat().st_size:
            return False
        try:
            there = fingerprint_by(found.size_bytes, lambda *ends: self._store.range(found, *ends))
        except (NoObject, ObjectChanged):
            return False
        return there == fingerprint_of(path)

    def bring(
        self, layout: Layout, ep_id: str, *, check: Check | None = None, hold: bool = False
    ) -> bool:
        """Brings the episode's video here, unless it is; False where the storage has none.

        Args:
            check: called after every part; what it raises ends the work.
            hold: it stays until this process ends.

        Raises:
            VideoReplaced: it became another one on the way.
            StorageFailed: the disk does not take it.
        """
        with bringing(layout, ep_id, check, None if hold else PATIENCE_SECONDS):
            if not video_files(layout.episode(ep_id)) and not self._fetch(layout, ep_id, check):
                return False
            with suppress(OSError):
                os.utime(layout.remote_video(ep_id))  # it was used now
            if hold:
                self._hold(layout, ep_id)
        return True

    def bring_extract(
        self, ep_id: str, path: Path, size: int, ranges: Sequence[tuple[int, int]], check: Check
    ) -> int | None:
        """Writes some bytes of the episode's video into a file of its size, the others being zero.

        Args:
            path: is made; its folder is there.
            size: that the video must have.
            ranges: each from one byte to another.
            check: called after every request; what it raises ends the work.

        Returns:
            How many bytes came; None where the storage has no such video.

        Raises:
            StorageUnavailable: the storage is away.
            StorageFailed: the disk does not take it.
        """
        found = self._find(ep_id)
        if found is None or found.size_bytes != size:
            return None
        came = 0
        try:
            with storage_errors(), path.open("wb") as stream:
                stream.truncate(size)
                for start, end in ranges:
                    for at in range(start, end, PART_BYTES):
                        stream.seek(at)
                        came += stream.write(
                            self._store.range(found, at, min(at + PART_BYTES, end))
                        )
                        check()
        except (NoObject, ObjectChanged):
            return None
        return came

    def _fetch(self, layout: Layout, ep_id: str, check: Check | None) -> bool:
        found = self._find(ep_id)
        if found is None:
            return False
        video = seen(found)
        self._make_room(layout, video.size_bytes)
        started = time.monotonic()
        with storage_errors():
            layout.uploads.mkdir(parents=True, exist_ok=True)
            layout.episode(ep_id).mkdir(parents=True, exist_ok=True)
            temporary = layout.uploads / f"{secrets.token_hex(8)}{PART}"
            try:
                with claimed(temporary) as stream:
                    self._transfer(found, stream, check)
                    stream.flush()
                    os.fsync(stream.fileno())
                    temporary.replace(layout.episode(ep_id) / video.name)
            finally:
                temporary.unlink(missing_ok=True)
            note(layout, ep_id, video.model_copy(update={"here": True}))
            sync(layout.episode(ep_id))
        seconds = round(time.monotonic() - started, 1)
        _log.info("video brought", extra={"ep_id": ep_id, "seconds": seconds})
        return True

    def _transfer(self, found: StoredObject, stream: BinaryIO, check: Check | None) -> None:
        done = 0
        for left in reversed(range(_TRIES)):
            try:
                for part in self._store.parts(found, done):
                    done += stream.write(part)
                    if check is not None:
                        check()
                return
            except (ObjectChanged, NoObject):
                raise VideoReplaced(
                    "The video was replaced in the storage while it was on its way here.",
                    hint="Try again: then the new one is taken.",
                ) from None
            except StorageUnavailable:
                if left == 0:
                    raise
                time.sleep(_PAUSE_SECONDS)
                self._store.try_again()
                if check is not None:
                    check()

    def _hold(self, layout: Layout, ep_id: str) -> None:
        with storage_errors():
            stream = layout.video_in_use(ep_id).open("ab")
        fcntl.flock(stream.fileno(), fcntl.LOCK_SH)
        self._held.append(stream)

    def let_go(self) -> None:
        """Ends what is held before the process ends."""
        while self._held:
            self._held.pop().close()

    def _make_room(self, layout: Layout, needed: int) -> None:
        """Removes videos that are in the storage as well, those first that were used longest ago.

        Raises:
            StorageFailed: the disk has no room even so.
        """
        copies = []
        for folder in entries_of(layout.videos):
            if is_name(folder.name):
                path = layout.remote_video(folder.name)
                known = noted_video(path)
                if known is not None and known.here and (folder / known.name).exists():
                    with suppress(OSError):
                        copies.append((path.stat().st_mtime, folder.name, known))
        size = needed + sum(known.size_bytes for _, _, known in copies)
        for _, ep_id, known in sorted(copies, key=lambda copy: copy[0]):
            if size <= self._cache_bytes:
                break
            if remove_copy(layout, ep_id, known):
                size -= known.size_bytes
        check_space(layout.root, self._min_free_mb + needed / 1e6)


def note(layout: Layout, ep_id: str, video: RemoteVideo) -> None:
    """Notes a video of the storage beside the place of the episode's own."""
    with storage_errors():
        layout.episode(ep_id).mkdir(parents=True, exist_ok=True)
        write_json(layout.remote_video(ep_id), video.model_dump())


def remove_copy(layout: Layout, ep_id: str, known: RemoteVideo) -> bool:
    """Removes a video that is in the storage as well, unless somebody needs it.

    Args:
        known: as it is noted.
    """
    path = layout.episode(ep_id) / known.name
    try:
        with (
            FileLock(layout.remote_lock(ep_id), timeout=0),
            layout.video_in_use(ep_id).open("ab") as stream,
        ):
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_held(layout, ep_id) or path.stat().st_size != known.size_bytes:
                return False
            path.unlink()
            note(layout, ep_id, known.model_copy(update={"here": False}))
    except (Timeout, OSError):
        return False
    _log.info("video removed to make room", extra={"ep_id": ep_id})
    return True


@contextmanager
def bringing(
    layout: Layout, ep_id: str, check: Check | None = None, patience_s: float | None = None
) -> Iterator[None]:
    """Holds the right to bring something of an episode; waits for who has it.

    Args:
        check: called while it waits.
        patience_s: so long at most, seconds; None for as long as it takes.

    Raises:
        StorageUnavailable: it took longer.
    """
    deadline = None if patience_s is None else time.monotonic() + patience_s
    with storage_errors():
        layout.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(layout.remote_lock(ep_id), timeout=_POLL_SECONDS)
    while True:
        try:
            lock.acquire()
            break
        except Timeout:
            if check is not None:
                check()
            if deadline is not None and time.monotonic() > deadline:
                raise StorageUnavailable(
                    f"Something of episode {ep_id!r} is on its way here from the storage.",
                    hint="Try again in a minute.",
                ) from None
    try:
        yield
    finally:
        lock.release()


def own_video(objects: list[StoredObject]) -> StoredObject | None:
    """Which of the objects of an episode is its video."""
    named = {Path(one.key): one for one in objects if video_name(one.key) is not None}
    chosen = preferred(list(named))
    return named[chosen[0]] if chosen else None


def seen(found: StoredObject) -> RemoteVideo:
    return RemoteVideo(
        name=found.key.rpartition("/")[2], size_bytes=found.size_bytes, e_tag=found.e_tag
    )


def is_hidden(store: ObjectStore, ep_id: str) -> bool:
    """Whether an episode was deleted, and may come back."""
    try:
        store.get(hidden_key(ep_id, None))
    except NoObject:
        return False
    return True
