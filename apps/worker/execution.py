"""One job from its delivery to its end. Delivered twice, it still yields one completed run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import Any

from apps.common.contracts.events import ErrorEvent, Event, ProgressEvent, ResultEvent
from apps.common.contracts.manifest import RunResult
from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import (
    EpisodeBusy,
    QueueUnavailable,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunTimedOut,
    ScreenalyticsError,
    StorageUnavailable,
    from_dict,
)
from apps.common.logs import bind
from apps.common.model_files import detectors_on_disk
from apps.common.resolve import cap_threads, with_detectors, with_warning
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.jobs.lease import EpisodeLease
from apps.jobs.limits import RUNS, SAY_SECONDS
from apps.jobs.store import JobStore, QueueJob
from apps.objects.open import layout_of
from apps.runs.launch import start_run
from apps.runs.lock import is_held
from apps.runs.spec import storage_plan
from apps.runs.store import read_manifest
from apps.runs.supervise import SupervisedProcess
from apps.worker.drain import Drain
from apps.worker.hand_back import cancelled, hand_back
from apps.worker.heartbeat import JobHeartbeat

_log = logging.getLogger("screenalytics.worker")
MAX_ATTEMPTS = 5  # a run that takes its worker down with it must not do so for ever
_POLL_SECONDS = 0.3
_DRAIN_POLL_SECONDS = 0.2


class JobExecution:
    """One delivery of a job, from its start to its end.

    Args:
        job_id: as delivered.
        store, settings: the worker's own.
        worker: its name.
        delivery_tag: Celery's name of the delivery; None where there is none.
        fingerprint: names the code that the worker has loaded.
        drain: says when the worker stops.
    """

    def __init__(
        self,
        job_id: str,
        store: JobStore,
        settings: Settings,
        *,
        worker: str,
        delivery_tag: str | None,
        fingerprint: str,
        drain: Drain,
    ) -> None:
        self._job_id = job_id
        self._store = store
        self._settings = settings
        self._worker = worker
        self._tag = delivery_tag
        self._token = secrets.token_hex(8)  # of this delivery
        self._fingerprint = fingerprint
        self._layout = layout_of(settings, settings.data_root.resolve())
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
        state = self._store.begin(self._job_id, self._worker, self._token)
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
        beating = JobHeartbeat(self._store, self._job_id, self._token, lease, self._tag, on_cancel)
        with beating as heartbeat:
            try:
                result = await self._result(job, lease, heartbeat)
                with contextlib.suppress(QueueUnavailable):
                    self._store.beat(self._job_id, self._token, heartbeat.progress)
            except _WorkerStops:
                is_handed_back = True
            except ScreenalyticsError as error:
                await self._end(error)
            else:
                await self._end(result)
            finally:
                draining.cancel()
                lease.give_back()
        if is_handed_back:  # nothing here works on it any more
            await hand_back(job.request, self._token, self._store, self._settings)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._stop.set()

    async def _watch_drain(self) -> None:
        """Ends the run where the worker stops and has waited for it long enough."""
        while (left_s := self._drain.left_s) is None:
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        _log.info("the worker stops; its job may go on", extra={"seconds": round(left_s, 1)})
        while self._drain.left_s != 0:
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        self._stop.set()

    async def _result(
        self, job: QueueJob, lease: EpisodeLease, heartbeat: JobHeartbeat
    ) -> RunResult:
        left_s = job.request.timeout_s  # to wait for the episode; the run has as much again
        while True:
            left_s = await self._wait_for_episode(job, lease, left_s)
            heartbeat.lease_taken = True
            try:
                return self._completed(job) or await self._run(job, heartbeat)
            except _Reported as error:
                if not error.is_busy:
                    raise  # else another run was faster: wait for it like for any other

    async def _wait_for_episode(self, job: QueueJob, lease: EpisodeLease, seconds: float) -> float:
        """Until no run holds the episode: another one, or this job's own from before.

        Returns:
            What is left of the seconds.
        """
        spec = job.request.spec
        deadline = time.monotonic() + seconds
        while is_held(self._layout, spec.ep_id) or not lease.take():
            self._refuse_to_go_on()
            if self._drain.has_begun:
                raise _WorkerStops
            if time.monotonic() > deadline:
                raise RunTimedOut(
                    f"The episode was held by another run for {job.request.timeout_s:g} s; a job "
                    "waits no longer than its run may take.",
                    hint="See GET /celery_jobs for what runs; raise timeout_s, or send it later.",
                )
            await asyncio.sleep(_POLL_SECONDS)
        return deadline - time.monotonic()

    def _completed(self, job: QueueJob) -> RunResult | None:
        """The result of this job's run, where an earlier delivery completed it."""
        spec = job.request.spec
        try:
            return read_manifest(self._layout, spec.ep_id, spec.run_id).result
        except (RunNotFound, StorageUnavailable):  # without a storage it is run again
            return None

    async def _run(self, job: QueueJob, heartbeat: JobHeartbeat) -> RunResult:
        """Runs it; again where the process was killed from outside, as by the system."""
        for _ in range(RUNS - 1):
            try:
                return await self._run_once(job, heartbeat)
            except _Reported as error:
                if int(error.problem.get("run_exit_code", 0)) >= 0:
                    raise
        return await self._run_once(job, heartbeat)

    async def _run_once(self, job: QueueJob, heartbeat: JobHeartbeat) -> RunResult:
        limit, source = host_thread_limit()
        resolution = cap_threads(job.request.spec.resolution, limit, source)
        weights = self._settings.given_weights
        on_disk = detectors_on_disk(weights, self._layout.cache)
        resolution = with_detectors(resolution, on_disk, weights.owner)
        if self._fingerprint != source_fingerprint():
            stale = "The worker runs older code than the one on disk. Restart it."
            resolution = with_warning(resolution, stale)
        if self._fingerprint != job.request.spec.launcher_fingerprint:
            other = "The worker runs another version of the code than the server."
            resolution = with_warning(resolution, other)
        spec = job.request.spec.model_copy(
            update={
                "data_root": str(self._layout.root),
                "detector_model": self._settings.detector_model,
                "retinaface_model": self._settings.retinaface_model,
                "recognition_model": self._settings.recognition_model,
                "resolution": resolution,
                "launcher_fingerprint": self._fingerprint,
                "replace_unfinished": True,
                "storage": storage_plan(self._settings),
            }
        )
        run = await start_run(spec, job.request.timeout_s)
        stopping = asyncio.create_task(self._end_when_told(run))
        try:
            async for event in run.events():
                if isinstance(event, ProgressEvent):
                    heartbeat.progress = event
        finally:
            stopping.cancel()
            await run.end("The worker stopped.")
        if isinstance(run.last, ResultEvent):
            return RunResult.model_validate(run.last.model_dump())
        self._refuse_to_go_on()
        raise _Reported(run.last)

    def _refuse_to_go_on(self) -> None:
        if self._is_cancelled:
            raise cancelled()
        if self._stop.is_set():
            raise _WorkerStops

    async def _end_when_told(self, run: SupervisedProcess[Event]) -> None:
        await self._stop.wait()
        await run.end("The job was cancelled." if self._is_cancelled else "The worker was stopped.")

    async def _end(self, outcome: RunResult | ScreenalyticsError) -> None:
        """Says how it ended. Waits for a Redis that is away: the results are on disk already."""
        deadline = time.monotonic() + SAY_SECONDS
        while True:
            try:
                self._say(outcome)
                return
            except QueueUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)

    def _say(self, outcome: RunResult | ScreenalyticsError) -> None:
        if isinstance(outcome, RunResult):
            self._store.succeed(self._job_id, outcome)
        elif isinstance(outcome, RunCancelled):
            self._store.cancel_now(self._job_id, outcome.to_dict())
        else:
            self._store.fail(self._job_id, outcome.to_dict())


class _WorkerStops(Exception):
    """The job is to be done by another worker."""


class _Reported(ScreenalyticsError):
    """A failure that the run's process has described itself."""

    slug = "reported"

    def __init__(self, event: Event | None) -> None:
        if not isinstance(event, ErrorEvent):
            raise RuntimeError("a run ends with a result or an error")
        super().__init__(event.detail, hint=event.hint)
        self.problem = event.problem

    def to_dict(self) -> dict[str, Any]:
        return self.problem

    @property
    def is_busy(self) -> bool:
        return isinstance(from_dict(self.problem), EpisodeBusy)


def _given_up(attempts: int) -> RunFailed:
    return RunFailed(
        f"The job's worker died {attempts - 1} times in it; it is not tried again.",
        hint="Look at the run's log and the worker's; it may lack memory.",
    )
