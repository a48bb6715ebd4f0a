"""A run that somebody waits for: its events with a heartbeat and a time limit, and its end.

The making of a preview is watched in the same way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar

from apps.common.contracts.events import (
    ErrorEvent,
    LogEvent,
    PreviewResultEvent,
    ProgressEvent,
    ResultEvent,
    StartedEvent,
)
from apps.common.errors import (
    RunCancelled,
    RunTimedOut,
    ScreenalyticsError,
    ServiceStopping,
)

STOPPED_ELSEWHERE = "The run was stopped from elsewhere."
HEARTBEAT_SECONDS = 0.9  # a listener is promised a sign of life every second


SupervisedEvent = (
    ProgressEvent | LogEvent | StartedEvent | ResultEvent | PreviewResultEvent | ErrorEvent
)
E_co = TypeVar("E_co", bound=SupervisedEvent, covariant=True)
E = TypeVar("E", bound=SupervisedEvent)


class Watched(Protocol[E_co]):
    """`RunProcess` or `PreviewProcess`."""

    @property
    def pid(self) -> int: ...

    def events(self) -> AsyncIterator[E_co]: ...

    async def kill(self, why: RunCancelled | RunTimedOut, /) -> None: ...


class SupervisedRun(Generic[E]):
    """One run between its start and its end.

    Args:
        process: just started.
        timeout_s: longest run, seconds.
        what: it is, as a word.
    """

    def __init__(self, process: Watched[E], timeout_s: float, what: str = "run") -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._what = what
        self._deadline = time.monotonic() + timeout_s
        self._told: ScreenalyticsError | None = None  # instead of the run's own last word
        self.last: E | ErrorEvent | None = None  # how it ended, once it has

    @property
    def pid(self) -> int:
        return self._process.pid

    async def events(self) -> AsyncIterator[E | ErrorEvent | None]:
        """The run's events, and None where there was none for a heartbeat. Ends with the run."""
        source = self._process.events()
        coming: asyncio.Task[E] | None = None
        try:
            while True:
                if coming is None:
                    coming = asyncio.create_task(anext(source))  # type: ignore[arg-type]
                left = self._deadline - time.monotonic()
                await asyncio.wait({coming}, timeout=max(0.0, min(left, HEARTBEAT_SECONDS)))
                if coming.done():
                    event = self._explained(coming.result())
                    coming = None
                    if event.type in ("result", "error"):
                        self.last = event
                        yield event
                        return
                    yield event
                elif time.monotonic() >= self._deadline:
                    self.last = await self._time_out()
                    yield self.last
                    return
                else:
                    yield None
        finally:
            if coming is not None:
                coming.cancel()

    async def end(self, reason: str = "The client went away.") -> None:
        """Kills whatever still runs, also when the caller itself is being cancelled."""
        await self._process.kill(RunCancelled(reason))

    async def stop(self, reason: str, told: ScreenalyticsError) -> None:
        """Ends the run while its client waits.

        Args:
            reason: of the manifest, a sentence.
            told: what the client gets as the run's end.
        """
        if self._told is None:
            self._told = told
        await self._process.kill(RunCancelled(reason))

    async def stop_for_shutdown(self) -> None:
        """The server goes."""
        await self.stop(
            "The server was stopped.",
            ServiceStopping(
                f"The server was stopped while the {self._what} was on; it was cancelled.",
                hint="Send the request again when the server is back.",
            ),
        )

    async def stop_from_elsewhere(self) -> None:
        """Somebody else than the waiting client wants it ended."""
        await self.stop(STOPPED_ELSEWHERE, stopped_elsewhere())

    async def _time_out(self) -> ErrorEvent:
        why = RunTimedOut(
            f"The {self._what} took longer than {self._timeout_s:g} s.",
            hint="Raise timeout_s, or take a larger stride or another profile.",
        )
        await self._process.kill(why)
        return ErrorEvent.of(why)

    def _explained(self, event: E) -> E | ErrorEvent:
        if self._told is not None and isinstance(event, ErrorEvent):
            return ErrorEvent.of(self._told)
        return event


def stopped_elsewhere() -> RunCancelled:
    return RunCancelled(STOPPED_ELSEWHERE, hint="Start it again to run it.")
