"""Files of a job's parts, on the host of the worker that leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apps.common.errors import ScreenalyticsError, StorageUnavailable
from apps.common.files import storage_errors
from apps.common.layout import KNOWN_VIDEO
from apps.jobs.parts import DividedRun
from apps.jobs.store import JobStore, QueueJob
from apps.objects.job_parts import JobParts, remove_left
from apps.objects.mirror import Mirror
from apps.worker.here import WorkerHere

_log = logging.getLogger("screenalytics.worker")
_POLL_SECONDS = 0.3
_SHARED_FOLDER_SECONDS = 5.0  # until what another host has written is seen here
_STORAGE_AWAY_SECONDS = 60.0  # then it is made again


class PartFiles:
    """Those of one job: made here, seen in a folder that hosts share, or had from the storage.

    Args:
        here: this worker.
        job_id: whose they are.
    """

    def __init__(self, here: WorkerHere, job_id: str) -> None:
        self._here = here
        self._job_id = job_id
        self._folder = here.layout.parts(job_id)
        self._stored: JobParts | None = None
        self._bringing = asyncio.Lock()

    def path(self, number: int) -> Path:
        """Of a part's file."""
        return self._here.layout.part(self._job_id, number)

    @property
    def known(self) -> Path:
        """What is known of the video."""
        return self._folder / KNOWN_VIDEO

    def begin(self, token: str | None) -> None:
        """Makes room for the files of a division.

        Args:
            token: see `DividedRun`.

        Raises:
            StorageFailed: the disk does not take it.
        """
        with storage_errors():
            self._folder.mkdir(parents=True)
        self._stored = None if token is None else self._here.stored_parts(self._job_id, token)

    def take_over(self, divided: DividedRun) -> bool:
        """Goes on with a division that another worker began; False where its files never come."""
        if divided.token is not None:
            self._stored = self._here.stored_parts(self._job_id, divided.token)
        if self._stored is not None:
            with storage_errors():
                self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder.is_dir()

    async def bring(self, numbers: Sequence[int]) -> None:
        """Has files come that another host has made, as far as that can be done now."""
        with contextlib.suppress(ScreenalyticsError):
            for number in numbers:
                await self._is_here(number)

    async def missing(self, numbers: Sequence[int], check: Callable[[], None]) -> list[int]:
        """Waits for files of parts that are made.

        Args:
            check: called while it waits; what it raises ends that.

        Returns:
            Those that do not come.

        Raises:
            StorageFailed: the disk does not take them.
        """
        begun, left = time.monotonic(), list(numbers)
        while True:
            patience_s = _SHARED_FOLDER_SECONDS
            try:
                left = [number for number in left if not await self._is_here(number)]
            except StorageUnavailable as error:
                patience_s = _STORAGE_AWAY_SECONDS
                _log.info("parts cannot be had: %s", error.detail)
            if not left or time.monotonic() > begun + patience_s:
                return left
            check()
            await asyncio.sleep(_POLL_SECONDS)

    def forget(self) -> None:
        """Removes them here; in the storage soon, unless that is away."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._stored is not None:
            _in_background(self._stored.forget)

    def remove_left(self, store: JobStore) -> None:
        """Has files of other runs removed from the storage whose jobs have ended; soon."""
        remote = self._here.layout.remote

        def has_ended(names: list[str]) -> dict[str, bool]:
            jobs = store.read_all(names)
            return {
                name: job.is_finished for name, job in jobs.items() if isinstance(job, QueueJob)
            }

        if isinstance(remote, Mirror):
            objects = remote.store
            _in_background(lambda: remove_left(objects, has_ended))

    async def _is_here(self, number: int) -> bool:
        path, stored = self.path(number), self._stored
        async with self._bringing:
            if path.is_file():
                return True
            return stored is not None and await asyncio.to_thread(stored.bring, path)


def _in_background(work: Callable[[], object]) -> None:
    def tried() -> None:
        with contextlib.suppress(ScreenalyticsError):
            work()

    threading.Thread(target=tried, name="stored parts", daemon=True).start()
