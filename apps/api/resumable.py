"""Uploads that are resumed: which there are, who may send, and how they become episodes."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from filelock import FileLock

from apps.api.upload import Received, store_video, stored_suffix
from apps.api.upload_files import (
    GO_ON,
    KEEP_SECONDS,
    Record,
    Upload,
    Wanted,
    Writer,
    boot_id,
    load,
    not_found,
    refuse,
    remove,
)
from apps.common.errors import (
    EpisodeExists,
    RunFailed,
    ScreenalyticsError,
    StorageFailed,
    UploadBusy,
    UploadConflict,
    UploadNotFound,
    UploadTooLarge,
    VideoUnreadable,
    from_dict,
)
from apps.common.files import entries_of, storage_errors
from apps.common.layout import Layout
from apps.common.remote import noted_video
from apps.common.schemas import UploadStatus
from apps.runs.episodes import has_video, video_files
from apps.runs.probe import VideoProbe
from apps.runs.record import now
from apps.runs.storage import check_space

_TURN_SECONDS = 60.0
_CHECKS = 3  # of a video whose check itself fails; a video may be what fells it
_ID = re.compile(r"[0-9a-f]{32}")
_log = logging.getLogger("screenalytics.uploads")


class Uploads:
    """All resumable uploads of a data root.

    Args:
        limit_mb: of one file, megabytes.
        min_free_mb: what the disk keeps free, megabytes.
    """

    def __init__(
        self, layout: Layout, videos: VideoProbe, limit_mb: float, min_free_mb: float
    ) -> None:
        self.limit = int(limit_mb * 1e6)
        self.is_stopping = False
        self._layout = layout
        self._videos = videos
        self._min_free_mb = min_free_mb
        self._active: set[str] = set()

    def create(self, wanted: Wanted) -> Upload:
        """A new upload; the one that there is where the same file is being sent already.

        Raises:
            EpisodeExists, UploadConflict: the episode has a video, or becomes another one.
            UploadTooLarge, StorageFailed: it finds no room.
        """
        self._refuse_large(wanted.length)
        layout = self._layout
        with storage_errors():
            layout.uploads.mkdir(parents=True, exist_ok=True)
            layout.upload_lock.parent.mkdir(exist_ok=True)
            with FileLock(layout.upload_lock):
                return self._same(wanted) or self._make(wanted)

    def check_room(self, ep_id: str, length: int) -> None:
        """As for an upload, of a file that comes by another way.

        Raises:
            UploadConflict: an unfinished upload is to become this episode.
            UploadTooLarge, StorageFailed: it finds no room.
        """
        self._refuse_large(length)
        with storage_errors():
            self._layout.uploads.mkdir(parents=True, exist_ok=True)
        for other in self.unfinished():
            if other.record.ep_id == ep_id:
                raise _has_name(other)
        self._refuse_full(length)

    def find(self, upload_id: str) -> Upload:
        """The upload of an id.

        Raises:
            UploadNotFound: there is none.
            ScreenalyticsError: its video was refused; this is why.
        """
        upload = self._known(upload_id)
        if upload.record.problem is not None:
            raise from_dict(upload.record.problem)
        return upload

    def unfinished(self) -> list[Upload]:
        """Those whose bytes are kept, the oldest first."""
        found = (self._load(path.name) for path in entries_of(self._layout.uploads))
        uploads = [one for one in found if one is not None and one.is_unfinished]
        return sorted(uploads, key=lambda one: (one.record.created_at, one.upload_id))

    def status(self, upload: Upload) -> UploadStatus:
        record, offset = upload.record, upload.offset
        state: Literal["receiving", "checking", "finished"] = "receiving"
        if offset is None:
            state, offset = "finished", record.length
        elif offset == record.length:
            state = "checking"
        return UploadStatus(
            upload_id=upload.upload_id,
            ep_id=record.ep_id,
            filename=record.filename,
            modified=record.modified,
            length=record.length,
            offset=offset,
            state=state,
            active=upload.upload_id in self._active,
            created_at=record.created_at,
            expires_at=datetime.fromtimestamp(upload.expires, UTC).isoformat(timespec="seconds"),
        )

    def begin(self, upload: Upload, offset: int) -> Writer:
        """Claims an upload for one request that sends bytes from an offset on.

        Raises:
            UploadBusy: another request has it.
            UploadConflict: another offset is due.
        """
        descriptor = self._claim(upload)
        try:
            claimed = self.find(upload.upload_id)  # it may have grown until it was claimed
            due = claimed.offset
            if due != offset:
                raise UploadConflict(
                    f"The upload is at offset {due}, not {offset}.", hint=GO_ON, offset=due
                )
            if claimed.record.boot != boot_id():
                os.ftruncate(descriptor, offset)
                claimed = claimed.save(boot=boot_id())
            os.lseek(descriptor, offset, os.SEEK_SET)
        except BaseException:
            self._release(upload, descriptor)
            raise
        return Writer(claimed, descriptor, offset, partial(self._release, upload, descriptor))

    async def finish_where_complete(self, upload: Upload) -> None:
        """Checks a complete video and makes it an episode. Does nothing with any other upload.

        Raises:
            VideoUnreadable, EpisodeExists: it is refused, and its bytes are removed.
            UploadBusy: it is being checked.
        """
        if not upload.is_complete:
            return
        try:
            descriptor = await asyncio.to_thread(self._claim, upload)
        except UploadNotFound:
            self.find(upload.upload_id)  # it was published meanwhile, or refused
            return
        try:
            upload = await asyncio.to_thread(self.find, upload.upload_id)
            upload = await asyncio.to_thread(upload.save, checks=upload.record.checks + 1)
            await self._check(upload)
        finally:
            self._release(upload, descriptor)

    def remove(self, upload_id: str) -> None:
        """Ends an upload; a request that sends bytes of it learns of that.

        Raises:
            UploadNotFound: there is none.
            UploadConflict: it has become an episode.
        """
        upload = self._known(upload_id)
        if upload.record.problem is None and upload.offset is None:
            raise UploadConflict(
                f"The upload has ended: there is an episode {upload.record.ep_id!r}.",
                hint="Delete the episode where it is not wanted.",
            )
        remove(upload.folder)

    async def look_after_forever(self) -> None:
        """Removes what has expired, and checks what is complete, until it is cancelled.

        A server that was killed may have had the last byte and not have looked at the video.
        """
        while True:
            await asyncio.to_thread(self.sweep)
            for upload in await asyncio.to_thread(self.unfinished):
                with suppress(ScreenalyticsError):
                    await self.finish_where_complete(upload)
            await asyncio.sleep(_TURN_SECONDS)

    def sweep(self) -> None:
        """Removes what has expired."""
        for folder in entries_of(self._layout.uploads):
            if _ID.fullmatch(folder.name) is None or folder.is_symlink():
                continue
            with suppress(OSError, StorageFailed):  # removed meanwhile, or not removable
                if self._expires(folder) < time.time() and folder.name not in self._active:
                    remove(folder)
                    _log.info("removed an upload that had expired", extra={"upload": folder.name})

    def _expires(self, folder: Path) -> float:
        upload = load(folder)
        return folder.stat().st_mtime + KEEP_SECONDS if upload is None else upload.expires

    def _same(self, wanted: Wanted) -> Upload | None:
        if has_video(self._layout, wanted.ep_id):
            raise EpisodeExists(
                f"Episode {wanted.ep_id!r} has a video already.", hint="Choose another ep_id."
            )
        for other in self.unfinished():
            if other.record.ep_id != wanted.ep_id:
                continue
            if wanted.modified is not None and _what(other.record) == _what(wanted):
                return other
            raise _has_name(other)
        return None

    def _refuse_large(self, length: int) -> None:
        if length > self.limit:
            raise UploadTooLarge(
                f"The file is larger than {self.limit / 1e6:g} MB.",
                hint="Raise SCREENALYTICS_UPLOAD_MAX_MB, or copy it to the data root by hand.",
            )

    def _refuse_full(self, length: int) -> None:
        others = sum(one.record.length - (one.offset or 0) for one in self.unfinished())
        free_mb = check_space(self._layout.uploads, self._min_free_mb) - self._min_free_mb
        if length + others > free_mb * 1e6:
            raise StorageFailed(
                f"The video has {length / 1e6:.0f} MB; the disk has room for "
                f"{max(0.0, free_mb - others / 1e6):.0f} MB more.",
                hint="Free space, or end unfinished uploads (GET /uploads).",
            )

    def _make(self, wanted: Wanted) -> Upload:
        self._refuse_full(wanted.length)
        upload_id = secrets.token_hex(16)
        folder = self._layout.uploads / upload_id
        record = Record(**wanted.model_dump(), created_at=now(), boot=boot_id())
        upload = Upload(upload_id, folder, record)
        folder.mkdir()
        upload.video.touch()
        return upload.save()

    def _load(self, upload_id: str) -> Upload | None:
        return load(self._layout.uploads / upload_id) if _ID.fullmatch(upload_id) else None

    def _known(self, upload_id: str) -> Upload:
        upload = self._load(upload_id)
        if upload is None or not (upload.record.problem or self._is_there(upload)):
            raise not_found()
        return upload

    def _is_there(self, upload: Upload) -> bool:
        """Whether its bytes are kept, or have become the episode's video."""
        if upload.is_unfinished:
            return True
        known = noted_video(self._layout.remote_video(upload.record.ep_id))
        if known is not None and known.size_bytes == upload.record.length:
            return True
        with suppress(OSError):
            videos = video_files(self._layout.episode(upload.record.ep_id))
            return bool(videos) and videos[0].stat().st_size == upload.record.length
        return False

    async def _check(self, upload: Upload) -> None:
        ep_id, suffix = upload.record.ep_id, stored_suffix(upload.record.filename)
        try:
            await self._videos.facts(upload.video)
            received = Received(ep_id, upload.video, suffix)
            await asyncio.to_thread(store_video, received, self._layout, ep_id)
        except (VideoUnreadable, EpisodeExists) as problem:
            await asyncio.to_thread(refuse, upload, problem)
            raise
        except RunFailed:  # a server that is being stopped fells its children too
            if upload.record.checks < _CHECKS:
                raise
            fatal = VideoUnreadable("The video fells what reads it.", hint="Check the file.")
            await asyncio.to_thread(refuse, upload, fatal)
            raise fatal from None

    def _claim(self, upload: Upload) -> int:
        try:
            descriptor = os.open(upload.video, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise not_found() from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_busy = False
        except BlockingIOError:
            is_busy = True
        except OSError:  # a disk that knows no locks: only this server's requests are known
            is_busy = upload.upload_id in self._active
        if is_busy:
            os.close(descriptor)
            raise UploadBusy(
                "Another request is sending this upload, or it is being checked.",
                hint="Try again in a few seconds.",
            )
        self._active.add(upload.upload_id)
        return descriptor

    def _release(self, upload: Upload, descriptor: int) -> None:
        self._active.discard(upload.upload_id)
        os.close(descriptor)


def _has_name(other: Upload) -> UploadConflict:
    return UploadConflict(
        f"An unfinished upload of another file has the name {other.record.ep_id!r}.",
        hint="End that one with DELETE, or choose another ep_id.",
        upload_id=other.upload_id,
    )


def _what(wanted: Wanted) -> tuple[str, str | None, int]:
    return wanted.filename, wanted.modified, wanted.length
