"""Holds a run to its CPU budget by pacing the work, a little after every frame.

A leaky bucket: CPU seconds flow in as they are spent and leak out at the budget's rate. Above
the brim the run sleeps until the level is down again. Time that was not used is not saved up, so
a slow passage is not followed by a hot one; what was overspent (loading a model) is paid back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.common.config import BudgetConfig

_SHORTEST_NAP_SECONDS = 0.001  # timers are no finer


@dataclass
class CpuBudget:
    """Args:
        max_cpu_percent: the budget, 100 is one core; None never sleeps.
        cpu_seconds: CPU seconds of the run so far.
        elapsed: wall-clock seconds of the run so far.
        sleep: waits that many seconds; may end early when the run is to stop.
        config: see `config/pipeline.toml`.

    Attributes:
        slept_seconds: time spent waiting for the budget.
    """

    max_cpu_percent: float | None
    cpu_seconds: Callable[[], float]
    elapsed: Callable[[], float]
    sleep: Callable[[float], object]
    config: BudgetConfig
    slept_seconds: float = 0.0
    _level: float = field(default=0.0, init=False)
    _seen_cpu: float = field(default=0.0, init=False)
    _seen_time: float = field(default=0.0, init=False)

    def pace(self, keep_waiting: Callable[[], bool] = lambda: True) -> None:
        """Sleeps while the run is over its budget.

        Args:
            keep_waiting: asked between naps, so that a stop does not wait for a large debt.
        """
        if self.max_cpu_percent is None:
            return
        rate = self.max_cpu_percent / 100
        self._account(rate)
        while self._level > self.config.burst_seconds and keep_waiting():
            nap = (self._level - self.config.burst_seconds) / rate
            before = time.monotonic()
            self.sleep(min(max(nap, _SHORTEST_NAP_SECONDS), self.config.max_sleep_seconds))
            self.slept_seconds += time.monotonic() - before
            self._account(rate)

    def _account(self, rate: float) -> None:
        cpu, now = self.cpu_seconds(), self.elapsed()
        spent, passed = cpu - self._seen_cpu, now - self._seen_time
        self._level = max(0.0, self._level + spent - rate * passed)
        self._seen_cpu, self._seen_time = cpu, now
