"""Heat and the CPU budget, with sensors and a clock that the test turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import ThermalConfig, pipeline_config
from apps.pipeline.pacing.thermal import (
    Temperature,
    ThermalBackoff,
    cpu_temperature,
    system_sensors,
)

CONFIG = ThermalConfig(
    period_seconds=5.0, hot_celsius=80.0, cool_celsius=70.0, step_percent=25.0, min_percent=50.0
)
HOT, WARM, COOL = 90.0, 75.0, 60.0


def chip(*celsius: float | None) -> list[Any]:
    return [SimpleNamespace(label="", current=c, high=None, critical=None) for c in celsius]


@dataclass
class Machine:
    """One whose CPU is as hot as the test says; None is a machine without sensors."""

    usual: float = 200.0
    celsius: float | None = COOL
    now: float = 0.0
    reads: int = 0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backoff = ThermalBackoff(
            self.usual, CONFIG, self.sensors, lambda: self.now, self.log.append
        )

    def sensors(self) -> dict[str, list[Any]]:
        self.reads += 1
        return {} if self.celsius is None else {"coretemp": chip(40.0, self.celsius)}

    def after_period(self, celsius: float | None) -> float:
        """The budget, a period later."""
        self.now += CONFIG.period_seconds
        self.celsius = celsius
        return self.backoff.budget_percent()


@pytest.mark.parametrize(
    ("sensors", "expected"),
    [
        ({}, None),
        ({"nvme": chip(99.0), "iwlwifi_1": chip(70.0)}, None),
        ({"coretemp": chip(50.0, 61.0, 55.0)}, Temperature("coretemp", 61.0)),
        ({"k10temp": chip(66.5)}, Temperature("k10temp", 66.5)),
        ({"cpu_thermal": chip(48.3), "rp1_adc": chip(90.0)}, Temperature("cpu_thermal", 48.3)),
        ({"acpitz": chip(27.8), "coretemp": chip(44.0)}, Temperature("coretemp", 44.0)),
        ({"acpitz": chip(27.8)}, Temperature("acpitz", 27.8)),
        ({"coretemp": chip(), "acpitz": chip(30.0)}, Temperature("acpitz", 30.0)),
        ({"coretemp": chip(0.0, -128.0, 255.0, None)}, None),
        ({"coretemp": chip(255.0, 71.0)}, Temperature("coretemp", 71.0)),
    ],
)
def test_the_hottest_sensor_of_the_cpu_counts(
    sensors: dict[str, list[Any]], expected: Temperature | None
) -> None:
    assert cpu_temperature(sensors) == expected


def test_this_machine_can_be_asked() -> None:
    """Whatever it has: the answer can be read."""
    found = cpu_temperature(system_sensors())
    assert found is None or found.celsius > 0


def test_without_a_sensor_nothing_happens_and_the_log_says_so_once() -> None:
    machine = Machine(celsius=None)
    assert [machine.after_period(None) for _ in range(20)] == [200.0] * 20
    assert machine.log == [
        "There is no CPU temperature sensor here: heat does not lower the budget"
    ]
    assert machine.reads == 1
    assert machine.backoff.facts() is None
    assert machine.backoff.warning() is None


def test_heat_lowers_the_budget_step_by_step_down_to_the_minimum() -> None:
    machine = Machine()
    assert [machine.after_period(HOT) for _ in range(8)] == [175, 150, 125, 100, 75, 50, 50, 50]


def test_between_the_thresholds_the_budget_stays_and_below_it_comes_back() -> None:
    machine = Machine()
    heat = [HOT, HOT, WARM, WARM, COOL, WARM, COOL, COOL]
    budgets = [machine.after_period(celsius) for celsius in heat]
    assert budgets == [175, 150, 150, 150, 175, 175, 200, 200]


def test_the_sensors_are_read_once_a_period() -> None:
    machine = Machine(celsius=HOT)
    for _ in range(100):
        machine.backoff.budget_percent()
        machine.now += CONFIG.period_seconds / 10
    assert machine.reads == 10


def test_a_sensor_that_says_nothing_for_a_while_changes_nothing() -> None:
    machine = Machine()
    heat = [HOT, None, None, HOT, COOL]
    assert [machine.after_period(celsius) for celsius in heat] == [175, 175, 175, 150, 175]


def test_a_low_cap_is_kept_as_it_is() -> None:
    machine = Machine(usual=30.0)
    assert [machine.after_period(HOT) for _ in range(3)] == [30, 30, 30]
    assert machine.backoff.warning() is None


def test_the_report_tells_the_lowest_budget_and_the_hottest_moment() -> None:
    machine = Machine()
    for celsius in (60.0, 85.26, 82.0, 65.0, 60.0):
        machine.after_period(celsius)
    facts = machine.backoff.facts()
    assert facts is not None
    assert facts.model_dump() == {
        "sensor": "coretemp",
        "hottest_celsius": 85.3,
        "usual_percent": 200.0,
        "lowest_percent": 150.0,
    }
    assert machine.backoff.warning() == (
        "The CPU was up to 85 °C hot: the run's budget went down from 200 % to 150 %."
    )
    assert machine.log == [
        "CPU at 60 °C (coretemp)",
        "CPU at 85 °C: budget 175 %",
        "CPU at 82 °C: budget 150 %",
        "CPU at 65 °C: budget 175 %",
        "CPU at 60 °C: budget 200 %",
    ]


def test_a_cool_run_has_no_warning() -> None:
    machine = Machine()
    machine.after_period(WARM)
    assert machine.backoff.warning() is None
    facts = machine.backoff.facts()
    assert facts is not None
    assert facts.lowest_percent == facts.usual_percent == 200.0


readings = st.lists(st.one_of(st.none(), st.floats(-300, 300, width=32)), max_size=60)


@given(st.floats(5, 102_400, width=32), st.sampled_from([COOL, HOT]), readings)
@settings(deadline=None)
def test_the_budget_stays_in_its_bounds_and_recovers(
    usual: float, first: float, heat: list[float | None]
) -> None:
    machine = Machine(usual=usual)
    budgets = [machine.after_period(celsius) for celsius in (first, *heat)]
    lowest = min(usual, CONFIG.min_percent)
    assert all(lowest <= budget <= usual for budget in budgets)
    steps = [abs(after - before) for before, after in zip([usual, *budgets], budgets, strict=False)]
    assert max(steps) <= CONFIG.step_percent + 1e-9
    facts = machine.backoff.facts()
    assert facts is not None
    assert facts.lowest_percent == min(usual, *budgets)
    for _ in range(len(budgets)):
        last = machine.after_period(COOL)
    assert last == usual


def test_the_shipped_numbers_fit_together() -> None:
    config = pipeline_config().thermal
    assert config.cool_celsius < config.hot_celsius
    assert config.min_percent >= 5  # what a request may ask for
