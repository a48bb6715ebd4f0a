"""Progress of a run: kept in one place, reported at a steady beat.

A thread reports every half second whether or not frames arrive, so that a listener can tell a
slow run from a dead one, and so that frames never wait for a report.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apps.common.contracts.manifest import Phase, Progress
from apps.common.repeater import Repeater
from apps.pipeline.pacing.meter import CpuMeter

BEAT_SECONDS = 0.5


class ProgressReporter(Repeater):
    """A context manager.

    Args:
        run_id: goes into each report.
        meter: for elapsed time and CPU.
        report: called at each beat and at each change of phase.
    """

    def __init__(self, run_id: str, meter: CpuMeter, report: Callable[[Progress], None]) -> None:
        self._run_id = run_id
        self._meter = meter
        self._report = report
        self._phase: Phase = "starting"
        self._done = 0
        self._total = 0
        self._video_total = 0
        self._analysis_start: float | None = None
        self._analysis_end: float | None = None
        self._lock = threading.Lock()
        super().__init__("progress", BEAT_SECONDS, self._tell)

    def phase(self, phase: Phase) -> None:
        if phase == "running":
            self._analysis_start = self._meter.elapsed()
        elif self._phase == "running":
            self._analysis_end = self._meter.elapsed()
        self._phase = phase
        self._tell()

    def expect(self, frames: int, video_frames: int) -> None:
        """Sets how many frames there are.

        Args:
            frames: how many will be processed.
            video_frames: how many the whole video has.
        """
        self._total, self._video_total = frames, video_frames

    def restart(self) -> None:
        """All is done again from the first frame."""
        self._done = 0

    def frame_done(self) -> None:
        self._done += 1

    def frames_missing(self) -> None:
        """All frames came that will come: what is missing was undecodable."""
        self._total = self._done

    @property
    def frames_done(self) -> int:
        return self._done

    def analyzed_fps(self) -> float:
        """Processed frames a second of wall clock, loading not counted."""
        if self._analysis_start is None:
            return 0.0
        end = self._analysis_end if self._analysis_end is not None else self._meter.elapsed()
        return round(self._done / max(end - self._analysis_start, 1e-6), 2)

    def snapshot(self) -> Progress:
        rate = self.analyzed_fps()
        left = self._total - self._done
        return Progress(
            phase=self._phase,
            frames_done=self._done,
            frames_total=self._total,
            video_frames_total=self._video_total,
            elapsed_sec=round(self._meter.elapsed(), 2),
            analyzed_fps=rate,
            eta_sec=round(left / rate, 1) if rate > 0 else None,
            run_id=self._run_id,
            updated_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            cpu_percent=round(self._meter.current_percent(), 1),
        )

    def _tell(self) -> None:
        with self._lock:
            self._report(self.snapshot())
