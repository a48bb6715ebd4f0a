"""Files of an upload that survives a broken connection, and a server that was killed.

It is a folder below `.uploads`: `upload.json` says what it becomes, `video` holds the bytes that
have arrived. Its offset is the size of that file. A kill loses nothing that was written; a power
cut may lose what was not synced, though the file's size may say otherwise. So the record says how
far the disk has it, which is what counts once the machine has started anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ValidationError

from apps.common.errors import ScreenalyticsError, StorageFailed, UploadNotFound, UploadTooLarge
from apps.common.files import storage_errors, write_atomic

KEEP_SECONDS = 48 * 3600.0  # after the last byte: from one evening to the next but one
SYNC_BYTES = 64 << 20  # at most so much is sent again after a power cut
GO_ON = "Ask for its offset with HEAD, then go on from there."
_VIDEO, _ABOUT = "video", "upload.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Wanted(BaseModel):
    """What a client says of an upload when it makes it."""

    ep_id: str
    filename: str
    modified: str | None
    length: int
    metadata: str


class Record(Wanted):
    """`upload.json`.

    Args:
        synced: bytes that would survive a power cut.
        boot: of the machine, since when all bytes of the file count.
        checks: how often the decoder was asked.
        problem: why the video was refused; its bytes are gone then.
    """

    created_at: str
    synced: int = 0
    boot: str
    checks: int = 0
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class Upload:
    """An upload as it is on the disk."""

    upload_id: str
    folder: Path
    record: Record

    @property
    def video(self) -> Path:
        return self.folder / _VIDEO

    @property
    def about(self) -> Path:
        return self.folder / _ABOUT

    @property
    def offset(self) -> int | None:
        """How many bytes count; None where there is no file, since it was published or refused."""
        try:
            size = self.video.stat().st_size
        except OSError:
            return None
        return size if self.record.boot == boot_id() else min(size, self.record.synced)

    @property
    def is_unfinished(self) -> bool:
        return self.record.problem is None and self.offset is not None

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there, and the decoder is to look at them."""
        return self.is_unfinished and self.offset == self.record.length

    @property
    def expires(self) -> float:
        """When it is removed unless more bytes arrive, seconds since 1970."""
        changed = [0.0]
        for path in (self.video, self.about):
            with suppress(OSError):
                changed.append(path.stat().st_mtime)
        return max(changed) + KEEP_SECONDS

    def save(self, **changes: Any) -> Upload:
        """The upload with another record, which the disk has.

        Raises:
            UploadNotFound: it was ended meanwhile.
            StorageFailed: the disk is full.
        """
        record = self.record.model_copy(update=changes)
        data = record.model_dump_json(indent=2).encode()
        try:
            with storage_errors():
                write_atomic(self.about, data, durable=True)
        except StorageFailed as problem:
            raise (problem if self.folder.is_dir() else not_found()) from None
        return Upload(self.upload_id, self.folder, record)


class Writer:
    """Takes the bytes of one request. Closing it syncs them, and gives the claim back.

    Args:
        upload: that the request has claimed.
        descriptor: of its file, at the offset.
        offset: of the next byte.
        release: ends the claim.
    """

    def __init__(
        self, upload: Upload, descriptor: int, offset: int, release: Callable[[], None]
    ) -> None:
        self.offset = offset
        self._upload = upload
        self._descriptor = descriptor
        self._release = release

    def write(self, chunk: bytes) -> None:
        """Keeps some more.

        Raises:
            UploadTooLarge: they are more than the whole file was to have; none of them is kept.
            UploadNotFound: the upload was ended meanwhile.
            StorageFailed: the disk is full; as much is kept as found room.
        """
        if self.offset + len(chunk) > self._upload.record.length:
            raise too_long(self._upload)
        if os.fstat(self._descriptor).st_nlink == 0:
            raise not_found()
        rest = memoryview(chunk)
        with storage_errors():
            while rest:
                written = os.write(self._descriptor, rest)
                self.offset += written
                rest = rest[written:]
            if self.offset - self._upload.record.synced >= SYNC_BYTES:
                self._sync()

    def close(self) -> None:
        try:
            with storage_errors():
                self._sync()
        finally:
            self._release()

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        with suppress(UploadNotFound):  # nobody asks for it any more
            self._upload = self._upload.save(synced=self.offset)


def load(folder: Path) -> Upload | None:
    """The upload in a folder; None where there is none."""
    try:
        record = Record.model_validate_json((folder / _ABOUT).read_bytes())
    except (OSError, ValidationError):
        return None
    return Upload(folder.name, folder, record)


def too_long(upload: Upload) -> UploadTooLarge:
    return UploadTooLarge(
        f"The upload was to have {upload.record.length} bytes; these are more.", hint=GO_ON
    )


@cache
def boot_id() -> str:
    """Another text each time that the machine starts."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def not_found() -> UploadNotFound:
    return UploadNotFound(
        "There is no such upload; it may have expired.", hint="Begin it again with POST /uploads."
    )


def refuse(upload: Upload, problem: ScreenalyticsError) -> None:
    """Keeps why, for the client that asks next, and frees the disk."""
    with suppress(UploadNotFound, StorageFailed):
        upload.save(problem=problem.to_dict())
    with storage_errors():
        upload.video.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """The bytes first: without them nobody takes the rest for an upload."""
    with storage_errors():
        (folder / _VIDEO).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
