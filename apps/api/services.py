"""What the routes share: made when the application starts, closed when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from apps.api.metrics import LocalMetrics, QueueCollector, outcome
from apps.common.contracts import RunSpec
from apps.common.errors import EpisodeBusy
from apps.common.layout import Layout
from apps.common.logs import bind
from apps.common.settings import Settings
from apps.common.version import SourceWatch, git_sha, product_version, source_fingerprint
from apps.jobs.lease import EpisodeLease
from apps.jobs.queue import Publisher
from apps.jobs.store import JobStore
from apps.runs.launch import RunProcess
from apps.runs.live import LiveRun
from apps.runs.prepare import Host
from apps.runs.probe import DetectorProbe, VideoProbe
from apps.runs.record import now

_log = logging.getLogger("screenalytics.api")


@dataclass(frozen=True)
class LoadedCode:
    """The code that this process runs, as it was on disk when it started."""

    version: str
    git_sha: str
    fingerprint: str
    started_at: str

    @staticmethod
    def current() -> LoadedCode:
        return LoadedCode(product_version(), git_sha(), source_fingerprint(), now())


@dataclass
class Services:
    settings: Settings
    code: LoadedCode
    layout: Layout
    host: Host
    videos: VideoProbe
    detector: DetectorProbe
    source: SourceWatch
    jobs: JobStore
    publisher: Publisher
    registry: CollectorRegistry
    metrics: LocalMetrics
    _slots: asyncio.Semaphore
    active: dict[str, LiveRun] = field(default_factory=dict)
    _claims: dict[str, RunSpec] = field(default_factory=dict)
    _stopping: asyncio.Task[None] | None = None

    @staticmethod
    def create(settings: Settings) -> Services:
        jobs = JobStore(settings.redis_url, settings.lease_s)
        layout = Layout(settings.data_root.resolve())
        registry = CollectorRegistry()
        registry.register(QueueCollector(jobs))
        return Services(
            settings=settings,
            code=LoadedCode.current(),
            layout=layout,
            host=Host(settings),
            videos=VideoProbe(),
            detector=DetectorProbe(layout.cache),
            source=SourceWatch(),
            jobs=jobs,
            publisher=Publisher(settings),
            registry=registry,
            metrics=LocalMetrics(registry),
            _slots=asyncio.Semaphore(settings.max_local_runs),
        )

    @asynccontextmanager
    async def running(self, spec: RunSpec, timeout_s: float) -> AsyncIterator[LiveRun]:
        """Starts a run and holds it for the time of the block; at its end the run is gone.

        Raises:
            EpisodeBusy: another request to this server runs the episode. (Runs of others are
                found by the run's process itself, which takes the lock.)
        """
        rival = next((r for r in self._claims.values() if r.ep_id == spec.ep_id), None)
        if rival is not None:
            raise EpisodeBusy(
                f"Episode {spec.ep_id!r} is running locally (direct) as run {rival.run_id}.",
                hint="Wait until that run ends, or stop it, then try again.",
                execution_mode=rival.execution_mode,
                run_id=rival.run_id,
            )
        self._claims[spec.run_id] = spec
        bind(run_id=spec.run_id, ep_id=spec.ep_id)
        try:
            async with self._slots, self._lease(spec):
                run = LiveRun(await RunProcess.start(spec), timeout_s)
                self.active[spec.run_id] = run
                _log.info("run started", extra={"pid": run.pid, "mode": spec.execution_mode})
                try:
                    yield run
                finally:
                    self.metrics.ended(spec.execution_mode, run.last)
                    await run.end()
                    _log.info("run ended", extra={"outcome": outcome(run.last)})
        finally:
            self.active.pop(spec.run_id, None)
            self._claims.pop(spec.run_id, None)

    @asynccontextmanager
    async def _lease(self, spec: RunSpec) -> AsyncIterator[None]:
        """Holds the episode against other hosts, where there is a Redis to hold it in."""
        lease = EpisodeLease(self.jobs, spec.ep_id, spec.run_id)
        if not await asyncio.to_thread(lease.take):
            raise EpisodeBusy(
                f"Episode {spec.ep_id!r} is running on another host.",
                hint="Wait until that run ends, or stop it, then try again.",
            )
        renewal = asyncio.create_task(self._renew(lease))
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.shield(asyncio.to_thread(lease.give_back))

    async def _renew(self, lease: EpisodeLease) -> None:
        while True:
            await asyncio.sleep(self.jobs.lease_seconds / 4)
            await asyncio.to_thread(lease.renew)

    def begin_stop(self) -> None:
        """Kills the local runs, so that the server does not wait for them. Safe to call twice."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop_all())

    async def close(self) -> None:
        self.begin_stop()
        if self._stopping is not None:
            await self._stopping

    async def _stop_all(self) -> None:
        await asyncio.gather(*(run.stop_for_shutdown() for run in list(self.active.values())))
