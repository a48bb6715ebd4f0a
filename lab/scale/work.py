"""A run that takes its time and does nothing, in the place of the process that a worker starts."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from apps.common.contracts.manifest import (
    CpuFigures,
    Holder,
    Progress,
    RunManifest,
    RunResult,
)
from apps.common.files import write_json
from apps.common.names import new_run_id
from apps.common.settings import Settings
from apps.jobs.store import JobStore, QueueJob
from apps.runs.lock import episode_lock
from apps.runs.record import now
from apps.runs.spec import RunSpec
from apps.worker.drain import Drain
from apps.worker.execution import JobExecution
from apps.worker.heartbeat import JobHeartbeat
from apps.worker.here import WorkerHere
from apps.worker.job_run import JobRun
from lab.scale.ledger import Ledger
from lab.scale.mortal import Mortal, MortalStore
from lab.specs import spec_of

_STEP_SECONDS = 2.0  # between two words of its progress


class Specs:
    """Makes specs of runs under the same options."""

    def __init__(self, data_root: Path) -> None:
        self._first = spec_of(data_root, "any", "any", mode="redis")

    def of(self, ep_id: str) -> RunSpec:
        return self._first.model_copy(update={"ep_id": ep_id, "run_id": new_run_id()})


class SimulatedExecution(JobExecution):
    """All of a delivery but the run's process.

    Args:
        seconds: how long the run of each episode takes.
    """

    def __init__(
        self,
        job_id: str,
        store: MortalStore,
        settings: Settings,
        delivery_tag: str,
        worker: str,
        *,
        mortal: Mortal,
        ledger: Ledger,
        seconds: Mapping[str, float],
    ) -> None:
        here = WorkerHere(worker, settings, fingerprint="")
        super().__init__(job_id, store, here, delivery_tag=delivery_tag, drain=Drain())
        self._mortal = mortal
        self._ledger = ledger
        self._seconds = seconds

    async def _watch_drain(self) -> None:
        """No worker is told to stop here, so none looks for it five times a second."""

    def _job_run(self, job: QueueJob, heartbeat: JobHeartbeat) -> JobRun:
        return _SimulatedRun(
            self._here,
            self._store,
            job,
            heartbeat,
            self._refuse_to_go_on,
            mortal=self._mortal,
            ledger=self._ledger,
            seconds=self._seconds[job.request.spec.ep_id],
        )


class _SimulatedRun(JobRun):
    def __init__(
        self,
        here: WorkerHere,
        store: JobStore,
        job: QueueJob,
        heartbeat: JobHeartbeat,
        go_on: Callable[[], None],
        *,
        mortal: Mortal,
        ledger: Ledger,
        seconds: float,
    ) -> None:
        super().__init__(here, store, job, "", heartbeat, asyncio.Event(), go_on)
        self._files = here.layout
        self._mortal = mortal
        self._ledger = ledger
        self._seconds = seconds

    async def result(self) -> RunResult:
        """Holds the episode's lock as a run does, tells its progress, and leaves its manifest."""
        spec = self._job.request.spec
        holder = Holder(
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            execution_mode="redis",
            pid=os.getpid(),
            host=socket.gethostname(),
            since=now(),
        )
        with (
            episode_lock(self._files, holder),
            self._ledger.work(self._job.request.job_id, spec.ep_id),
        ):
            return await self._work(spec)

    async def _work(self, spec: RunSpec) -> RunResult:
        started, seconds = time.monotonic(), self._seconds
        while (elapsed := time.monotonic() - started) < seconds:
            self._mortal.check()
            self._go_on()
            self._heartbeat.progress = _progress(spec, elapsed, seconds)
            await asyncio.sleep(min(_STEP_SECONDS, seconds - elapsed))
        self._mortal.check()
        result = _result(spec, seconds)
        files = self._files.run(spec.ep_id, spec.run_id)
        files.folder.mkdir(parents=True, exist_ok=True)
        write_json(files.manifest, _manifest(spec, result).model_dump(mode="json"))
        return result


def _progress(spec: RunSpec, elapsed: float, seconds: float) -> Progress:
    return Progress(
        phase="running",
        frames_done=round(1000 * elapsed / seconds),
        frames_total=1000,
        video_frames_total=6000,
        elapsed_sec=elapsed,
        analyzed_fps=1000 / seconds,
        eta_sec=seconds - elapsed,
        run_id=spec.run_id,
        updated_at=now(),
    )


def _result(spec: RunSpec, seconds: float) -> RunResult:
    options = spec.resolution.options
    return RunResult(
        ep_id=spec.ep_id,
        execution_mode="redis",
        run_id=spec.run_id,
        elapsed_seconds=seconds,
        device="cpu",
        provider="CPUExecutionProvider",
        profile=options.profile,
        options=options,
        cpu_threads=2,
        frames_total=6000,
        frames_done=1000,
        detections=0,
        tracks=0,
        analyzed_fps=1000 / seconds,
        cpu=CpuFigures(peak_percent=0, mean_percent=0, seconds=0),
        peak_rss_mb=0,
        artifacts={},
    )


def _manifest(spec: RunSpec, result: RunResult) -> RunManifest:
    return RunManifest(
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        execution_mode="redis",
        status="completed",
        started_at=now(),
        host=socket.gethostname(),
        pid=os.getpid(),
        options=spec.resolution.options,
        sources={},
        versions={},
        result=result,
    )
