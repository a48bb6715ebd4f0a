"""A process that somebody waits for: its events, its time limit, and how it was ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, Protocol, TypeVar

from apps.common.contracts.events import ErrorEvent
from apps.common.errors import (
    RunCancelled,
    RunFailed,
    RunTimedOut,
    ScreenalyticsError,
    ServiceStopping,
    from_dict,
)
from apps.runs.child import Child, how_it_ended

STOPPED_ELSEWHERE = "The run was stopped from elsewhere."
HEARTBEAT_SECONDS = 0.9  # a listener is promised a sign of life every second


class Typed(Protocol):
    """An event; `result` and `error` are last ones."""

    @property
    def type(self) -> str: ...


E = TypeVar("E", bound=Typed)
E_co = TypeVar("E_co", bound=Typed, covariant=True)


class Work(Protocol[E_co]):
    """What a process is for, and so how it is read and what its end means.

    Attributes:
        what: it is, as a word.
        interrupted: message to its client when the server stops, a sentence.
    """

    what: str
    interrupted: str

    def read(self, line: bytes) -> E_co | None:
        """The event of a line; None for what is none, or what nobody else need know."""

    def died(self, code: int, stderr: Sequence[str]) -> RunFailed:
        """The error of a process that ended without a last word.

        Args:
            code: exit status, or the negative number of the signal that ended it.
            stderr: its last lines there.
        """

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:
        """Does what is left to do after a process that is gone. Blocks; may be called again.

        Args:
            ending: why it ended; only where it completed by itself is that not so.
            pid: number that the process had.
        """


class SupervisedProcess(Generic[E]):
    """One process between its start and its end.

    Whoever starts it must await `end` or `kill` in a `finally`: they do nothing to a process that
    ended.

    Args:
        child: just started.
        work: what it is for.
        timeout_s: longest time, seconds; None for no limit.

    Attributes:
        last: its last event, once that has come.
    """

    def __init__(self, child: Child, work: Work[E], timeout_s: float | None = None) -> None:
        self.last: E | ErrorEvent | None = None
        self._child = child
        self._work = work
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else _now() + timeout_s
        self._own: ScreenalyticsError | None = None  # the process's own last word
        self._client_error: ScreenalyticsError | None = None  # what its client gets instead
        self._killing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._child.pid

    async def events(self) -> AsyncGenerator[E | ErrorEvent, None]:
        """All that it tells. The last one is a result or an `ErrorEvent`, always."""
        lines = self._child.lines()
        while self.last is None:
            try:
                async with asyncio.timeout_at(self._deadline):
                    line = await anext(lines, None)
            except TimeoutError:
                event: E | ErrorEvent | None = await self._time_out()
            else:
                event = await self._died() if line is None else self._work.read(line)
                if isinstance(event, ErrorEvent):
                    event = self._explained(event, own=line is not None)
            if event is None:
                continue
            if event.type in ("result", "error"):
                self.last = event
            yield event

    async def kill(self, why: RunCancelled | RunTimedOut) -> None:
        """Ends the process group, first politely, and tidies up.

        The process is told why, and says so itself where it has results to say it in, unless it was
        ending already: its own reason stays. Safe to call again, also while it works: the first
        reason stays. It goes on when its caller is cancelled.
        """
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill(why))
        await asyncio.shield(self._killing)

    async def end(self, reason: str = "The client went away.") -> None:
        """Kills whatever still runs."""
        await self.kill(RunCancelled(reason))

    async def stop(self, reason: str, client_error: ScreenalyticsError) -> None:
        """Ends the process while its client waits.

        Args:
            reason: what the manifest gives as the reason, a sentence.
            client_error: what the client gets as the end.
        """
        if self._client_error is None:
            self._client_error = client_error
        await self.end(reason)

    async def stop_for_shutdown(self) -> None:
        """The server goes."""
        hint = "Send the request again when the server is back."
        client_error = ServiceStopping(self._work.interrupted, hint=hint)
        await self.stop("The server was stopped.", client_error)

    async def stop_from_elsewhere(self) -> None:
        """Somebody else than the waiting client wants it ended."""
        await self.stop(STOPPED_ELSEWHERE, stopped_elsewhere())

    async def _kill(self, why: RunCancelled | RunTimedOut) -> None:
        ending = self._own
        killed = await self._child.kill(json.dumps(why.to_dict()))
        if ending is None:
            ending = why if killed else _unfinished(await self._child.ended())
        await asyncio.to_thread(self._work.tidy, ending, self.pid)

    async def _time_out(self) -> ErrorEvent:
        why = RunTimedOut(
            f"The {self._work.what} took longer than {self._timeout_s:g} s.",
            hint="Raise timeout_s, or take a larger stride or another profile.",
        )
        await self.kill(why)
        return ErrorEvent.of(why)

    async def _died(self) -> ErrorEvent:
        """The process ended without a last word."""
        code = await self._child.ended()
        if self._killing is None:
            await asyncio.to_thread(self._work.tidy, _unfinished(code), self.pid)
        return ErrorEvent.of(self._work.died(code, self._child.stderr))

    def _explained(self, event: ErrorEvent, *, own: bool) -> ErrorEvent:
        if own:
            self._own = from_dict(event.problem)
        return event if self._client_error is None else ErrorEvent.of(self._client_error)


def stopped_elsewhere() -> RunCancelled:
    return RunCancelled(STOPPED_ELSEWHERE, hint="Start it again to run it.")


def _unfinished(code: int) -> RunFailed:
    """What the manifest says of a process that ended without saying so itself."""
    return RunFailed(f"The process {how_it_ended(code)}.")


def _now() -> float:
    return asyncio.get_running_loop().time()
