"""What the routes share: made when the application starts, closed when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from prometheus_client import CollectorRegistry

from apps import __version__
from apps.api.metrics import LocalMetrics, QueueCollector, outcome
from apps.common.contracts.events import Event, PreviewEvent
from apps.common.errors import EpisodeBusy, ServiceStopping
from apps.common.layout import Layout
from apps.common.logs import bind
from apps.common.settings import Settings
from apps.common.version import SourceWatch, git_sha, source_fingerprint
from apps.comparison.process import ComparisonProcess
from apps.jobs.lease import EpisodeLease
from apps.jobs.queue import Publisher
from apps.jobs.reconcile import reconcile, turn_seconds
from apps.jobs.store import JobStore
from apps.results.pictures import EpisodePictures
from apps.runs.launch import RunProcess
from apps.runs.prepare import Host
from apps.runs.preview import PreviewProcess, preview_busy
from apps.runs.probe import DetectorProbe, VideoProbe
from apps.runs.record import now
from apps.runs.spec import PreviewSpec, RunSpec
from apps.runs.supervise import SupervisedRun, stopped_elsewhere

_log = logging.getLogger("screenalytics.api")
_REDIS_THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class LoadedCode:
    """The code that this process runs, as it was on disk when it started."""

    version: str
    git_sha: str
    fingerprint: str
    started_at: str

    @staticmethod
    def current() -> LoadedCode:
        return LoadedCode(__version__, git_sha(), source_fingerprint(), now())


@dataclass
class Claim:
    """An episode that a request of this server runs, or will when its turn comes."""

    spec: RunSpec
    run: SupervisedRun[Event] | None = None
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Services:
    settings: Settings
    code: LoadedCode
    layout: Layout
    host: Host
    videos: VideoProbe
    pictures: EpisodePictures
    detector: DetectorProbe
    source: SourceWatch
    jobs: JobStore
    publisher: Publisher
    registry: CollectorRegistry
    metrics: LocalMetrics
    _slots: asyncio.Semaphore
    _redis_threads: CapacityLimiter
    claims: dict[str, Claim] = field(default_factory=dict)  # by episode
    # By episode and run; None while it waits for its turn.
    previews: dict[tuple[str, str], SupervisedRun[PreviewEvent] | None] = field(
        default_factory=dict
    )
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    comparison: ComparisonProcess | None = None  # the one that is under way
    _giving_back: set[asyncio.Task[None]] = field(default_factory=set)
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
            pictures=EpisodePictures(layout),
            detector=DetectorProbe(layout.cache),
            source=SourceWatch(),
            jobs=jobs,
            publisher=Publisher(settings),
            registry=registry,
            metrics=LocalMetrics(registry),
            _slots=asyncio.Semaphore(settings.max_local_runs),
            _redis_threads=CapacityLimiter(_REDIS_THREADS),
        )

    async def ask_redis(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what waits for Redis, in a thread of those that do nothing else.

        So whoever needs no Redis does not wait for one that hangs.
        """
        return await anyio.to_thread.run_sync(
            partial(ask, *args, **kwargs), limiter=self._redis_threads, abandon_on_cancel=True
        )

    async def reconcile_forever(self) -> None:
        """Sends jobs again that nobody works on (`apps.jobs.reconcile`), until it is cancelled."""
        while True:
            await asyncio.sleep(turn_seconds(self.jobs))
            await self.ask_redis(reconcile, self.jobs, self.publisher)

    @asynccontextmanager
    async def running(self, spec: RunSpec, timeout_s: float) -> AsyncIterator[SupervisedRun[Event]]:
        """Starts a run and holds it for the time of the block; at its end the run is gone.

        Raises:
            EpisodeBusy: another request to this server runs the episode. (Runs of others are
                found by the run's process itself, which takes the lock.)
        """
        self.refuse_claimed(spec.ep_id)
        claim = self.claims[spec.ep_id] = Claim(spec)
        bind(run_id=spec.run_id, ep_id=spec.ep_id)
        try:
            async with self._turn(claim), self._lease(spec):
                claim.run = run = SupervisedRun(await RunProcess.start(spec), timeout_s)
                _log.info("run started", extra={"pid": run.pid, "mode": spec.execution_mode})
                try:
                    if claim.stop_asked.is_set():
                        raise stopped_elsewhere()
                    yield run
                finally:
                    self.metrics.ended(spec.execution_mode, run.last)
                    await run.end()
                    _log.info("run ended", extra={"outcome": outcome(run.last)})
        finally:
            self._release(claim)

    @asynccontextmanager
    async def previewing(self, spec: PreviewSpec) -> AsyncIterator[SupervisedRun[PreviewEvent]]:
        """Makes a preview in the same manner; it waits for a slot of local runs.

        Raises:
            PreviewBusy: another request to this server makes it. (Others are found by its process
                itself, which takes the lock.)
            ServiceStopping: while it waited.
        """
        key = (spec.ep_id, spec.run_id)
        if key in self.previews:
            raise preview_busy(spec.run_id)
        self.previews[key] = None
        try:
            async with self._slots:
                self._refuse_when_stopping()
                process = await PreviewProcess.start(spec)
                run = self.previews[key] = SupervisedRun(
                    process, self.settings.local_timeout_s, "preview"
                )
                try:
                    yield run
                finally:
                    await run.end()
        finally:
            del self.previews[key]

    def _refuse_when_stopping(self) -> None:
        if self._stopping is not None:
            raise ServiceStopping(
                "The server is being stopped.",
                hint="Send the request again when the server is back.",
            )

    def refuse_claimed(self, ep_id: str) -> None:
        """Raises:
        EpisodeBusy: another request to this server runs the episode, or will.
        """
        if ep_id in self.claims:
            rival = self.claims[ep_id].spec
            raise EpisodeBusy(
                f"Episode {ep_id!r} is running locally (direct) as run {rival.run_id}.",
                hint="Wait until that run ends, or stop it, then try again.",
                execution_mode=rival.execution_mode,
                run_id=rival.run_id,
            )

    async def stop_run(self, ep_id: str, run_id: str) -> RunSpec | None:
        """Ends a run that a request of this server waits for, and lets that one know.

        Returns:
            What was to be run; None where there is no such run. The episode is free then.
        """
        claim = self.claims.get(ep_id)
        if claim is None or claim.spec.run_id != run_id:
            return None
        claim.stop_asked.set()
        if claim.run is not None:
            await claim.run.stop_from_elsewhere()
        else:
            await claim.released.wait()
        self._release(claim)  # whether its client reads the last lines or not
        return claim.spec

    def _release(self, claim: Claim) -> None:
        if self.claims.get(claim.spec.ep_id) is claim:
            del self.claims[claim.spec.ep_id]
        claim.released.set()

    @asynccontextmanager
    async def _turn(self, claim: Claim) -> AsyncIterator[None]:
        """Holds one of the slots of local runs.

        Raises:
            RunCancelled: the run was stopped while it waited.
        """
        slot = asyncio.create_task(self._slots.acquire())
        stop = asyncio.create_task(claim.stop_asked.wait())
        try:
            await asyncio.wait({slot, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise stopped_elsewhere()
            self._refuse_when_stopping()
            yield
        finally:
            stop.cancel()
            if slot.done():
                self._slots.release()
            slot.cancel()

    @asynccontextmanager
    async def _lease(self, spec: RunSpec) -> AsyncIterator[None]:
        """Holds the episode against other hosts, where there is a Redis to hold it in."""
        lease = EpisodeLease(self.jobs, spec.ep_id, spec.run_id)
        if not await self.ask_redis(lease.take):
            raise EpisodeBusy(
                f"Episode {spec.ep_id!r} is running on another host.",
                hint="Wait until that run ends, or stop it, then try again.",
            )
        renewal = asyncio.create_task(self._renew(lease))
        try:
            yield
        finally:
            renewal.cancel()
            # Not waited for: the run is gone, and a Redis that hangs must not keep its episode.
            giving = asyncio.create_task(self.ask_redis(lease.give_back))
            self._giving_back.add(giving)
            giving.add_done_callback(self._giving_back.discard)

    async def _renew(self, lease: EpisodeLease) -> None:
        while True:
            await asyncio.sleep(self.jobs.lease_seconds / 4)
            await self.ask_redis(lease.renew)

    def begin_stop(self) -> None:
        """Kills the local runs, so that the server does not wait for them. Safe to call twice."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop_all())

    async def close(self) -> None:
        self.begin_stop()
        if self._stopping is not None:
            await self._stopping

    async def _stop_all(self) -> None:
        endings = [claim.run.stop_for_shutdown() for claim in self.claims.values() if claim.run]
        endings += [run.stop_for_shutdown() for run in self.previews.values() if run is not None]
        self.pictures.stop()
        if self.comparison is not None:
            endings.append(self.comparison.stop_for_shutdown())
        await asyncio.gather(*endings)
