"""A comparison of the execution modes: its process, and what earlier ones have found.

`apps.comparison.command` does the work. It is started like a run: leader of its own group, with a
pipe as its standard input whose end of file it takes for the end of this program.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apps.common.contracts.events import ErrorEvent, LogEvent
from apps.common.errors import RunFailed, ServiceStopping
from apps.common.files import entries_of, read_json
from apps.common.layout import Layout
from apps.common.option_flags import as_arguments
from apps.common.schemas import ComparisonRequest, ComparisonSummary
from apps.common.settings import Settings
from apps.runs.child import Child

ComparisonEvent = LogEvent | ErrorEvent | ComparisonSummary
_MODULE = "apps.comparison.command"
_MODELS: dict[str, type[LogEvent | ErrorEvent | ComparisonSummary]] = {
    "log": LogEvent,
    "error": ErrorEvent,
    "result": ComparisonSummary,
}


class ComparisonProcess:
    """One `apps.comparison.command`. Use `start`, and await `kill` in a `finally`.

    Attributes:
        ep_id: the episode.
        run_id: of the run that it started last; None where none of its runs can be on.
    """

    def __init__(self, ep_id: str, child: Child) -> None:
        self.ep_id = ep_id
        self.run_id: str | None = None
        self._child = child
        self._told: ServiceStopping | None = None
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, ep_id: str, request: ComparisonRequest, url: str, settings: Settings
    ) -> ComparisonProcess:
        """Args:
        url: of the server whose modes are compared.
        settings: of that server.
        """
        child = await Child.start(
            _MODULE,
            _arguments(ep_id, request, url),
            environment=_environment(settings),
            shares_stderr=True,
        )
        return cls(ep_id, child)

    async def events(self) -> AsyncIterator[ComparisonEvent]:
        """What it tells. The last one is a `ComparisonSummary` or an `ErrorEvent`, always."""
        async for line in self._child.lines():
            event = self._read(line)
            if event is not None:
                yield event
            if isinstance(event, ErrorEvent | ComparisonSummary):
                return
        yield ErrorEvent.of(self._told or await self._died())

    async def stop_for_shutdown(self) -> None:
        """The server goes: the waiting client is told so."""
        self._told = ServiceStopping(
            "The server was stopped during the comparison.",
            hint="Send the request again when the server is back.",
        )
        await self.kill()

    async def kill(self) -> None:
        """Ends the process and the command line's run, if it is on. Safe to call again."""
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        await asyncio.shield(self._killing)

    async def _kill(self) -> None:
        await self._child.kill()
        self._child.kill_group()  # a tool that was killed leaves the command line's run

    def _read(self, line: bytes) -> ComparisonEvent | None:
        """The event; None for what its client need not know."""
        try:
            body = json.loads(line)
            if body["type"] == "begins":
                self.run_id = str(body["run_id"])
            if body["type"] == "result":
                self.run_id = None
            model = _MODELS.get(body["type"])
            return None if model is None else model.model_validate(body)
        except (ValueError, KeyError, TypeError):  # a library printed something
            return None

    async def _died(self) -> RunFailed:
        code = await self._child.ended()
        return RunFailed(
            f"The comparison's process ended with code {code} before its result.",
            hint="Look at the server's log, then compare again.",
        )


def _arguments(ep_id: str, request: ComparisonRequest, url: str) -> list[str]:
    arguments = ["--ep-id", ep_id, "--url", url, "--modes", ",".join(request.modes)]
    arguments += ["--repeat", str(request.repeat)]
    arguments += ["--skip-missing", "--events", "ndjson", "--lifeline"]
    return arguments + as_arguments(request.options.model_dump(exclude_none=True))


def _environment(settings: Settings) -> dict[str, str]:
    """The server's own settings. Its key is not for the command line, which everybody can read."""
    given = {
        "SCREENALYTICS_DATA_ROOT": str(settings.data_root.resolve()),
        "SCREENALYTICS_REDIS_URL": settings.redis_url,
    }
    if settings.api_key is not None:
        given["SCREENALYTICS_API_KEY"] = settings.api_key.get_secret_value()
    return {**os.environ, **given}


def list_comparisons(layout: Layout, ep_id: str) -> list[ComparisonSummary]:
    """Finished comparisons of an episode, newest first. What cannot be read is passed over."""
    found = [_summary(layout, folder) for folder in entries_of(layout.comparisons)]
    return sorted(
        (summary for summary in found if summary is not None and summary.ep_id == ep_id),
        key=lambda summary: (summary.created_at, summary.comparison_id),
        reverse=True,
    )


def _summary(layout: Layout, folder: Path) -> ComparisonSummary | None:
    path = folder / "comparison.json"
    body: dict[str, Any] | None = read_json(path) if layout.contains(path) else None
    if body is None:
        return None
    try:
        summary = ComparisonSummary.model_validate({**body, "comparison_id": folder.name})
        summary.model_dump_json()  # JSON can hold text that cannot be sent
    except (ValidationError, ValueError):
        return None
    return summary
