"""Two ways to tell what a run does: events for programs, a progress bar for people."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.common.contracts.events import (
    ClipResult,
    ClipResultEvent,
    ErrorEvent,
    LogEvent,
    PartPlanEvent,
    PartResultEvent,
    PlayableResult,
    PlayableResultEvent,
    PreviewResult,
    PreviewResultEvent,
    ProgressEvent,
    ResultEvent,
    StartedEvent,
)
from apps.common.contracts.manifest import Progress, RunResult
from apps.common.contracts.parts import PartPlan, PartResult
from apps.common.errors import ScreenalyticsError
from apps.common.files import shown
from apps.common.streams import STDOUT, write_line
from apps.common.terminal import printable
from apps.runs.record import now


class EventWriter:
    """One JSON object a line on standard output, in UTF-8. An event that cannot be written is lost.

    Args:
        run_id: goes into the `started` event, so that a reader can find the run's files.
        on_broken: called when the reader of a pipe is gone; None where the work goes on without it.
    """

    def __init__(self, run_id: str, on_broken: Callable[[], None] | None) -> None:
        self._run_id = run_id
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._start = b""  # a new line, where the last one may have broken off

    def started(self, frames_total: int) -> None:
        self._send(StartedEvent(run_id=self._run_id, frames_total=frames_total).model_dump())

    def progress(self, progress: Progress) -> None:
        self._send(ProgressEvent(**progress.model_dump()).model_dump())

    def log(self, level: str, message: str) -> None:
        self._send(LogEvent(level=level, message=message, time=now()).model_dump())

    def result(self, result: RunResult) -> None:
        self._send(ResultEvent(**result.model_dump()).model_dump(mode="json"))

    def preview(self, result: PreviewResult) -> None:
        self._send(PreviewResultEvent(**result.model_dump()).model_dump())

    def playable(self, result: PlayableResult) -> None:
        self._send(PlayableResultEvent(**result.model_dump()).model_dump())

    def clip(self, result: ClipResult) -> None:
        self._send(ClipResultEvent(**result.model_dump()).model_dump())

    def plan(self, plan: PartPlan) -> None:
        self._send(PartPlanEvent(**plan.model_dump()).model_dump())

    def part(self, result: PartResult) -> None:
        self._send(PartResultEvent(**result.model_dump()).model_dump())

    def error(self, error: ScreenalyticsError) -> None:
        self._send(ErrorEvent.of(error).model_dump())

    def _send(self, event: dict[str, Any]) -> None:
        text = json.dumps(event, ensure_ascii=False)
        line = text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate as JSON has it
        with self._lock:
            try:
                write_line(STDOUT, self._start + line)
            except BrokenPipeError:
                if self._on_broken is not None:
                    self._on_broken()
            except OSError:
                self._start = b"\n"
            else:
                self._start = b""


class TerminalView:
    """A progress bar with rate and ETA on standard error where it is a terminal; else lines.

    Args:
        data_root: where the run's results will be.
    """

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._bar: Any = None
        self._task: Any = None

    def started(self, frames_total: int) -> None:
        if not sys.stderr.isatty():
            return
        from rich.console import Console

        from apps.common.progress_bar import progress_bar

        self._bar = progress_bar(
            Console(stderr=True),
            auto_refresh=False,  # by a thread of its own, ten times a second; reports come in two
        )
        self._task = self._bar.add_task("loading", total=frames_total, rate=0.0, cpu=0.0)
        self._bar.start()

    def progress(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=progress.phase,
                completed=progress.frames_done,
                total=progress.frames_total,
                rate=progress.analyzed_fps,
                cpu=progress.cpu_percent or 0.0,
                refresh=True,
            )

    def log(self, level: str, message: str) -> None:
        line = printable(message if level == "info" else f"{level}: {message}")
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            sys.stderr.write(line + "\n")

    def result(self, result: RunResult) -> None:
        self.close()
        cap = result.options.max_cpu_percent
        budget = "no budget" if cap is None else f"budget {cap:g} %"
        sys.stderr.write(
            f"Done in {result.elapsed_seconds:.1f} s: {result.frames_done} frames at "
            f"{result.analyzed_fps:g}/s, {result.detections} faces, {result.tracks} tracks"
            f"{_on_screen(result)}; "
            f"CPU mean {result.cpu.mean_percent:g} %, peak {result.cpu.peak_percent:g} % "
            f"({budget}); {result.provider}.\n"
            f"Results: {shown(self._data_root / result.artifacts['manifest'])}\n"
        )

    def part(self, result: PartResult, count: int, path: Path) -> None:
        self.close()
        done, megabytes = result.done, path.stat().st_size / 1e6
        sys.stderr.write(
            f"Part {result.number} of {count} in {done.seconds:.1f} s: {done.frames} frames, "
            f"{megabytes:.1f} MB: {shown(path)}\n"
        )

    def error(self, error: ScreenalyticsError) -> None:
        self.close()
        sys.stderr.write(f"error: {printable(error.message)}\n")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _on_screen(result: RunResult) -> str:
    if result.screen_s is None or result.screen_error_s is None:
        return ""
    return f", {result.screen_s:.1f} ± {result.screen_error_s:.1f} s on the screen"


View = EventWriter | TerminalView


class RunLog:
    """Passes everything on to a view, and keeps the log in a file.

    Args:
        view: whom to tell.
        path: `run.log`.
    """

    def __init__(self, view: View, path: Path) -> None:
        self._view = view
        self._path = path

    def started(self, frames_total: int) -> None:
        self._view.started(frames_total)

    def progress(self, progress: Progress) -> None:
        self._view.progress(progress)

    def log(self, level: str, message: str) -> None:
        self.write(level, message)
        self._view.log(level, message)

    def write(self, level: str, message: str) -> None:
        """To the file only. A full disk does not hide what the view shows."""
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{now()} {level.upper():7} {message}\n")
        except OSError:
            pass
