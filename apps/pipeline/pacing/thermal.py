"""Lowers a run's CPU budget while the CPU is hot, step by step, and raises it again when it is not.

Sensors are what the system has: Linux shows them, containers mostly hide them, macOS and Windows
have none that can be read without rights. Where there is none nothing happens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from apps.common.config import ThermalConfig
from apps.common.contracts.manifest import ThermalFacts

# Drivers that measure the CPU, the better ones first: Intel, AMD, boards with an ARM chip; then the
# firmware's zone, which is near the CPU on most laptops.
_CPU_SENSORS = (
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "cpu-thermal",
    "soc_thermal",
    "acpitz",
)
SensorReader = Callable[[], Mapping[str, Sequence[Any]]]
_MIN_CELSIUS, _MAX_CELSIUS = 1.0, 130.0  # broken sensors say 0, 255 or less than nothing


@dataclass(frozen=True)
class Temperature:
    """Degrees Celsius of the hottest part of the CPU, and the driver that measured it."""

    sensor: str
    celsius: float


def system_sensors() -> Mapping[str, Sequence[Any]]:
    """Readings by driver, each with `current` in degrees Celsius; empty where there are none."""
    read = getattr(psutil, "sensors_temperatures", None)  # macOS and Windows lack it
    if read is None:
        return {}
    try:
        return dict(read())
    except OSError:
        return {}


def cpu_temperature(sensors: Mapping[str, Sequence[Any]]) -> Temperature | None:
    """Of the first driver in `_CPU_SENSORS` that says something sensible.

    Args:
        sensors: see `system_sensors`.
    """
    for name in _CPU_SENSORS:
        readings = (reading.current for reading in sensors.get(name, ()))
        sensible = [c for c in readings if c is not None and _MIN_CELSIUS <= c <= _MAX_CELSIUS]
        if sensible:
            return Temperature(name, float(max(sensible)))
    return None


class ThermalBackoff:
    """Lowers the CPU budget while the CPU is hot.

    Args:
        usual_percent: the budget of a cool machine, 100 is one core; also the highest.
        config: see `config/pipeline.toml`.
        read_sensors: see `system_sensors`.
        elapsed: wall-clock seconds of the run so far.
        log: receives a line on the sensor, or that there is none, and on every change.
    """

    def __init__(
        self,
        usual_percent: float,
        config: ThermalConfig,
        read_sensors: SensorReader,
        elapsed: Callable[[], float],
        log: Callable[[str], None],
    ) -> None:
        self._usual = usual_percent
        self._min_percent = min(usual_percent, config.min_percent)
        self._config = config
        self._read = read_sensors
        self._elapsed = elapsed
        self._log = log
        self._budget = usual_percent
        self._lowest = usual_percent
        self._hottest: Temperature | None = None
        self._next_look = -math.inf

    def budget_percent(self) -> float:
        """The budget now. Looks at the sensors where a period has passed since the last look."""
        now = self._elapsed()
        if now >= self._next_look:
            first = self._next_look == -math.inf
            self._next_look = now + self._config.period_seconds
            self._look(first)
        return self._budget

    def facts(self) -> ThermalFacts | None:
        """For the run's report; None where there is no sensor."""
        if self._hottest is None:
            return None
        return ThermalFacts(
            sensor=self._hottest.sensor,
            hottest_celsius=round(self._hottest.celsius, 1),
            usual_percent=self._usual,
            lowest_percent=self._lowest,
        )

    def warning(self) -> str | None:
        """A sentence where heat lowered the budget, else None."""
        if self._hottest is None or self._lowest == self._usual:
            return None
        return (
            f"The CPU was up to {self._hottest.celsius:.0f} °C hot: the run's budget went down "
            f"from {self._usual:g} % to {self._lowest:g} %."
        )

    def _look(self, first: bool) -> None:
        found = cpu_temperature(self._read())
        if first:
            self._introduce(found)
        if found is None:
            if first:
                self._next_look = math.inf
            return
        if self._hottest is None or found.celsius > self._hottest.celsius:
            self._hottest = found
        self._step(found)

    def _introduce(self, found: Temperature | None) -> None:
        if found is None:
            self._log("There is no CPU temperature sensor here: heat does not lower the budget")
        else:
            self._log(f"CPU at {found.celsius:.0f} °C ({found.sensor})")

    def _step(self, found: Temperature) -> None:
        before = self._budget
        if found.celsius >= self._config.hot_celsius:
            self._budget = max(self._min_percent, before - self._config.step_percent)
        elif found.celsius <= self._config.cool_celsius:
            self._budget = min(self._usual, before + self._config.step_percent)
        self._lowest = min(self._lowest, self._budget)
        if self._budget != before:
            self._log(f"CPU at {found.celsius:.0f} °C: budget {self._budget:g} %")
