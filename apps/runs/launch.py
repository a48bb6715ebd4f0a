"""Starts, watches and kills the one process of a run. Local mode and workers use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import TypeAdapter

from apps.common.contracts.events import ErrorEvent, Event, ResultEvent
from apps.common.errors import (
    RunCancelled,
    RunFailed,
    RunTimedOut,
    ScreenalyticsError,
    from_dict,
)
from apps.common.files import tail
from apps.common.layout import Layout
from apps.runs.child import Child, how_it_ended
from apps.runs.record import status_of
from apps.runs.spec import RunSpec
from apps.runs.staging import remove_staging
from apps.runs.store import close_unfinished

RUN_MODULE = "apps.cli.episode_run"
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class RunProcess:
    """One `apps.cli.episode_run`. Use `start`.

    Whoever starts it must await `kill` in a `finally`: it does nothing to a process that ended.
    """

    def __init__(self, spec: RunSpec, child: Child) -> None:
        self.spec = spec
        self._child = child
        self._layout = Layout(Path(spec.data_root))
        self._told: ScreenalyticsError | None = None  # by the process: how it ended
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, spec: RunSpec) -> RunProcess:
        arguments = ["--spec", "-", "--events", "ndjson"]
        return cls(spec, await Child.start(RUN_MODULE, arguments, spec.model_dump_json()))

    @property
    def pid(self) -> int:
        return self._child.pid

    async def events(self) -> AsyncIterator[Event]:
        """Everything the run tells. The last one is a `ResultEvent` or an `ErrorEvent`, always."""
        async for event in self._child.events(_EVENT):
            if isinstance(event, ErrorEvent):
                self._told = from_dict(event.problem)
            yield event
            if isinstance(event, ResultEvent | ErrorEvent):
                return
        yield await self._died()

    async def kill(self, why: RunCancelled | RunTimedOut) -> None:
        """Ends the process group, first politely, and leaves a manifest that says how it ended.

        The process is told why and writes that itself, unless it was ending already: its own
        reason stays. Only where it could not write is the manifest written here, once it is gone.
        Safe to call again, also while it works: the first reason stays.
        """
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill(why))
        await asyncio.shield(self._killing)

    async def _kill(self, why: RunCancelled | RunTimedOut) -> None:
        ending: ScreenalyticsError | None = self._told
        killed = await self._child.kill(json.dumps(why.to_dict()))
        if ending is None:
            ending = why if killed else _unfinished(await self._child.ended())
        await asyncio.to_thread(self._tidy, ending)

    def _tidy(self, ending: ScreenalyticsError) -> None:
        """After a process that is gone; what it staged first, since a full disk has space then."""
        ep_id, run_id = self.spec.ep_id, self.spec.run_id
        remove_staging(self._layout, ep_id, run_id)
        status = status_of(ending)
        close_unfinished(self._layout, ep_id, run_id, status, ending.detail, pid=self.pid)

    async def _died(self) -> ErrorEvent:
        """The process ended without a last word."""
        code = await self._child.ended()
        if self._killing is None:
            await asyncio.to_thread(self._tidy, _unfinished(code))
        log = self._layout.run(self.spec.ep_id, self.spec.run_id).log
        error = RunFailed(
            f"The run's process {how_it_ended(code)} before it finished.",
            hint="Look at the log lines; if the system killed it, it may lack memory.",
            run_exit_code=code,
            logs=[*tail(log), *self._child.stderr][-20:],
        )
        return ErrorEvent.of(error)


def _unfinished(code: int) -> RunFailed:
    """What the manifest says of a process that ended without saying so itself."""
    return RunFailed(f"The process {how_it_ended(code)}.")
