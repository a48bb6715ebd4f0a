"""Makes one part of a job's run in a process of its own, while the part is this worker's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from apps.common.contracts.events import PartEvent, PartPlanEvent, PartResultEvent, ProgressEvent
from apps.common.contracts.manifest import Progress
from apps.common.contracts.parts import PartOrder, PartPlan, PartsPlace
from apps.common.errors import QueueUnavailable
from apps.common.layout import KNOWN_VIDEO
from apps.common.repeater import Repeater
from apps.jobs.parts import DividedRun, Maker, PartStore
from apps.jobs.queue import renew_delivery
from apps.jobs.store import JobRequest, JobStore
from apps.runs.launch import start_part
from apps.runs.spec import PartSpec
from apps.runs.supervise import SupervisedProcess
from apps.worker.endings import Reported
from apps.worker.heartbeat import BEAT_SECONDS
from apps.worker.here import WorkerHere
from apps.worker.patience import when_redis_is_back

_log = logging.getLogger("screenalytics.worker")


class PartMaking:
    """Makes parts of one job, one after the other.

    Args:
        here: this worker.
        store: records of all jobs.
        request: of the job.
        maker: this delivery, as Redis knows it.
        stop: set where it is to end at once.
        delivery_tag: Celery's message, whose visibility is renewed; None where another heartbeat
            does that, or there is none.
        is_for_another: what is made here is read on another host, which has it from the storage.
    """

    def __init__(
        self,
        here: WorkerHere,
        store: JobStore,
        request: JobRequest,
        maker: Maker,
        stop: asyncio.Event,
        delivery_tag: str | None = None,
        *,
        is_for_another: bool = False,
    ) -> None:
        self.maker = maker
        self.parts = PartStore(store)
        self._here = here
        self._store = store
        self._request = request
        self._stop = stop
        self._tag = delivery_tag
        self._is_for_another = is_for_another

    @property
    def folder(self) -> Path:
        """Of the files of parts, until they are where they are read."""
        layout, job_id = self._here.layout, self._request.job_id
        if self._is_for_another:
            return layout.sent_parts(job_id, self.maker.token)
        return layout.parts(job_id)

    @property
    def known(self) -> Path:
        """What is known of the video."""
        return self.folder / KNOWN_VIDEO

    def path(self, number: int) -> Path:
        """Of a part's file."""
        return self.folder / self._here.layout.part(self._request.job_id, number).name

    def place(self, token: str | None) -> PartsPlace | None:
        """Where it is stored; None where it is not."""
        if token is None or not self._here.has_storage:
            return None
        return PartsPlace(job_id=self._request.job_id, token=token)

    async def make_claimed(self, number: int, divided: DividedRun, timeout_s: float) -> bool:
        """Makes a part that this maker has claimed; as `make`."""
        order = PartOrder(
            number=number,
            count=len(divided.plan.starts),
            starts=divided.plan.starts,
            path=str(self.path(number)),
            kind=divided.plan.kind,
            place=self.place(divided.token),
            is_for_another=self._is_for_another,
            known=str(self.known),
        )
        return await self.make(order, timeout_s)

    async def make(
        self, order: PartOrder, timeout_s: float, on_plan: Callable[[PartPlan], None] | None = None
    ) -> bool:
        """Makes a part that is this maker's; at its end it is made, or released.

        Args:
            order: which one.
            timeout_s: longest time.
            on_plan: of a part that nobody knows of yet: makes it known as this maker's.

        Returns:
            False where it is another's by now, nobody wants it any more, or `stop` was set.

        Raises:
            Reported: it failed.
            QueueUnavailable: raised by `on_plan`, or Redis is away for too long.
        """
        lost = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_loss() -> None:
            loop.call_soon_threadsafe(lost.set)

        beating = _PartHeartbeat(self._store, self._request.job_id, self.maker, self._tag, on_loss)
        beating.number = order.number if on_plan is None else None
        spec = PartSpec(**dict(self._here.spec(self._request)), order=order)
        with beating:
            process = await start_part(spec, timeout_s)
            ending = asyncio.create_task(self._end_when_told(process, lost))
            try:
                async for event in process.events():
                    if isinstance(event, ProgressEvent):
                        beating.progress = event
                    elif isinstance(event, PartPlanEvent) and on_plan is not None:
                        on_plan(event)
                        beating.number = order.number
            finally:
                ending.cancel()
                await process.end("The worker stopped.")
                is_made = isinstance(process.last, PartResultEvent) and not lost.is_set()
                if beating.number is not None and not is_made:
                    with suppress(QueueUnavailable):  # else its lease runs out
                        self.parts.release(self._request.job_id, order.number, self.maker)
            if is_made:
                return await when_redis_is_back(partial(self._say_made, order.number), self._stop)
        if lost.is_set() or self._stop.is_set():
            return False
        raise Reported(process.last)

    async def _end_when_told(
        self, process: SupervisedProcess[PartEvent], lost: asyncio.Event
    ) -> None:
        told = [asyncio.create_task(event.wait()) for event in (self._stop, lost)]
        try:
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in told:
                task.cancel()
        await process.end("The part is not wanted here any more.")

    def _say_made(self, number: int) -> bool:
        """Whether it is this maker's still."""
        return self.parts.made(self._request.job_id, number, self.maker) == "ok"


class _PartHeartbeat(Repeater):
    """Says that the maker of a part lives, and how far it is.

    Args:
        on_loss: called from this thread where the part is not wanted here any more.
    """

    def __init__(
        self,
        store: JobStore,
        job_id: str,
        maker: Maker,
        delivery_tag: str | None,
        on_loss: Callable[[], None],
    ) -> None:
        self._store = store
        self._parts = PartStore(store)
        self._job_id = job_id
        self._maker = maker
        self._tag = delivery_tag
        self._on_loss = on_loss
        self._renewed_at = 0.0
        self.number: int | None = None  # none yet
        self.progress: Progress | None = None
        super().__init__("part heartbeat", BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        if self.number is None:
            return
        try:
            beat = self._parts.beat(self._job_id, self.number, self._maker, self.progress)
            is_due = time.monotonic() - self._renewed_at > self._store.lease_seconds / 4
            if self._tag is not None and is_due:
                renew_delivery(self._store, self._tag)
                self._renewed_at = time.monotonic()
        except QueueUnavailable:
            return  # Redis is away: the work goes on
        if beat != "ok":
            self._on_loss()
