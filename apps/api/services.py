"""What the routes share: made when the application starts, closed when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.common.version import git_sha, product_version, source_fingerprint
from apps.runs.launch import RunProcess
from apps.runs.live import LiveRun
from apps.runs.prepare import Host
from apps.runs.record import now


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
    active: dict[str, LiveRun] = field(default_factory=dict)
    _stopping: asyncio.Task[None] | None = None

    @staticmethod
    def create(settings: Settings) -> Services:
        return Services(
            settings=settings,
            code=LoadedCode.current(),
            layout=Layout(settings.data_root.resolve()),
            host=Host(settings),
        )

    @asynccontextmanager
    async def running(self, process: RunProcess, timeout_s: float) -> AsyncIterator[LiveRun]:
        """Holds a run for the time of a request; at the end of the block it is gone."""
        run = LiveRun(process, timeout_s)
        self.active[run.spec.run_id] = run
        try:
            yield run
        finally:
            try:
                await run.end()
            finally:
                self.active.pop(run.spec.run_id, None)

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
