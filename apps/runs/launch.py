"""Starts, watches and kills the one process of a run. Local mode, workers and the old path use it.

The process gets its options as one line on standard input, which stays open: when this program
dies, even of SIGKILL, the input ends and the process ends its own group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from apps.common.contracts import ErrorEvent, Event, ResultEvent, RunSpec, RunStatus
from apps.common.errors import RunFailed
from apps.common.files import tail
from apps.common.layout import Layout
from apps.common.version import ROOT
from apps.runs.store import close_unfinished

_SCRIPT = ROOT / "tools" / "episode_run.py"
_GRACE_SECONDS = 1.2  # between SIGTERM and SIGKILL; the contract gives two seconds in all
_LINE_LIMIT = 1_000_000  # bytes of one event
_STDERR_LINES = 50
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class RunProcess:
    """One `tools/episode_run.py`, leader of its own process group. Use `start`.

    Whoever starts it must await `kill` in a `finally`: it does nothing to a process that ended.
    """

    def __init__(self, spec: RunSpec, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self._process = process
        self._layout = Layout(Path(spec.data_root))
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._killing: asyncio.Task[None] | None = None
        self._drain = asyncio.create_task(self._drain_stderr())

    @classmethod
    async def start(cls, spec: RunSpec) -> RunProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_SCRIPT),
            "--spec",
            "-",
            "--events",
            "ndjson",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        run = cls(spec, process)
        if process.stdin is not None:
            process.stdin.write(spec.model_dump_json().encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
        return run

    @property
    def pid(self) -> int:
        return self._process.pid

    async def events(self) -> AsyncIterator[Event]:
        """Everything the run tells. The last one is a `ResultEvent` or an `ErrorEvent`, always."""
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("the process was started without a pipe")
        async for line in stdout:
            try:
                event = _EVENT.validate_json(line)
            except ValidationError:
                continue  # a library printed something
            yield event
            if isinstance(event, ResultEvent | ErrorEvent):
                return
        yield await self._died()

    async def kill(self, reason: str, status: RunStatus = "cancelled") -> None:
        """Ends the process group, first politely, and says why in the run's manifest.

        Safe to call again, also while it works: the first reason stays.

        Args:
            reason: a sentence.
            status: what the manifest will say, unless the run had completed.
        """
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill(reason, status))
        await asyncio.shield(self._killing)

    async def _kill(self, reason: str, status: RunStatus) -> None:
        killed = self._process.returncode is None
        if killed:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped group would never see the first one
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self._process.wait()
            self._signal(signal.SIGKILL)  # also what outlived its leader
        await self._process.wait()
        await self._drain
        if killed:
            files = self._layout.run(self.spec.ep_id, self.spec.run_id)
            shutil.rmtree(files.staging, ignore_errors=True)
            close_unfinished(self._layout, self.spec.ep_id, self.spec.run_id, status, reason)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _died(self) -> ErrorEvent:
        """The process ended without a last word."""
        code = await self._process.wait()
        await self._drain
        how = (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        close_unfinished(
            self._layout, self.spec.ep_id, self.spec.run_id, "failed", f"The process {how}."
        )
        log = self._layout.run(self.spec.ep_id, self.spec.run_id).log
        error = RunFailed(
            f"The run's process {how} before it finished.",
            hint="Look at the log lines; if the system killed it, it may lack memory.",
            run_exit_code=code,
            logs=[*tail(log), *self._stderr][-20:],
        )
        return ErrorEvent.of(error)

    async def _drain_stderr(self) -> None:
        """Always reads: a pipe that nobody empties stops the process that fills it."""
        stream = self._process.stderr
        if stream is None:
            return
        while line := await stream.readline():
            self._stderr.append(line.decode("utf-8", "replace").rstrip())
