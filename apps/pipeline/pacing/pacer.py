"""Where a run rests: its budget, the heat that lowers it, and requests to stop, asked together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from apps.common.config import PipelineConfig
from apps.common.contracts.manifest import ThermalFacts
from apps.common.options import Options
from apps.pipeline.pacing.budget import CpuBudget
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.thermal import SensorReader, ThermalBackoff, system_sensors
from apps.pipeline.stop import StopFlag

T = TypeVar("T")


class Pacer:
    """Lets a run rest where its CPU budget, or heat, asks for it.

    Args:
        max_cpu_percent: the budget, 100 is one core; None never rests.
        meter: running.
        stop: ends the work, also during a rest.
        config: see `config/pipeline.toml`.
        thermal: sets the budget, where heat is to lower it.
    """

    def __init__(
        self,
        max_cpu_percent: float | None,
        meter: CpuMeter,
        stop: StopFlag,
        config: PipelineConfig,
        thermal: ThermalBackoff | None = None,
    ) -> None:
        self._stop = stop
        self._thermal = thermal
        self._turn = threading.Lock()  # who comes while another rests, rests as long
        self._budget = CpuBudget(
            max_cpu_percent=max_cpu_percent,
            cpu_seconds=meter.cpu_seconds,
            elapsed=meter.elapsed,
            sleep=stop.wait,
            config=config.budget,
        )

    @property
    def rested_seconds(self) -> float:
        return self._budget.slept_seconds

    @property
    def heat(self) -> ThermalFacts | None:
        """For the run's report."""
        return None if self._thermal is None else self._thermal.facts()

    @property
    def warning(self) -> str | None:
        """A sentence where heat slowed the run."""
        return None if self._thermal is None else self._thermal.warning()

    def after_frame(self) -> None:
        """Rests after a frame, where that is due.

        Raises:
            RunCancelled: the stop flag was set.
        """
        with self._turn:
            self._ready()
            self._budget.pace(self._goes_on)

    def paced(self, frames: Iterator[T]) -> Iterator[T]:
        """The same frames, with a rest behind each but the last, as the budget wants it.

        Raises:
            RunCancelled: the stop flag was set.
        """
        for frame in frames:
            yield frame
            self.after_frame()

    def between(self) -> None:
        """After other work than a frame.

        Raises:
            RunCancelled: the stop flag was set.
        """
        with self._turn:
            self._ready()
            self._budget.settle(self._goes_on)

    def at_end(self) -> None:
        """After the last work: pays back what is left, so that the whole run keeps to its budget.

        Raises:
            RunCancelled: the stop flag was set.
        """
        with self._turn:
            self._ready()
            self._budget.settle(self._goes_on, fully=True)

    def _ready(self) -> None:
        self._stop.check()
        if self._thermal is not None:
            self._budget.max_cpu_percent = self._thermal.budget_percent()

    def _goes_on(self) -> bool:
        return not self._stop.is_set


def thermal_backoff(
    options: Options,
    meter: CpuMeter,
    config: PipelineConfig,
    log: Callable[[str], None],
    read_sensors: SensorReader = system_sensors,
) -> ThermalBackoff | None:
    """None where the options do without. A run without a cap begins at all its threads."""
    if not options.thermal_backoff:
        return None
    cap = options.max_cpu_percent
    return ThermalBackoff(
        usual_percent=100.0 * options.cpu_threads if cap is None else cap,
        config=config.thermal,
        read_sensors=read_sensors,
        elapsed=meter.elapsed,
        log=log,
    )
