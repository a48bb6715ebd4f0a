"""What requests of this server run, each as long as its client waits: who may, and who must end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from apps.api.leases import EpisodeLeases
from apps.api.metrics import LocalMetrics, outcome
from apps.api.webhooks import Webhooks
from apps.common.contracts.events import ClipEvent, Event, PlayableEvent, PreviewEvent
from apps.common.errors import ComparisonBusy, EpisodeBusy, ScreenalyticsError, ServiceStopping
from apps.common.logs import bind
from apps.common.schemas import ComparisonEvent
from apps.common.settings import Settings
from apps.runs.launch import start_clip, start_playable, start_preview, start_run
from apps.runs.playable import clip_busy, playable_busy
from apps.runs.preview import preview_busy
from apps.runs.spec import ClipSpec, PlayableSpec, PreviewSpec, RunSpec
from apps.runs.supervise import E, SupervisedProcess, stopped_elsewhere

_log = logging.getLogger("screenalytics.api")


@dataclass
class _Claim:
    """An episode that a request runs, or will when its turn comes."""

    spec: RunSpec
    run: SupervisedProcess[Event] | None = None
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class RunRegistry:
    """One run at a time of an episode, one preview of a run, one file to play; so many at once.

    Args:
        settings: how many runs, and how long each.
        leases: take an episode before its run, so that no other host runs it.
        metrics: count how runs ended.
        webhooks: tell of it; None where nobody is to be told.
    """

    def __init__(
        self,
        settings: Settings,
        leases: EpisodeLeases,
        metrics: LocalMetrics,
        webhooks: Webhooks | None = None,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._metrics = metrics
        self._webhooks = webhooks
        self._slots = asyncio.Semaphore(settings.max_local_runs)
        self._claims: dict[str, _Claim] = {}  # by episode
        self._made: set[tuple[str, ...]] = set()  # previews and files to play
        self._moved: set[str] = set()  # episodes that are being deleted or restored
        self._compared: str | None = None  # the episode of the comparison that is on
        self._comparing = asyncio.Lock()
        self._processes: set[SupervisedProcess[Any]] = set()
        self._stopping: asyncio.Future[Any] | None = None

    @asynccontextmanager
    async def running(
        self, spec: RunSpec, timeout_s: float
    ) -> AsyncIterator[SupervisedProcess[Event]]:
        """Starts a run and holds it for the time of the block; at its end the run is gone.

        Raises:
            EpisodeBusy: another request runs the episode. (Runs of others are found by the run's
                process itself, which takes the lock.)
            RunCancelled: it was stopped before it began.
            ServiceStopping: the server goes.
        """
        self.refuse_busy(spec.ep_id)
        claim = self._claims[spec.ep_id] = _Claim(spec)
        bind(run_id=spec.run_id, ep_id=spec.ep_id)
        try:
            async with (
                self._turn(claim),
                self._leases.held(spec),
                self._supervised(lambda: start_run(spec, timeout_s)) as run,
            ):
                claim.run = run
                _log.info("run started", extra={"pid": run.pid, "mode": spec.execution_mode})
                if self._webhooks is not None:
                    self._webhooks.begun(spec)
                try:
                    if claim.stop_asked.is_set():
                        raise stopped_elsewhere()
                    yield run
                finally:
                    self._metrics.ended(spec.execution_mode, run.last)
                    await run.end()
                    _log.info("run ended", extra={"outcome": outcome(run.last)})
                    if self._webhooks is not None:
                        self._webhooks.ended(spec, run.last)
        finally:
            self._release(claim)

    @asynccontextmanager
    async def previewing(self, spec: PreviewSpec) -> AsyncIterator[SupervisedProcess[PreviewEvent]]:
        """Makes a preview in the same manner; it waits for a slot of local runs.

        Raises:
            PreviewBusy: another request makes it. (Others are found by its process itself, which
                takes the lock.)
            ServiceStopping: the server goes.
        """
        timeout_s = self._settings.local_timeout_s
        key, busy = ("preview", spec.ep_id, spec.run_id), preview_busy(spec.run_id)
        async with self._making(key, busy, lambda: start_preview(spec, timeout_s)) as preview:
            yield preview

    @asynccontextmanager
    async def making_playable(
        self, spec: PlayableSpec
    ) -> AsyncIterator[SupervisedProcess[PlayableEvent]]:
        """Makes a file that browsers play in the same manner.

        Raises:
            PlayableBusy: another request makes it. (Others are found by its process itself.)
            ServiceStopping: the server goes.
        """
        timeout_s = self._settings.local_timeout_s
        key, busy = ("playable", spec.ep_id), playable_busy(spec.ep_id)
        async with self._making(key, busy, lambda: start_playable(spec, timeout_s)) as made:
            yield made

    @asynccontextmanager
    async def making_clip(self, spec: ClipSpec) -> AsyncIterator[SupervisedProcess[ClipEvent]]:
        """Makes a clip in the same manner.

        Raises:
            PlayableBusy: another request makes it.
            ServiceStopping: the server goes.
        """
        timeout_s = self._settings.local_timeout_s
        key, busy = ("clip", spec.ep_id, spec.name), clip_busy(spec.ep_id)
        async with self._making(key, busy, lambda: start_clip(spec, timeout_s)) as made:
            yield made

    @asynccontextmanager
    async def _making(
        self,
        key: tuple[str, ...],
        busy: ScreenalyticsError,
        start: Callable[[], Awaitable[SupervisedProcess[E]]],
    ) -> AsyncIterator[SupervisedProcess[E]]:
        """Makes something beside runs, once at a time, in a slot of local runs.

        Args:
            key: what.
            busy: raised where it is being made already.
        """
        if key in self._made:
            raise busy
        self._refuse_moved(key[1])
        self._made.add(key)
        try:
            async with self._slots, self._supervised(start) as process:
                yield process
        finally:
            self._made.discard(key)

    @asynccontextmanager
    async def comparing(
        self, ep_id: str, start: Callable[[], Awaitable[SupervisedProcess[ComparisonEvent]]]
    ) -> AsyncIterator[SupervisedProcess[ComparisonEvent]]:
        """Holds a comparison in the same manner. It needs no slot: its runs do.

        Raises:
            ComparisonBusy: another one is under way.
            ServiceStopping: the server goes.
        """
        if self._comparing.locked():
            raise ComparisonBusy(
                "Another comparison is under way; two at once would measure each other.",
                hint="Wait until it ends, or stop it, then compare again.",
            )
        async with self._comparing:
            self._refuse_moved(ep_id)
            self._compared = ep_id
            try:
                async with self._supervised(start) as comparison:
                    yield comparison
            finally:
                self._compared = None

    def refuse_busy(self, ep_id: str) -> None:
        """Refuses an episode that another request runs.

        Raises:
            EpisodeBusy: another request runs the episode, or will.
        """
        self._refuse_moved(ep_id)
        if ep_id in self._claims:
            rival = self._claims[ep_id].spec
            raise EpisodeBusy(
                f"Episode {ep_id!r} is running locally (direct) as run {rival.run_id}.",
                hint="Wait until that run ends, or stop it, then try again.",
                execution_mode=rival.execution_mode,
                run_id=rival.run_id,
            )

    @contextmanager
    def moving(self, ep_id: str) -> Iterator[None]:
        """Keeps this server's requests from an episode while it is deleted or restored.

        Raises:
            EpisodeBusy: one of them works on it, or will.
            ComparisonBusy: it is being compared.
        """
        self.refuse_busy(ep_id)
        if self._compared == ep_id:
            raise ComparisonBusy(
                f"Episode {ep_id!r} is being compared.",
                hint="Wait until the comparison ends, or stop it, then try again.",
            )
        if any(key[1] == ep_id for key in self._made):
            raise EpisodeBusy(
                f"A video of episode {ep_id!r} is being made.",
                hint="Wait until it is there, then try again.",
            )
        self._moved.add(ep_id)
        try:
            yield
        finally:
            self._moved.discard(ep_id)

    def _refuse_moved(self, ep_id: str) -> None:
        if ep_id in self._moved:
            raise EpisodeBusy(
                f"Episode {ep_id!r} is being made, deleted or restored.",
                hint="Try again in a second.",
            )

    def specs(self, *, started: bool) -> list[RunSpec]:
        """The runs that are on, or those that wait for their turn."""
        claims = list(self._claims.values())
        return [claim.spec for claim in claims if (claim.run is not None) == started]

    async def stop_run(self, ep_id: str, run_id: str) -> RunSpec | None:
        """Ends a run that a request waits for, and lets that one know.

        Returns:
            What was to be run; None where there is no such run. The episode is free then.
        """
        claim = self._claims.get(ep_id)
        if claim is None or claim.spec.run_id != run_id:
            return None
        claim.stop_asked.set()
        if claim.run is not None:
            await claim.run.stop_from_elsewhere()
        else:
            await claim.released.wait()
        self._release(claim)  # whether its client reads the last lines or not
        return claim.spec

    def begin_stop(self) -> None:
        """Kills all, so that the server does not wait for it. Safe to call twice."""
        if self._stopping is None:
            self._stopping = asyncio.gather(
                *(process.stop_for_shutdown() for process in self._processes)
            )

    async def stop(self) -> None:
        """Kills all, and waits until it is gone."""
        self.begin_stop()
        if self._stopping is not None:
            await self._stopping

    @asynccontextmanager
    async def _supervised(
        self, start: Callable[[], Awaitable[SupervisedProcess[E]]]
    ) -> AsyncIterator[SupervisedProcess[E]]:
        """Starts a process that lives no longer than the block, nor than the server."""
        self._refuse_when_stopping()
        process = await start()
        self._processes.add(process)
        try:
            self._refuse_when_stopping()  # it may have begun meanwhile
            yield process
        finally:
            await process.end()
            self._processes.discard(process)

    def _refuse_when_stopping(self) -> None:
        if self._stopping is not None:
            raise ServiceStopping(
                "The server is being stopped.",
                hint="Send the request again when the server is back.",
            )

    def _release(self, claim: _Claim) -> None:
        if self._claims.get(claim.spec.ep_id) is claim:
            del self._claims[claim.spec.ep_id]
        claim.released.set()

    @asynccontextmanager
    async def _turn(self, claim: _Claim) -> AsyncIterator[None]:
        """Holds one of the slots of local runs.

        Raises:
            RunCancelled: the run was stopped while it waited.
            ServiceStopping: the server goes.
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
