"""A comparison of the execution modes: its process, and what earlier ones have found.

`apps.comparison.command` does the work. It is started like a run: leader of its own group, with a
pipe as its standard input whose end of file it takes for the end of this program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from apps.common.contracts.events import RunBeginsEvent
from apps.common.errors import RunFailed, ScreenalyticsError
from apps.common.files import entries_of
from apps.common.layout import REPORT_NAME, Layout
from apps.common.open_result import result_json
from apps.common.option_flags import as_arguments
from apps.common.schemas import (
    ComparisonEvent,
    ComparisonRequest,
    ComparisonResultEvent,
    ComparisonSummary,
)
from apps.common.settings import Settings
from apps.runs.child import Child, event_of
from apps.runs.supervise import SupervisedProcess

_MODULE = "apps.comparison.command"
_EVENT: TypeAdapter[ComparisonEvent | RunBeginsEvent] = TypeAdapter(
    Annotated[ComparisonEvent | RunBeginsEvent, Field(discriminator="type")]
)


async def start_comparison(
    work: ComparisonWork, request: ComparisonRequest, url: str, settings: Settings
) -> SupervisedProcess[ComparisonEvent]:
    """Starts the process of a comparison.

    Args:
        work: which episode, and what is known of its runs.
        url: base address of the server whose modes are compared.
        settings: those of that server; its data root, Redis and key are handed on.
    """
    child = await Child.start(
        _MODULE,
        _arguments(work.ep_id, request, url),
        environment=_environment(settings),
        shares_stderr=True,
    )
    return SupervisedProcess(child, work)


class ComparisonWork:
    """What a comparison is about.

    Attributes:
        ep_id: the episode.
        run_id: the run that was started last; None where none of its runs can be on.
    """

    what = "comparison"
    interrupted = "The server was stopped during the comparison."

    def __init__(self, ep_id: str) -> None:
        self.ep_id = ep_id
        self.run_id: str | None = None

    def read(self, line: bytes) -> ComparisonEvent | None:
        event = event_of(_EVENT, line)
        if isinstance(event, ComparisonResultEvent):
            self.run_id = None
        if isinstance(event, RunBeginsEvent):
            self.run_id = event.run_id
            return None
        return event

    def died(self, code: int, stderr: Sequence[str]) -> RunFailed:  # noqa: ARG002
        return RunFailed(
            f"The comparison's process ended with code {code} before its result.",
            hint="Look at the server's log, then compare again.",
        )

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:
        """Nothing: a comparison writes its files at its end."""


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
    body = result_json(layout, folder / REPORT_NAME)
    if body is None:
        return None
    try:
        summary = ComparisonSummary.model_validate({**body, "comparison_id": folder.name})
        summary.model_dump_json()  # JSON can hold text that cannot be sent
    except (ValidationError, ValueError):
        return None
    return summary
