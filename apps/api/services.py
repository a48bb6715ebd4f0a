"""What the routes share: made when the application starts, closed when it stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from apps import __version__
from apps.api.import_progress import FolderImports
from apps.api.leases import EpisodeLeases, RedisThreads
from apps.api.metrics import LocalMetrics, QueueCollector, WebhookCollector
from apps.api.resumable import Uploads
from apps.api.run_registry import RunRegistry
from apps.api.state_watch import StateWatch
from apps.api.webhooks import Webhooks
from apps.common.contracts.manifest import ExecutionMode
from apps.common.layout import Layout
from apps.common.schemas import EpisodeRequest, Version
from apps.common.settings import Settings
from apps.common.version import SourceWatch, git_sha, source_fingerprint
from apps.common.webhooks import WebhookSettings
from apps.jobs.queue import Publisher
from apps.jobs.reconcile import reconcile, turn_seconds
from apps.jobs.store import JobStore
from apps.objects.keeper import StorageKeeper
from apps.objects.open import layout_of
from apps.people.known import Known
from apps.results.differences import Differences
from apps.results.library import LibraryIndex
from apps.results.pictures import EpisodePictures
from apps.results.review import Reviews
from apps.runs.prepare import Host, prepare_run
from apps.runs.probe import DetectorProbe, VideoProbe
from apps.runs.record import now
from apps.runs.spec import RunSpec
from apps.runs.trash import tidy

_TIDY_SECONDS = 3600.0

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

    def version_now(self, source: SourceWatch) -> Version:
        """What is told of it, with whether the source on disk is another one by now."""
        return Version(
            version=self.version,
            git_sha=self.git_sha,
            started_at=self.started_at,
            source_fingerprint=self.fingerprint,
            stale=source.fingerprint() != self.fingerprint,
        )


@dataclass(frozen=True)
class Services:
    settings: Settings
    code: LoadedCode
    layout: Layout
    host: Host
    videos: VideoProbe
    uploads: Uploads
    pictures: EpisodePictures
    reviews: Reviews
    people: Known
    library: LibraryIndex
    differences: Differences
    stills: asyncio.Semaphore
    imports: FolderImports
    detector: DetectorProbe
    source: SourceWatch
    jobs: JobStore
    publisher: Publisher
    metrics: CollectorRegistry
    ask_redis: RedisThreads
    runs: RunRegistry
    webhooks: Webhooks
    states: StateWatch
    storage: StorageKeeper

    @staticmethod
    def create(settings: Settings, hooks: WebhookSettings) -> Services:
        jobs, ask_redis = JobStore(settings.redis_url, settings.lease_s), RedisThreads()
        layout, videos = layout_of(settings, settings.data_root.resolve()), VideoProbe()
        metrics = CollectorRegistry()
        metrics.register(QueueCollector(jobs))
        webhooks = Webhooks(hooks, layout, jobs)
        metrics.register(WebhookCollector(webhooks))
        code, source = LoadedCode.current(), SourceWatch()
        leases = EpisodeLeases(jobs, ask_redis)
        runs = RunRegistry(settings, leases, LocalMetrics(metrics), webhooks)
        return Services(
            settings=settings,
            code=code,
            layout=layout,
            host=Host(settings),
            videos=videos,
            uploads=Uploads(layout, videos, settings.upload_max_mb, settings.min_free_mb),
            pictures=EpisodePictures(layout),
            reviews=Reviews(layout),
            people=Known(),
            library=LibraryIndex(layout),
            differences=Differences(layout),
            stills=asyncio.Semaphore(_STILLS_AT_ONCE),
            imports=FolderImports(),
            detector=DetectorProbe(layout.cache),
            source=source,
            jobs=jobs,
            publisher=Publisher(settings),
            metrics=metrics,
            ask_redis=ask_redis,
            runs=runs,
            webhooks=webhooks,
            states=StateWatch(
                layout, runs, jobs, ask_redis, lambda: code.version_now(source), metrics
            ),
            storage=StorageKeeper(layout, settings.storage_refresh_s),
        )

    async def prepare(self, request: EpisodeRequest, mode: ExecutionMode) -> RunSpec:
        """Checks everything about a run that can be checked before a process starts.

        Raises:
            InvalidInput, AcceleratorMissing, EpisodeNotFound, EpisodeBusy, RunExists: as
                `apps.runs.prepare.prepare_run`.
        """
        return await prepare_run(
            request,
            mode,
            layout=self.layout,
            settings=self.settings,
            host=self.host,
            fingerprint=self.code.fingerprint,
            source=self.source,
        )

    def time_limit_s(self, asked_s: float | None) -> float:
        """How long a run may take: as long as was asked for, else the usual time."""
        return self.settings.local_timeout_s if asked_s is None else asked_s

    async def reconcile_forever(self) -> None:
        """Sends jobs again that nobody works on (`apps.jobs.reconcile`), until it is cancelled."""
        while True:
            await asyncio.sleep(turn_seconds(self.jobs))
            await self.ask_redis(reconcile, self.jobs, self.publisher)

    async def tidy_trash_forever(self) -> None:
        """Empties the trash of what has been in it for long enough, at once and every hour."""
        while True:
            await asyncio.to_thread(tidy, self.layout, self.settings.trash_hours)
            await asyncio.sleep(_TIDY_SECONDS)

    def begin_stop(self) -> None:
        """Ends what requests wait for, so that the server need not. Safe to call twice."""
        self.runs.begin_stop()
        self.pictures.stop()
        self.uploads.is_stopping = True
        self.library.stop()
        self.storage.end()

    async def close(self) -> None:
        self.begin_stop()
        await self.runs.stop()
        await asyncio.to_thread(self.webhooks.close)
