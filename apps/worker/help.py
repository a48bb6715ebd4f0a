"""A worker that was called for help: makes parts of another worker's job while there are any."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from contextlib import suppress

from apps.common.logs import bind
from apps.jobs.parts import DividedRun, Maker, PartStore
from apps.jobs.queue import Publisher, is_work_waiting
from apps.jobs.store import JobRequest, JobStore
from apps.worker.drain import Drain
from apps.worker.endings import Reported
from apps.worker.here import WorkerHere
from apps.worker.part_making import PartMaking

_log = logging.getLogger("screenalytics.worker")


class PartHelp:
    """One delivery of a call for help.

    Args:
        here: this worker.
        store: records of all jobs.
        delivery_tag: Celery's name of the delivery; None where there is none.
        drain: says when the worker stops.
    """

    def __init__(
        self, here: WorkerHere, store: JobStore, *, delivery_tag: str | None, drain: Drain
    ) -> None:
        self._here = here
        self._store = store
        self._parts = PartStore(store)
        self._tag = delivery_tag
        self._drain = drain

    async def run(self, job_id: str) -> int:
        """Makes parts until none is left, other work waits, or the worker stops.

        Returns:
            How many it has made.

        Raises:
            JobNotFound: nobody knows the job any more.
            QueueUnavailable: Redis does not do its part.
        """
        divided = self._parts.divided(job_id)
        # Nobody's hands are tied: whoever leads makes what nobody else makes.
        if divided is None or not self._can_help(job_id, divided):
            return 0
        is_shared = self._here.layout.parts(job_id).is_dir()
        request = self._store.read(job_id).request
        bind(run_id=request.spec.run_id, ep_id=request.spec.ep_id)
        maker = Maker(token=secrets.token_hex(8), worker=self._here.name, host=self._here.host)
        stop = asyncio.Event()
        making = PartMaking(
            self._here,
            self._store,
            request,
            maker,
            stop,
            self._tag,
            is_for_another=not is_shared,
        )
        draining = asyncio.create_task(self._watch_drain(stop))
        try:
            return await self._help(divided, request, making)
        finally:
            draining.cancel()
            if not is_shared:
                shutil.rmtree(making.folder, ignore_errors=True)
                with suppress(OSError):  # another one on this host makes some, too
                    making.folder.parent.rmdir()

    def _can_help(self, job_id: str, divided: DividedRun) -> bool:
        """With the same code, and where what is written comes to who leads."""
        is_same = divided.code == self._here.fingerprint
        is_shared = self._here.layout.parts(job_id).is_dir()
        is_had = is_shared or (divided.token is not None and self._here.has_storage)
        if not (is_same and is_had):
            why = "no common folder or storage" if is_same else "another version of the code"
            _log.info("cannot help", extra={"job_id": job_id, "why": why})
        return is_same and is_had

    async def _help(self, divided: DividedRun, request: JobRequest, making: PartMaking) -> int:
        made = 0
        while not self._drain.has_begun:
            claim = self._parts.claim(request.job_id, making.maker, divided.makers_a_host)
            if not isinstance(claim, int):
                break
            _log.info("part begun", extra={"part": claim})
            try:
                if not await making.make_claimed(claim, divided, request.timeout_s):
                    break
            except Reported as error:
                _log.warning("part not made: %s", error.detail, extra={"part": claim})
                break
            made += 1
            if is_work_waiting(self._store):  # others' turn comes between two parts
                Publisher(self._here.settings).call_for_help(request)
                break
        return made

    async def _watch_drain(self, stop: asyncio.Event) -> None:
        await self._drain.over()
        stop.set()
