"""How a comparison tells what it does: to a person, or to the program that started it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from rich.console import Console

from apps.common.contracts.events import ErrorEvent, LogEvent, RunBeginsEvent
from apps.common.errors import ScreenalyticsError
from apps.common.files import shown
from apps.common.schemas import ComparisonEvent, ComparisonResultEvent
from apps.comparison import report
from apps.comparison.figures import Comparison
from apps.runs.record import now


class Voice(Protocol):
    def begins(self, text: str, run_id: str) -> None:
        """A run is about to be started."""

    def log(self, text: str) -> None: ...

    def result(self, comparison: Comparison, paths: list[Path]) -> None:
        """The end. `paths` are the files of the report, all in one folder."""

    def error(self, error: ScreenalyticsError) -> None: ...

    def stopped(self) -> None:
        """Ended from outside."""


class TerminalVoice:
    def __init__(self) -> None:
        # A file or a pipe has no width; 80 columns would cut the table's words.
        width = None if sys.stdout.isatty() else 160
        self._console = Console(highlight=False, markup=False, width=width)
        self._errors = Console(stderr=True, highlight=False, markup=False)

    def begins(self, text: str, run_id: str) -> None:
        """Nothing: the line of its end is enough."""

    def log(self, text: str) -> None:
        self._console.print(text)

    def result(self, comparison: Comparison, paths: list[Path]) -> None:
        self._console.print()
        self._console.print(report.table(comparison))
        for note in comparison.notes:
            self._console.print(f"Note: {note}", soft_wrap=True)
        for path in paths:
            self._console.print(f"Saved {shown(path)}", soft_wrap=True)

    def error(self, error: ScreenalyticsError) -> None:
        self._errors.print(f"error: {error.message}", soft_wrap=True)

    def stopped(self) -> None:
        self._errors.print("Stopped.")


class EventVoice:
    """One JSON object a line on standard output; the last one is `result` or `error`."""

    def begins(self, text: str, run_id: str) -> None:
        self._say(RunBeginsEvent(run_id=run_id))
        self.log(text)

    def log(self, text: str) -> None:
        self._say(LogEvent(level="info", message=text, time=now()))

    def result(self, comparison: Comparison, paths: list[Path]) -> None:
        summary = comparison.in_short(paths[0].parent.name)
        self._say(ComparisonResultEvent(**summary.model_dump()))

    def error(self, error: ScreenalyticsError) -> None:
        self._say(ErrorEvent.of(error))

    def stopped(self) -> None:
        """Nothing: whoever stopped it knows."""

    def _say(self, event: ComparisonEvent | RunBeginsEvent) -> None:
        sys.stdout.buffer.write(event.model_dump_json().encode() + b"\n")
        sys.stdout.buffer.flush()
