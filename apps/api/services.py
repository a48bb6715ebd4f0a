"""What the routes share: made when the application starts, closed when it stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from apps import __version__
from apps.api.leases import EpisodeLeases, RedisThreads
from apps.api.metrics import LocalMetrics, QueueCollector
from apps.api.run_registry import RunRegistry
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.common.version import SourceWatch, git_sha, source_fingerprint
from apps.jobs.queue import Publisher
from apps.jobs.reconcile import reconcile, turn_seconds
from apps.jobs.store import JobStore
from apps.results.differences import Differences
from apps.results.pictures import EpisodePictures
from apps.results.review import Reviews
from apps.runs.prepare import Host
from apps.runs.probe import DetectorProbe, VideoProbe
from apps.runs.record import now

_STILLS_AT_ONCE = 2  # decoders


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


@dataclass(frozen=True)
class Services:
    settings: Settings
    code: LoadedCode
    layout: Layout
    host: Host
    videos: VideoProbe
    pictures: EpisodePictures
    reviews: Reviews
    differences: Differences
    stills: asyncio.Semaphore
    detector: DetectorProbe
    source: SourceWatch
    jobs: JobStore
    publisher: Publisher
    metrics: CollectorRegistry
    ask_redis: RedisThreads
    runs: RunRegistry

    @staticmethod
    def create(settings: Settings) -> Services:
        jobs, ask_redis = JobStore(settings.redis_url, settings.lease_s), RedisThreads()
        layout = Layout(settings.data_root.resolve())
        metrics = CollectorRegistry()
        metrics.register(QueueCollector(jobs))
        return Services(
            settings=settings,
            code=LoadedCode.current(),
            layout=layout,
            host=Host(settings),
            videos=VideoProbe(),
            pictures=EpisodePictures(layout),
            reviews=Reviews(layout),
            differences=Differences(layout),
            stills=asyncio.Semaphore(_STILLS_AT_ONCE),
            detector=DetectorProbe(layout.cache),
            source=SourceWatch(),
            jobs=jobs,
            publisher=Publisher(settings),
            metrics=metrics,
            ask_redis=ask_redis,
            runs=RunRegistry(settings, EpisodeLeases(jobs, ask_redis), LocalMetrics(metrics)),
        )

    async def reconcile_forever(self) -> None:
        """Sends jobs again that nobody works on (`apps.jobs.reconcile`), until it is cancelled."""
        while True:
            await asyncio.sleep(turn_seconds(self.jobs))
            await self.ask_redis(reconcile, self.jobs, self.publisher)

    def begin_stop(self) -> None:
        """Ends what requests wait for, so that the server need not. Safe to call twice."""
        self.runs.begin_stop()
        self.pictures.stop()

    async def close(self) -> None:
        self.begin_stop()
        await self.runs.stop()
