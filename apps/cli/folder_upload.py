"""Uploads the new videos of a folder, each as an episode of its file's name."""

from __future__ import annotations

import base64
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.common.errors import (
    EpisodeExists,
    InvalidInput,
    QueueUnavailable,
    ScreenalyticsError,
    from_dict,
)
from apps.common.names import name_after
from apps.common.terminal import printable
from apps.runs.episodes import VIDEO_SUFFIXES
from apps.runs.new_videos import is_fresh, is_video_name, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import httpx

_TUS = {"Tus-Resumable": "1.0.0"}
_CHUNK = 16 * 1024**2  # bytes of one request
_TRIES = 5  # of a request over which the connection breaks
_PAUSE_SECONDS = 1.0


@dataclass
class FolderUpload:
    """What became of the files of a folder.

    Attributes:
        new: names of the episodes that were not there.
        refused: by file, why it has not become one.
    """

    client: httpx.Client
    new: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def send(self, folder: Path) -> None:
        """Sends what is no episode yet; an upload that broke off goes on where it was.

        Raises:
            InvalidInput: there is no such folder, or no video in it.
            QueueUnavailable: the service is gone.
        """
        for path in _videos(folder):
            ep_id = name_after(path.stem)
            try:
                if ep_id in self.new:
                    raise InvalidInput(f"Another file here becomes {ep_id!r} as well.")
                if is_fresh(path.stat()):
                    raise InvalidInput("It is still being written.", hint="Try again later.")
                if self._is_sent(path, ep_id):
                    self.new.append(ep_id)
            except QueueUnavailable:
                raise
            except ScreenalyticsError as error:
                self.refused[path.name] = error.message
            except OSError as error:
                self.refused[path.name] = f"It cannot be read: {error.strerror}."

    def _is_sent(self, path: Path, ep_id: str) -> bool:
        """False where the episode has a video already."""
        facts = path.stat()
        values = {
            "ep_id": ep_id,
            "filename": text_of(path.name),
            "modified": str(round(facts.st_mtime * 1000)),
        }
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()
        )
        headers = {"Upload-Length": str(facts.st_size), "Upload-Metadata": metadata}
        try:
            begun = self._ask("POST", "/uploads", headers)
        except EpisodeExists:
            return False
        place, offset = begun.headers["location"], int(begun.headers["upload-offset"])
        with path.open("rb") as stream:
            while offset < facts.st_size:
                offset = self._send_some(stream, place, offset)
                _tell(path, offset, facts.st_size)
        return True

    def _send_some(self, stream: BinaryIO, place: str, offset: int) -> int:
        """The offset that is due then."""
        stream.seek(offset)
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        try:
            answer = self._ask("PATCH", place, headers, stream.read(_CHUNK), tries=1)
        except QueueUnavailable:  # what has arrived is kept
            answer = self._ask("HEAD", place, {})
        return int(answer.headers["upload-offset"])

    def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        tries: int = _TRIES,
    ) -> httpx.Response:
        import httpx

        for left in reversed(range(tries)):
            try:
                answer = self.client.request(
                    method, path, headers={**_TUS, **headers}, content=body
                )
            except httpx.TransportError:
                if left == 0:
                    raise _gone() from None
                time.sleep(_PAUSE_SECONDS)
            else:
                if answer.is_success:
                    return answer
                raise from_dict(_problem(answer))
        raise AssertionError("the last try returns or raises")


def _videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidInput(f"--folder: there is no folder {str(folder)!r}.")
    found = sorted(_files(folder))
    if not found:
        raise InvalidInput(
            f"--folder: no video lies in {str(folder)!r}.",
            hint=f"A video ends with one of {', '.join(sorted(VIDEO_SUFFIXES))}.",
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_video_name(path.name) and path.is_file():
            yield path


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        return dict(answer.json())
    except ValueError:  # of HEAD, or of a proxy
        return {"detail": f"The service answered {answer.status_code}."}


def _gone() -> QueueUnavailable:
    return QueueUnavailable(
        "The service has gone away over an upload.",
        hint="The same command goes on with it when the service is back.",
    )


def _tell(path: Path, offset: int, size: int) -> None:
    end = "\n" if offset >= size or not sys.stderr.isatty() else "\r"
    if offset >= size or sys.stderr.isatty():
        sys.stderr.write(
            f"{printable(path.name)}: {offset / size:.0%} of {size / 1e6:.0f} MB sent{end}"
        )
        sys.stderr.flush()
