"""One look at all episodes about once a second, while somebody listens, however many they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import BaseModel

from apps.api.active_runs import Queue, WaitingJobs, direct_runs
from apps.api.episode_states import EpisodeStates as States
from apps.api.leases import RedisThreads
from apps.api.run_registry import RunRegistry
from apps.common.errors import QueueUnavailable, TooManyListeners
from apps.common.layout import Layout
from apps.common.live import EpisodeRemoved, EpisodeState, EpisodeStates, ServerState
from apps.common.schemas import Version
from apps.jobs.store import JobStore
from apps.runs.episodes import episode_exists

_log = logging.getLogger("screenalytics.api")
_LOOK_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_SHARE = 0.02  # of a core, at most, that is spent on looking
_QUEUE_SECONDS = 0.5  # that a look waits for Redis; a later answer serves the next look
_WORKERS_SECONDS = 3.0  # they say every few seconds that they live
_VERSION_SECONDS = 5.0  # the source on disk is read as a whole, which takes 10 ms
MAX_LISTENERS = 64


class LiveEvent(NamedTuple):
    """What a listener is told.

    Args:
        name: `states`, `state`, `removed` or `server`.
    """

    name: str
    body: BaseModel


class Listener:
    """What one client has not been told yet: of each episode only the newest state."""

    def __init__(self) -> None:
        self._pending: dict[str, LiveEvent] = {}
        self._arrived = asyncio.Event()

    def tell(self, changes: dict[str, LiveEvent]) -> None:
        """By what they are about, an episode or the server ("")."""
        self._pending.update(changes)
        self._arrived.set()

    def forget(self) -> None:
        self._pending.clear()
        self._arrived.clear()

    async def news(self) -> list[LiveEvent]:
        """Waits until there is something to tell."""
        await self._arrived.wait()
        told = list(self._pending.values())
        self.forget()
        return told


class StateWatch:
    """Tells listeners what has changed.

    Args:
        version: the server's code, and whether it is stale; may take a moment.
        registry: of the figures on how often it looked, and for how many.
    """

    def __init__(
        self,
        layout: Layout,
        runs: RunRegistry,
        jobs: JobStore,
        ask_redis: RedisThreads,
        version: Callable[[], Version],
        registry: CollectorRegistry,
    ) -> None:
        self._layout = layout
        self._runs = runs
        self._states = States(layout)
        self._queue = _QueueAnswers(jobs, ask_redis)
        self._version = _Seldom(version)
        self._listeners: set[Listener] = set()
        self._watching: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._pause = _LOOK_SECONDS
        self._known: dict[str, EpisodeState] = {}
        self._server: ServerState | None = None
        self._looks = Counter(
            "screenalytics_state_looks", "Looks at the state of all episodes", registry=registry
        )
        Gauge(
            "screenalytics_state_listeners", "Clients of GET /events", registry=registry
        ).set_function(lambda: len(self._listeners))

    async def now(self) -> EpisodeStates:
        """All episodes as they are; many who ask at once cost one look."""
        asked_at = time.monotonic()
        async with self._looking:
            if self._looked_at < asked_at:
                await self._look()
            return self._all()

    async def of(self, names: Sequence[str]) -> EpisodeStates:
        """Those of these episodes that exist; no file of another one is looked at."""
        async with self._looking:
            queue = await self._queue.newest()
            states = await asyncio.to_thread(self._look_at_some, queue, names)
            return EpisodeStates(server=await self._server_now(queue), items=list(states.values()))

    def refuse_full(self) -> None:
        """Raises TooManyListeners where there is no room for another one."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners(
                f"{MAX_LISTENERS} clients listen already.", hint="Close some, then try again."
            )

    async def events(self) -> AsyncGenerator[LiveEvent]:
        """All states first, then each change, until the listener leaves."""
        with self._listening() as listener:
            await self.now()
            listener.forget()
            yield LiveEvent("states", self._all())
            while True:
                for event in await listener.news():
                    yield event

    @contextmanager
    def _listening(self) -> Iterator[Listener]:
        self.refuse_full()
        listener = Listener()
        self._listeners.add(listener)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._watching is not None:
                self._watching.cancel()
                self._watching = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            async with self._looking:
                try:
                    await self._look()
                except Exception:
                    # Whatever lies in the data root, listeners hear of the next look.
                    _log.exception("the state of the episodes could not be looked at")

    async def _look(self) -> None:
        self._looked_at = time.monotonic()  # whoever asks from now on may see it otherwise
        queue = await self._queue.newest()
        states, seconds = await asyncio.to_thread(self._look_at_disk, queue)
        server = await self._server_now(queue)
        self._looks.inc()
        self._pause = min(_LONGEST_SECONDS, max(_LOOK_SECONDS, seconds / _SHARE))
        changes = _changes(self._known, states)
        if server != self._server:
            changes[""] = LiveEvent("server", server)
        self._known, self._server = states, server
        for listener in self._listeners if changes else ():
            listener.tell(changes)

    async def _server_now(self, queue: Queue) -> ServerState:
        version = await asyncio.to_thread(self._version)
        return ServerState(
            **version.model_dump(),
            queue_problem=queue.problem,
            workers=None if queue.problem else len(self._queue.workers),
            worker_names=[] if queue.problem else self._queue.workers,
        )

    def _look_at_disk(self, queue: Queue) -> tuple[dict[str, EpisodeState], float]:
        """The states, and how many seconds of CPU that took."""
        started = time.thread_time()
        active = queue.with_direct(direct_runs(self._layout, self._runs))
        return self._states.look(active.items), time.thread_time() - started

    def _look_at_some(self, queue: Queue, names: Sequence[str]) -> dict[str, EpisodeState]:
        active = queue.with_direct(direct_runs(self._layout, self._runs))
        there = [name for name in names if episode_exists(self._layout, name)]
        return self._states.of(active.items, there)

    def _all(self) -> EpisodeStates:
        if self._server is None:
            raise RuntimeError("nobody has looked yet")
        return EpisodeStates(server=self._server, items=list(self._known.values()))


