"""Receives an upload straight to disk, never more than one chunk in memory."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING

from fastapi import Request
from filelock import FileLock
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from apps.common.errors import EpisodeExists, InvalidInput, UploadTooLarge
from apps.common.files import claimed, storage_errors, sync, write_json
from apps.common.layout import PART, Layout
from apps.common.names import check_name
from apps.runs.episodes import VIDEO_STEM, VIDEO_SUFFIXES, video_files

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_PARTS_LIMIT = 10
_FIELD_LIMIT = 1000  # bytes of a form field
_HINT = "Send multipart/form-data with the fields ep_id and file."


@dataclass(frozen=True)
class Received:
    """A complete upload. `path` is removed when `receive_upload` ends, unless it was stored."""

    ep_id: str
    path: Path
    suffix: str


@asynccontextmanager
async def receive_upload(
    request: Request, layout: Layout, limit_mb: float
) -> AsyncIterator[Received]:
    """Reads the body.

    Raises:
        InvalidInput: it is no such form, or it broke off.
        UploadTooLarge: the file is larger than `limit_mb` megabytes.
        StorageFailed: the disk is full or not writable.
    """
    with storage_errors():
        layout.uploads.mkdir(parents=True, exist_ok=True)
    path = layout.uploads / f"{secrets.token_hex(8)}{PART}"
    with ExitStack() as claim:
        claim.callback(path.unlink, missing_ok=True)
        with storage_errors():
            stream = claim.enter_context(claimed(path))
            form = _Form(stream, limit_mb)
            await _feed(request, form)
            stream.flush()
        yield Received(form.ep_id(), path, form.suffix())


def store_video(received: Received, layout: Layout, ep_id: str) -> None:
    """Moves the file to its place, unless another upload was faster.

    Raises:
        EpisodeExists: there is a video of that name.
        StorageUnavailable: the storage does not take it; the file stays where it is.
    """
    target = layout.episode(ep_id) / f"{VIDEO_STEM}{received.suffix}"
    stored = None
    if layout.remote is not None:  # first: what is nowhere else is no episode of all hosts
        _refuse_second(target.parent, ep_id)
        stored = layout.remote.put_video(ep_id, received.path, target.name)
    with storage_errors():
        sync(received.path)  # a power cut must not leave an empty video
        target.parent.mkdir(parents=True, exist_ok=True)
        layout.upload_lock.parent.mkdir(exist_ok=True)
        with FileLock(layout.upload_lock):
            _refuse_second(target.parent, ep_id)
            received.path.replace(target)
            if stored is not None:
                write_json(layout.remote_video(ep_id), stored.model_dump())
            sync(target.parent)


def _refuse_second(folder: Path, ep_id: str) -> None:
    if video_files(folder):
        raise EpisodeExists(f"Episode {ep_id!r} has a video already.", hint="Choose another ep_id.")


def stored_suffix(filename: str) -> str:
    """The file's ending where it is a usual one; players and tools go by it."""
    suffix = PurePath(filename.replace("\\", "/")).suffix.lower()
    return suffix if suffix in VIDEO_SUFFIXES else ".mp4"


async def _feed(request: Request, form: _Form) -> None:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput("The body is not multipart/form-data.", hint=_HINT)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in request.stream():
            await run_in_threadpool(parser.write, chunk)
        parser.finalize()
    except ClientDisconnect:
        raise InvalidInput("The upload broke off.", hint="Send it again.") from None
    except FormParserError:
        raise InvalidInput("The form cannot be read.", hint=_HINT) from None
    if not form.complete:
        raise InvalidInput("The form breaks off before its end.", hint="Send it again.")


class _Form:
    """Takes the parser's callbacks: `ep_id` to memory, `file` to disk."""

    def __init__(self, stream: IO[bytes], limit_mb: float) -> None:
        self.complete = False
        self._stream = stream
        self._limit = int(limit_mb * 1e6)
        self._size = 0
        self._parts = 0
        self._fields: dict[bytes, bytearray] = {}
        self._filename: bytes | None = None
        self._part = b""
        self._is_file = False
        self._header = (bytearray(), bytearray())

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def ep_id(self) -> str:
        if self._filename is None:
            raise InvalidInput("The form has no file.", hint=_HINT)
        if b"ep_id" not in self._fields:
            raise InvalidInput("The form has no ep_id.", hint=_HINT)
        return check_name(self._fields[b"ep_id"].decode("utf-8", "replace"))

    def suffix(self) -> str:
        return stored_suffix((self._filename or b"").decode("utf-8", "replace"))

    def _begin(self) -> None:
        self._part, self._is_file = b"", False
        self._parts += 1
        if self._parts > _PARTS_LIMIT:
            raise InvalidInput("The form has too many parts.", hint=_HINT)

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header = (bytearray(), bytearray())
        if name != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._part = options.get(b"name", b"")
        self._is_file = self._part == b"file"
        if self._is_file:
            if self._filename is not None:
                raise InvalidInput("The form has two files.", hint=_HINT)
            self._filename = options.get(b"filename", b"")
        else:
            self._fields.setdefault(self._part, bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._size += end - start
            if self._size > self._limit:
                raise UploadTooLarge(
                    f"The file is larger than {self._limit / 1e6:g} MB.",
                    hint="Raise SCREENALYTICS_UPLOAD_MAX_MB, or copy it to the data root by hand.",
                )
            self._stream.write(data[start:end])
            return
        field = self._fields.setdefault(self._part, bytearray())
        if len(field) + end - start > _FIELD_LIMIT:
            raise InvalidInput("A field of the form is too long.", hint=_HINT)
        field.extend(data[start:end])

    def _end(self) -> None:
        self.complete = True
