"""One job from its delivery to its end. Delivered twice, it still yields one completed run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from functools import partial

from apps.common.contracts.manifest import RunResult
from apps.common.errors import (
    EpisodeBusy,
    QueueUnavailable,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunTimedOut,
    ScreenalyticsError,
    StorageUnavailable,
)
from apps.common.logs import bind
from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobStore, QueueJob
from apps.runs.lock import is_held
from apps.runs.store import read_manifest
from apps.worker.drain import Drain
from apps.worker.endings import Reported, WorkerStops
from apps.worker.hand_back import cancelled, hand_back
from apps.worker.heartbeat import JobHeartbeat
from apps.worker.here import WorkerHere
from apps.worker.job_run import JobRun
from apps.worker.patience import when_redis_is_back

_log = logging.getLogger("screenalytics.worker")
MAX_ATTEMPTS = 5  # a run that takes its worker down with it must not do so for ever
_POLL_SECONDS = 0.3
_REST_SECONDS = 5.0  # of a worker whose storage is away, which it was asked for some seconds
_LONGEST_PAUSE_SECONDS = 5.0  # between two questions to Redis whether another host still runs it


class JobExecution:
    """One delivery of a job, from its start to its end.

    Args:
        job_id: as delivered.
        store: the worker's own.
        here: the worker.
        delivery_tag: Celery's name of the delivery; None where there is none.
        drain: says when the worker stops.
    """

    def __init__(
        self,
        job_id: str,
        store: JobStore,
        here: WorkerHere,
        *,
        delivery_tag: str | None,
        drain: Drain,
    ) -> None:
        self._job_id = job_id
        self._store = store
        self._here = here
        self._tag = delivery_tag
        self._token = secrets.token_hex(8)  # of this delivery
        self._layout = here.layout
        self._drain = drain
        self._stop = asyncio.Event()  # the run is to end now
        self._is_cancelled = False

    async def run(self) -> QueueJob:
        """Executes the job, or finds that it has ended or is executed elsewhere.

        Returns:
            It as it stands then.

        Raises:
            JobNotFound: nobody knows it any more; there is nothing to do.
        """
        state = self._store.begin(self._job_id, self._here.name, self._token)
        job = self._store.read(self._job_id)
        if state == "cancel":
            self._store.cancel_now(self._job_id, cancelled().to_dict())
        elif state == "begun" and job.attempts > MAX_ATTEMPTS:
            self._store.fail(self._job_id, _given_up(job.attempts).to_dict())
        elif state == "begun":
            await self._execute(job)
        else:
            # Its worker lives. Should it die, the job is sent again (`apps.jobs.reconcile`).
            _log.info("delivery dropped", extra={"state": state})
        return self._store.read(self._job_id)

    async def _execute(self, job: QueueJob) -> None:
        loop = asyncio.get_running_loop()
        spec = job.request.spec
        bind(run_id=spec.run_id, ep_id=spec.ep_id)
        _log.info("job begun", extra={"attempt": job.attempts})
        lease = EpisodeLease(self._store, spec.ep_id, spec.run_id)

        def on_cancel() -> None:
            loop.call_soon_threadsafe(self._cancel)

        draining = asyncio.create_task(self._watch_drain())
        is_handed_back = False
        lacking: Reported | StorageUnavailable | None = None
        beating = JobHeartbeat(self._store, self._job_id, self._token, lease, self._tag, on_cancel)
        with beating as heartbeat:
            try:
                result = await self._result(job, lease, heartbeat)
                with contextlib.suppress(QueueUnavailable):
                    self._store.beat(self._job_id, self._token, heartbeat.progress)
            except WorkerStops:
                is_handed_back = True
            except StorageUnavailable as error:
                is_handed_back, lacking = True, error
            except Reported as error:
                if error.lacks_storage:
                    is_handed_back, lacking = True, error
                else:
                    await self._end(error)
            except ScreenalyticsError as error:
                await self._end(error)
            else:
                await self._end(result)
            finally:
                draining.cancel()
                lease.give_back()
        if is_handed_back:  # nothing here works on it any more
            await hand_back(job.request, self._token, self._store, self._here.settings, lacking)
        if lacking is not None:
            await self._rest()

    async def _rest(self) -> None:
        """Leaves jobs to workers that reach the storage, if there are any."""
        until = time.monotonic() + _REST_SECONDS
        while time.monotonic() < until and not self._drain.has_begun:
            await asyncio.sleep(_POLL_SECONDS)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._stop.set()

    async def _watch_drain(self) -> None:
        """Ends the run where the worker stops and has waited for it long enough."""
        await self._drain.over()
        self._stop.set()

    async def _result(
        self, job: QueueJob, lease: EpisodeLease, heartbeat: JobHeartbeat
    ) -> RunResult:
        run = self._job_run(job, heartbeat)
        left_s = job.request.timeout_s  # to wait for the episode; the run has as much again
        while True:
            left_s = await self._wait_for_episode(job, lease, left_s)
            heartbeat.lease_taken = True
            with contextlib.suppress(EpisodeBusy):  # another was faster: wait for it like for any
                return self._completed(job) or await run.result()

    def _job_run(self, job: QueueJob, heartbeat: JobHeartbeat) -> JobRun:
        return JobRun(
            self._here,
            self._store,
            job,
            self._token,
            heartbeat,
            self._stop,
            self._refuse_to_go_on,
        )

    async def _wait_for_episode(self, job: QueueJob, lease: EpisodeLease, seconds: float) -> float:
        """Until no run holds the episode: another one, or this job's own from before.

        Returns:
            What is left of the seconds.
        """
        spec = job.request.spec
        deadline = time.monotonic() + seconds
        ask_at, pause = 0.0, _POLL_SECONDS
        while True:
            if not is_held(self._layout, spec.ep_id) and time.monotonic() >= ask_at:
                if lease.take():
                    return deadline - time.monotonic()
                ask_at, pause = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._refuse_to_go_on()
            if self._drain.has_begun:
                raise WorkerStops
            if time.monotonic() > deadline:
                raise RunTimedOut(
                    f"The episode was held by another run for {job.request.timeout_s:g} s; a job "
                    "waits no longer than its run may take.",
                    hint="See GET /celery_jobs for what runs; raise timeout_s, or send it later.",
                )
            await asyncio.sleep(_POLL_SECONDS)

    def _completed(self, job: QueueJob) -> RunResult | None:
        """The result of this job's run, where an earlier delivery completed it."""
        spec = job.request.spec
        try:
            return read_manifest(self._layout, spec.ep_id, spec.run_id).result
        except (RunNotFound, StorageUnavailable):  # without a storage it is run again
            return None

    def _refuse_to_go_on(self) -> None:
        if self._is_cancelled:
            raise cancelled()
        if self._stop.is_set():
            raise WorkerStops

    async def _end(self, outcome: RunResult | ScreenalyticsError) -> None:
        """Says how it ended."""
        await when_redis_is_back(partial(self._say, outcome))

    def _say(self, outcome: RunResult | ScreenalyticsError) -> None:
        if isinstance(outcome, RunResult):
            self._store.succeed(self._job_id, outcome)
        elif isinstance(outcome, RunCancelled):
            self._store.cancel_now(self._job_id, outcome.to_dict())
        else:
            self._store.fail(self._job_id, outcome.to_dict())


def _given_up(attempts: int) -> RunFailed:
    return RunFailed(
        f"The job's worker died {attempts - 1} times in it; it is not tried again.",
        hint="Look at the run's log and the worker's; it may lack memory.",
    )
