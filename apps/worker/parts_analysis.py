"""Has a job's frames analysed in parts, by this worker and by all that help."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from apps.common.contracts.manifest import PartProgress, Progress
from apps.common.contracts.parts import MadePart, MadeParts, PartOrder, PartPlan, undivided_options
from apps.common.errors import InvalidInput, QueueUnavailable, RunTimedOut
from apps.common.files import write_json
from apps.jobs.limits import RUNS
from apps.jobs.parts import DividedRun
from apps.jobs.queue import Publisher
from apps.jobs.store import JobStore, QueueJob
from apps.worker.division import Division, division
from apps.worker.endings import Reported
from apps.worker.heartbeat import JobHeartbeat
from apps.worker.here import WorkerHere
from apps.worker.part_files import PartFiles
from apps.worker.part_making import PartMaking

_log = logging.getLogger("screenalytics.worker")
_POLL_SECONDS = 0.3
_TELL_SECONDS = 0.5
_REDIS_AWAY_SECONDS = 1.0
_COLLECT_SECONDS = 1.0


class PartsAnalysis:
    """The first half of a job's run, where it is divided; this worker leads.

    Args:
        here: this worker.
        store: records of all jobs.
        job: as it was begun here.
        making: makes parts here.
        heartbeat: of the job; told how far the whole is.
        go_on: raises where the job is to end here.

    Attributes:
        warning: why the run is not divided, where somebody has asked for that.
    """

    def __init__(
        self,
        here: WorkerHere,
        store: JobStore,
        job: QueueJob,
        making: PartMaking,
        heartbeat: JobHeartbeat,
        go_on: Callable[[], None],
    ) -> None:
        self._here = here
        self._store = store
        self._job = job
        self._making = making
        self._parts = making.parts
        self._files = PartFiles(here, job.request.job_id)
        self._heartbeat = heartbeat
        self._go_on = go_on
        self._id = job.request.job_id
        self._run = (job.request.spec.ep_id, job.request.spec.run_id)
        self._deadline = time.monotonic() + job.request.timeout_s
        self._wanted: Division | None = None
        self._killed = 0  # processes of parts, here
        self._begun = time.time()
        self._token: str | None = None
        self.warning: str | None = None

    @property
    def left_s(self) -> float:
        """Seconds that the run may still take."""
        return max(1.0, self._deadline - time.monotonic())

    def is_wanted(self) -> bool:
        """Whether the run is to be divided, as far as is known before its video is opened."""
        request = self._job.request
        if request.segments == "off":
            return False
        try:
            if self._parts.divided(self._id) is not None:
                return True  # another worker has begun
            self._wanted = division(request.segments, self._store, self._here.host)
        except QueueUnavailable as error:
            self._note(error.detail)
            return False
        if self._wanted is None:
            return False
        why = undivided_options(request.spec.resolution.options)
        if why is not None:
            self._note(why)
        return why is None

    async def made(self) -> MadeParts | None:
        """All parts, when they are made; None where the run is not divided after all.

        Raises:
            ScreenalyticsError: the run has failed.
            WorkerStops: another worker is to go on.
        """
        telling = asyncio.create_task(self._tell())
        collecting = asyncio.create_task(self._collect())
        try:
            divided = self._parts.divided(self._id)
            if divided is None or not self._files.take_over(divided):
                divided = await self._begin()
            return None if divided is None else await self._all(divided)
        except QueueUnavailable as error:
            self._go_on()
            self._note(error.detail)
            return None
        finally:
            telling.cancel()
            collecting.cancel()

    def forget(self) -> None:
        """Nothing is left of the parts, and nobody makes any."""
        with suppress(QueueUnavailable):
            self._parts.forget(self._id)
        self._files.forget()

    async def _begin(self) -> DividedRun | None:
        """Makes the first part, whose process draws the plan; None where there is none."""
        self.forget()
        wanted = self._wanted or division(self._job.request.segments, self._store, self._here.host)
        if wanted is None:
            return None
        self._token = secrets.token_hex(8) if self._here.has_storage else None
        self._files.begin(self._token)
        self._files.remove_left(self._store)
        divided: DividedRun | None = None
        self._begun = time.time()

        def on_plan(plan: PartPlan) -> None:
            nonlocal divided
            divided = self._announce(wanted, plan)

        order = PartOrder(
            number=1,
            count=wanted.count,
            min_samples=wanted.min_samples,
            makers=wanted.helpers + 1,
            path=str(self._making.path(1)),
            place=self._making.place(self._token),
            known=str(self._making.known),
        )
        try:
            await self._if_not_killed(self._making.make(order, self.left_s, on_plan))
        except Reported as error:
            if not isinstance(error.error, InvalidInput):
                raise
            self._note(error.detail)
            self.forget()
        self._go_on()
        return divided

    def _announce(self, wanted: Division, plan: PartPlan) -> DividedRun:
        """Makes the parts known, and calls for help."""
        divided = DividedRun(
            plan=plan,
            since=self._begun,
            code=self._here.fingerprint,
            makers_a_host=wanted.makers_a_host,
            token=self._token,
        )
        self._parts.register(self._id, divided, self._making.maker)
        publisher = Publisher(self._here.settings)
        with suppress(QueueUnavailable):  # it is done without help
            for _ in range(min(wanted.helpers, len(plan.samples) - 1)):
                publisher.call_for_help(self._job.request)
        _log.info("job divided", extra={"parts": len(plan.samples), "helpers": wanted.helpers})
        return divided

    async def _all(self, divided: DividedRun) -> MadeParts | None:
        """Makes what nobody else makes, until all parts are there."""
        plan: DividedRun | None = divided
        while plan is not None:
            self._check()
            try:
                claim = self._parts.claim(self._id, self._making.maker)
                if isinstance(claim, int):
                    plan = await self._make_claimed(claim, plan)
                elif claim == "made":
                    found = await self._found(plan)
                    if found is not None:
                        return found
                elif claim == "over" and self._parts.divided(self._id) is None:
                    break  # Redis has lost them: the run is done as a whole
                else:
                    await asyncio.sleep(_POLL_SECONDS)
            except QueueUnavailable:
                await asyncio.sleep(_REDIS_AWAY_SECONDS)  # what others make goes on
        return None

    async def _make_claimed(self, number: int, divided: DividedRun) -> DividedRun | None:
        """Makes a part; how the run is divided then."""
        making = self._making.make_claimed(number, divided, self.left_s)
        try:
            await self._if_not_killed(making)
        except Reported as error:
            if not error.is_about_parts:
                raise
            return await self._begin()  # begun by another kind of host: all of it anew
        return divided

    async def _if_not_killed(self, making: Awaitable[bool]) -> None:
        """Makes a part here, if its process is not killed from outside: then somebody will."""
        try:
            await making
        except Reported as error:
            self._killed += 1
            if not error.was_killed or self._killed >= RUNS:
                raise
            _log.warning("part is made again: %s", error.detail)

    async def _found(self, divided: DividedRun) -> MadeParts | None:
        """All parts, where their files are seen here; the others are to be made again."""
        statuses = self._parts.read(self._id)
        missing = await self._files.missing([one.number for one in statuses], self._check)
        for number in missing:
            _log.warning("part is not where it should be", extra={"part": number})
            self._parts.reopen(self._id, number)
        if missing or not statuses:
            return None
        made = [
            MadePart(
                path=str(self._files.path(one.number)), worker=one.worker, attempts=one.attempts
            )
            for one in statuses
        ]
        return MadeParts(parts=made, since=divided.since, known=str(self._files.known))

    def _note(self, why: str) -> None:
        """Somebody who has asked for parts is told why there are none."""
        if self._job.request.segments != "auto":
            self.warning = f"The run was not divided. {why}"
        _log.info("job not divided: %s", why)

    def _check(self) -> None:
        self._go_on()
        self._keep_time()

    def _keep_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise RunTimedOut(
                f"The run took longer than {self._job.request.timeout_s:g} s.",
                hint="Raise timeout_s, or take a larger stride or another profile.",
            )

    async def _collect(self) -> None:
        """Has files come from other hosts while others are still made."""
        while self._here.has_storage:
            with suppress(QueueUnavailable):
                statuses = await asyncio.to_thread(self._parts.read, self._id)
                await self._files.bring([one.number for one in statuses if one.state == "made"])
            await asyncio.sleep(_COLLECT_SECONDS)

    async def _tell(self) -> None:
        """Says how far all parts together are."""
        while True:
            with suppress(QueueUnavailable):
                statuses = await asyncio.to_thread(self._parts.read, self._id)
                divided = await asyncio.to_thread(self._parts.divided, self._id)
                if statuses and divided is not None:
                    whole = _progress(self._job, divided, statuses)
                    self._heartbeat.progress = whole
                    with suppress(OSError):
                        write_json(self._here.layout.run(*self._run).progress, whole.model_dump())
            await asyncio.sleep(_TELL_SECONDS)


def _progress(job: QueueJob, divided: DividedRun, parts: list[PartProgress]) -> Progress:
    """Of all parts together."""
    elapsed_s = max(0.0, time.time() - divided.since)
    done = sum(part.frames_done for part in parts)
    total = sum(part.frames_total for part in parts)
    rate = done / max(elapsed_s, 1e-6)
    return Progress(
        phase="running",
        frames_done=done,
        frames_total=total,
        video_frames_total=divided.plan.video_frames,
        elapsed_sec=round(elapsed_s, 2),
        analyzed_fps=round(rate, 2),
        eta_sec=round((total - done) / rate, 1) if rate > 0 else None,
        run_id=job.request.spec.run_id,
        updated_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        cpu_percent=round(sum(part.cpu_percent or 0.0 for part in parts), 1),
        parts=parts,
    )