class _QueueAnswers:
    """What Redis says of all unfinished jobs; one question at a time, however long it takes."""

    def __init__(self, jobs: JobStore, ask_redis: RedisThreads) -> None:
        self._jobs = jobs
        self._waiting = WaitingJobs(jobs)
        self._ask_redis = ask_redis
        self._asking: asyncio.Task[Queue] | None = None
        self._last = Queue()
        self._asked_workers_at = float("-inf")
        self.workers: list[str] = []  # names of those that listen

    async def newest(self) -> Queue:
        """The answer, or the one before where Redis takes long."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=_QUEUE_SECONDS)
        if done:
            self._last, self._asking = self._asking.result(), None
        return self._last

    async def _ask(self) -> Queue:
        try:
            queue = await self._ask_redis(self._waiting.look)
            if time.monotonic() - self._asked_workers_at >= _WORKERS_SECONDS:
                listening = await self._ask_redis(self._jobs.workers)
                self.workers = sorted(worker.name for worker in listening)
                self._asked_workers_at = time.monotonic()
            return queue
        except QueueUnavailable as error:
            return Queue(problem=error.detail)


class _Seldom:
    """Calls something, and gives the same answer again for a while."""

    def __init__(self, ask: Callable[[], Version]) -> None:
        self._ask = ask
        self._asked_at = float("-inf")
        self._answer: Version | None = None

    def __call__(self) -> Version:
        if self._answer is None or time.monotonic() - self._asked_at >= _VERSION_SECONDS:
            self._answer, self._asked_at = self._ask(), time.monotonic()
        return self._answer


def _changes(
    before: dict[str, EpisodeState], after: dict[str, EpisodeState]
) -> dict[str, LiveEvent]:
    """What is to be told, by episode."""
    changed = {
        ep_id: LiveEvent("state", state)
        for ep_id, state in after.items()
        if before.get(ep_id) != state
    }
    gone = {
        ep_id: LiveEvent("removed", EpisodeRemoved(ep_id=ep_id)) for ep_id in before.keys() - after
    }
    return {**changed, **gone}
