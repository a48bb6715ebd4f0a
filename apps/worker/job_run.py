"""The run of a job, once its episode is free: as a whole, or in parts that are put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

from apps.common.contracts.events import Event, ProgressEvent, ResultEvent
from apps.common.contracts.manifest import Holder, Progress, RunResult, RunStatus
from apps.common.contracts.parts import MadeParts
from apps.common.errors import EpisodeBusy, RunCancelled, ScreenalyticsError, StorageFailed
from apps.common.resolve import with_warning
from apps.jobs.limits import RUNS
from apps.jobs.parts import Maker
from apps.jobs.store import JobStore, QueueJob
from apps.runs.launch import start_run
from apps.runs.lock import episode_lock
from apps.runs.record import RunRecord, now, status_of
from apps.runs.spec import JoinSpec
from apps.runs.supervise import SupervisedProcess
from apps.worker.endings import Reported, WorkerStops
from apps.worker.heartbeat import JobHeartbeat
from apps.worker.here import WorkerHere
from apps.worker.part_making import PartMaking
from apps.worker.parts_analysis import PartsAnalysis

_STOPPED = "The worker was stopped."


class JobRun:
    """Runs a job's episode on this worker.

    Args:
        here: this worker.
        store: records of all jobs.
        job: as it was begun here.
        token: of this delivery.
        heartbeat: of the job; told how far it is.
        stop: set where the run is to end.
        go_on: raises where the job is to end here.
    """

    def __init__(
        self,
        here: WorkerHere,
        store: JobStore,
        job: QueueJob,
        token: str,
        heartbeat: JobHeartbeat,
        stop: asyncio.Event,
        go_on: Callable[[], None],
    ) -> None:
        self._here = here
        self._job = job
        self._heartbeat = heartbeat
        self._stop = stop
        self._go_on = go_on
        maker = Maker(token=token, worker=here.name, host=here.host)
        making = PartMaking(here, store, job.request, maker, stop)
        self._analysis = PartsAnalysis(here, store, job, making, heartbeat, go_on)
        self._warning: str | None = None

    async def result(self) -> RunResult:
        """What came out.

        Raises:
            EpisodeBusy: another run was faster; wait for it, and call this again.
            WorkerStops: another worker is to go on.
            ScreenalyticsError: it has failed, or was cancelled.
        """
        try:
            result = await self._result()
        except (EpisodeBusy, WorkerStops):
            raise  # whoever goes on needs the parts
        except BaseException:
            self._analysis.forget()
            raise
        self._analysis.forget()
        return result

    async def _result(self) -> RunResult:
        made = await self._made_parts()
        if made is not None:
            try:
                return await self._run(made)
            except Reported as error:
                if not error.is_about_parts:
                    raise
                self._warning = f"The run was done as a whole. {error.detail}"
                self._analysis.forget()
        return await self._run(None)

    async def _made_parts(self) -> MadeParts | None:
        """Has the run's parts made, where it is divided.

        Meanwhile the episode is held and the run has a manifest, as by the run's own process.
        """
        if not self._analysis.is_wanted():
            self._warning = self._analysis.warning
            return None
        spec = self._job.request.spec
        holder = Holder(
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            execution_mode="redis",
            pid=os.getpid(),
            host=os.uname().nodename,
            since=now(),
        )
        with episode_lock(self._here.layout, holder):
            record = RunRecord(self._here.layout, self._here.spec(self._job.request), {})
            try:
                made = await self._analysis.made()
            except WorkerStops:
                _close(record, "cancelled", _STOPPED)
                raise
            except ScreenalyticsError as error:
                _close(record, status_of(error), error.detail)
                raise
        self._warning = self._analysis.warning
        return made

    async def _run(self, made: MadeParts | None) -> RunResult:
        """Runs it; again where the process was killed from outside, as by the system."""
        for _ in range(RUNS - 1):
            try:
                return await self._run_once(made)
            except Reported as error:
                if not error.was_killed:
                    raise
        return await self._run_once(made)

    async def _run_once(self, made: MadeParts | None) -> RunResult:
        spec = self._here.spec(self._job.request)
        if self._warning is not None:
            resolution = with_warning(spec.resolution, self._warning)
            spec = spec.model_copy(update={"resolution": resolution})
        limit_s = self._job.request.timeout_s if made is None else self._analysis.left_s
        run = await start_run(JoinSpec(**dict(spec), made=made), limit_s)
        stopping = asyncio.create_task(self._end_when_told(run))
        try:
            async for event in run.events():
                if isinstance(event, ProgressEvent):
                    self._heartbeat.progress = event if made is None else _joining(event, made)
        finally:
            stopping.cancel()
            await run.end("The worker stopped.")
        if isinstance(run.last, ResultEvent):
            return RunResult.model_validate(run.last.model_dump())
        self._go_on()
        error = Reported(run.last)
        raise error.error if isinstance(error.error, EpisodeBusy) else error

    async def _end_when_told(self, run: SupervisedProcess[Event]) -> None:
        await self._stop.wait()
        await run.end(self._why())

    def _why(self) -> str:
        """The worker's reason, as the run's manifest has it."""
        try:
            self._go_on()
        except RunCancelled as error:
            return error.detail
        except WorkerStops:
            pass
        return _STOPPED


def _close(record: RunRecord, status: RunStatus, reason: str) -> None:
    with contextlib.suppress(StorageFailed):
        record.end(status, reason)


def _joining(event: ProgressEvent, made: MadeParts) -> Progress:
    """Of a run whose frames are all analysed."""
    elapsed_s = event.elapsed_sec if made.since is None else time.time() - made.since
    done = {"phase": "writing", "frames_done": event.frames_total, "eta_sec": None}
    return event.model_copy(update={**done, "elapsed_sec": round(elapsed_s, 2)})
