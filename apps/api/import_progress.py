"""How far the import of a folder is: one at a time, whose bytes are counted as they are copied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

from apps.common.batch_schemas import ImportProgress
from apps.runs.new_videos import NewVideo


class FolderImports:
    """Lets one request import after the other.

    Attributes:
        running: the import that is on; None where there is none.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.running: RunningImport | None = None

    def alone(self) -> AbstractAsyncContextManager[None]:
        """For an import and for queueing what came, when those before have ended.

        Else whoever comes next would take what is there, and not queued yet, for left behind.
        """
        return self._lock

    @contextmanager
    def begun(self, folder: str) -> Iterator[RunningImport]:
        """An import; `alone` is held."""
        self.running = RunningImport(folder)
        try:
            yield self.running
        finally:
            self.running = None


class RunningImport:
    """Counts files and bytes; told by the thread that copies, read by others.

    Args:
        folder: as it was asked for.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._begun = time.monotonic()
        self._file: str | None = None
        self._files_done = self._files_total = 0
        self._bytes_done = self._bytes_total = 0
        self._copied = 0  # of the file

    def expect(self, videos: Sequence[NewVideo]) -> None:
        """These are to be imported."""
        self._files_total = len(videos)
        self._bytes_total = sum(video.facts.st_size for video in videos)

    @contextmanager
    def file(self, video: NewVideo) -> Iterator[None]:
        """The file is being imported; after the block it is done, whatever became of it."""
        self._file, self._copied = video.shown, 0
        try:
            yield
        finally:
            self._file, self._copied = None, 0
            self._files_done += 1
            self._bytes_done += video.facts.st_size

    def copied(self, count: int) -> None:
        """So many more bytes of the file are copied."""
        self._copied += count

    def told(self) -> ImportProgress:
        done = min(self._bytes_done + self._copied, self._bytes_total)
        elapsed_s = time.monotonic() - self._begun
        left_s = elapsed_s * (self._bytes_total - done) / done if done else None
        return ImportProgress(
            folder=self._folder,
            file=self._file,
            files_done=self._files_done,
            files_total=self._files_total,
            bytes_done=done,
            bytes_total=self._bytes_total,
            elapsed_sec=round(elapsed_s, 1),
            eta_sec=None if left_s is None else round(left_s, 1),
        )
