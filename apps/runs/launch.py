"""Starts, watches and kills the one process of a run. Local mode and workers use it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import TypeAdapter

from apps.common.contracts import ErrorEvent, Event, ResultEvent, RunSpec, RunStatus
from apps.common.errors import RunFailed
from apps.common.files import tail
from apps.common.layout import Layout
from apps.common.version import ROOT
from apps.runs.child import Child, how_it_ended
from apps.runs.store import close_unfinished, has_ended

_SCRIPT = ROOT / "tools" / "episode_run.py"
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class RunProcess:
    """One `tools/episode_run.py`. Use `start`.

    Whoever starts it must await `kill` in a `finally`: it does nothing to a process that ended.
    """

    def __init__(self, spec: RunSpec, child: Child) -> None:
        self.spec = spec
        self._child = child
        self._layout = Layout(Path(spec.data_root))
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, spec: RunSpec) -> RunProcess:
        arguments = [str(_SCRIPT), "--spec", "-", "--events", "ndjson"]
        return cls(spec, await Child.start(arguments, spec.model_dump_json()))

    @property
    def pid(self) -> int:
        return self._child.pid

    async def events(self) -> AsyncIterator[Event]:
        """Everything the run tells. The last one is a `ResultEvent` or an `ErrorEvent`, always."""
        async for event in self._child.events(_EVENT):
            yield event
            if isinstance(event, ResultEvent | ErrorEvent):
                return
        yield await self._died()

    async def kill(self, reason: str, status: RunStatus = "cancelled") -> None:
        """Ends the process group, first politely, and says why in the run's manifest.

        Safe to call again, also while it works: the first reason stays.

        Args:
            reason: a sentence.
            status: what the manifest will say, unless the run had ended by itself.
        """
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill(reason, status))
        await asyncio.shield(self._killing)

    async def _kill(self, reason: str, status: RunStatus) -> None:
        run = (self._layout, self.spec.ep_id, self.spec.run_id)
        knows_why = has_ended(*run, self.pid)
        if await self._child.kill():
            files = self._layout.run(self.spec.ep_id, self.spec.run_id)
            shutil.rmtree(files.staging, ignore_errors=True)
            if not knows_why:
                close_unfinished(*run, status, reason)

    async def _died(self) -> ErrorEvent:
        """The process ended without a last word."""
        code = await self._child.ended()
        how = how_it_ended(code)
        close_unfinished(
            self._layout, self.spec.ep_id, self.spec.run_id, "failed", f"The process {how}."
        )
        log = self._layout.run(self.spec.ep_id, self.spec.run_id).log
        error = RunFailed(
            f"The run's process {how} before it finished.",
            hint="Look at the log lines; if the system killed it, it may lack memory.",
            run_exit_code=code,
            logs=[*tail(log), *self._child.stderr][-20:],
        )
        return ErrorEvent.of(error)
