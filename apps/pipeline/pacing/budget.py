"""Holds a run to its CPU budget by pacing the work, a little after every frame.

A leaky bucket: CPU seconds flow in as they are spent and leak out at the budget's rate. Above
the brim the run sleeps until the level is down again. Time that was not used is not saved up, so
a slow passage is not followed by a hot one; what was overspent (loading a model) is paid back.

Frames that are costly beside the budget come in lumps: one more or less of them in a few seconds is
a difference that the bucket does not see. So the next one also waits until it fits into a window.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from apps.common.config import BudgetConfig

_SHORTEST_NAP_SECONDS = 0.001  # timers are no finer
_REMEMBERED_FRAMES = 8  # the next one is taken to cost as much as the costliest of these


def _always() -> bool:
    return True


@dataclass
class CpuBudget:
    """Keeps a run within its share of the CPU: it sleeps when it is ahead.

    Args:
        max_cpu_percent: the budget, 100 is one core; None never sleeps. Another
            number may be set during the run.
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
    _framed_s: float = field(default=0.0, init=False)  # when the last frame ended
    # Seconds and CPU seconds at each look, those of the last window.
    _seen: deque[tuple[float, float]] = field(default_factory=lambda: deque([(0, 0)]), init=False)
    # Seconds and CPU seconds that each of the last frames took.
    _frames: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED_FRAMES), init=False
    )

    def pace(self, keep_waiting: Callable[[], bool] = _always) -> None:
        """After a frame: sleeps while the run is over its budget.

        Args:
            keep_waiting: asked between naps, so that a stop does not wait for a large debt.
        """
        (before, used), (now, cpu) = self._seen[-1], (self.elapsed(), self.cpu_seconds())
        self._frames.append((now - before, cpu - used))
        self._framed_s = now
        self.settle(keep_waiting)

    def settle(self, keep_waiting: Callable[[], bool] = _always, *, fully: bool = False) -> None:
        """The same after other work, whose cost says nothing of the next frame's.

        Args:
            fully: until nothing is ahead of the budget, at the end of a run.
        """
        if self.max_cpu_percent is None:
            return
        rate = self.max_cpu_percent / 100
        self._look(rate)
        while (wait := self._seconds_over(rate, fully)) > 0 and keep_waiting():
            before = time.monotonic()
            self.sleep(min(max(wait, _SHORTEST_NAP_SECONDS), self.config.max_sleep_seconds))
            self.slept_seconds += time.monotonic() - before
            self._look(rate)

    def _look(self, rate: float) -> None:
        (before, used), (now, cpu) = self._seen[-1], (self.elapsed(), self.cpu_seconds())
        self._level = max(0.0, self._level + cpu - used - rate * (now - before))
        self._seen.append((now, cpu))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self.config.window_seconds:
            self._seen.popleft()

    def _seconds_over(self, rate: float, fully: bool) -> float:
        """How long to wait, as things are now."""
        if fully:
            return self._level / rate
        return max(self._level / rate - self.config.burst_seconds, self._seconds_to_fit(rate))

    def _seconds_to_fit(self, rate: float) -> float:
        """Until a window that ends with the next frame holds no more than it may."""
        if not self._frames:
            return 0.0
        window = self.config.window_seconds
        limit = (1 + self.config.window_excess) * rate * window
        frame_seconds = max(seconds for seconds, _ in self._frames)
        frame_cpu = max(cpu for _, cpu in self._frames)
        now, cpu = self._seen[-1]
        # Before a frame that is costlier than a whole window there is a window of rest.
        begin = self._time_of(min(cpu, cpu + frame_cpu - limit))
        # Its end is that of the last frame's work, not of what helpers like the meter go on using.
        begin = min(begin, self._framed_s + frame_seconds)
        return begin + window - min(frame_seconds, window) - now

    def _time_of(self, cpu_seconds: float) -> float:
        """When so much had been used, at most what is used now; ever since, if long ago."""
        if cpu_seconds <= self._seen[0][1]:
            return -math.inf
        (before, less), (after, more) = next(
            pair for pair in pairwise(self._seen) if pair[1][1] >= cpu_seconds
        )
        return before + (after - before) * (cpu_seconds - less) / (more - less)
