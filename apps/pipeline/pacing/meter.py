"""Measures CPU and memory of this run's process tree while it works."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from apps.common.config import MeterConfig
from apps.common.contracts.manifest import CpuFigures
from apps.common.process_cpu import PeakWindow, TreeUsage, age_seconds, tree_usage
from apps.common.repeater import HelperThread, Repeater

_BUSY_SHARE = 0.10  # of the busiest thread's CPU time
_SCHEDSTAT = Path("/proc/self/schedstat")  # Linux only


@dataclass
class _ThreadLife:
    """A thread's CPU seconds, and the numbers of the first and the last sample that saw it.

    Args:
        waited: seconds for which it could have run and no core was free for it.
    """

    first: int
    last: int
    seconds: float
    waited: float = 0.0


class CpuMeter(Repeater):
    """A context manager that samples in a thread of its own (about 1 ms a second).

    Figures count from the start of the process, loading of libraries and models included.
    """

    def __init__(self, config: MeterConfig) -> None:
        self._root = psutil.Process()
        self._start = time.monotonic() - age_seconds(self._root)
        self._window = PeakWindow(config.peak_window_seconds, self._start)
        self._peak_rss = 0
        self._children_seconds = 0.0
        self._samples = 0
        self._threads: dict[int, _ThreadLife] = {}
        self._lock = threading.Lock()
        super().__init__("meter", config.interval_seconds, self._take_sample)
        self._take_sample()  # what children have used is no frame's cost

    def elapsed(self) -> float:
        """Seconds since the process started."""
        return time.monotonic() - self._start

    def cpu_seconds(self) -> float:
        """CPU seconds of the tree so far. Cheap: descendants are read by the sampling thread."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return own + self._children_seconds

    def current_percent(self) -> float:
        """Over the last peak window."""
        with self._lock:
            return self._window.current_percent()

    def figures(self) -> tuple[CpuFigures, float]:
        """CPU so far, and peak resident memory in MB (10**6 bytes)."""
        self._take_sample()
        seconds = self.cpu_seconds()
        with self._lock:
            mean = 100 * seconds / max(self.elapsed(), 1e-6)
            cpu = CpuFigures(
                # A run shorter than one window has no peak of its own.
                peak_percent=round(max(self._window.peak_percent, mean), 1),
                mean_percent=round(mean, 1),
                seconds=round(seconds, 3),
                waited_seconds=self._waited_seconds(),
            )
            return cpu, round(self._peak_rss / 1e6, 1)

    def busy_threads(self) -> int:
        """The most threads at once of those that did a share of the work worth naming; >= 1.

        Those that follow each other, as when a decoder is opened again, are not there at once.
        Helpers are not counted: they cost the same every second, so where the work gets few
        seconds, on a busy machine or under a small budget, they would seem to do much of it.
        """
        with self._lock:
            largest = max((life.seconds for life in self._threads.values()), default=0.0)
            busy = [x for x in self._threads.values() if x.seconds >= _BUSY_SHARE * largest > 0]
            # Most are there when one of them is new.
            at_once = [sum(x.first <= new.first <= x.last for x in busy) for new in busy]
        return max(at_once, default=1)

    def _waited_seconds(self) -> float | None:
        """Of all threads of this process; None where the system does not tell."""
        if not _SCHEDSTAT.exists():
            return None
        return round(sum(life.waited for life in self._threads.values()), 3)

    def _take_sample(self) -> None:
        try:
            usage: TreeUsage = tree_usage(self._root)
            helpers = {t.native_id for t in threading.enumerate() if isinstance(t, HelperThread)}
            threads = [thread for thread in self._root.threads() if thread.id not in helpers]
        except psutil.Error:
            return
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        with self._lock:
            self._children_seconds = max(0.0, usage.cpu_seconds - own)
            self._samples += 1
            for thread in threads:
                life = self._threads.setdefault(thread.id, _ThreadLife(self._samples, 0, 0.0))
                life.last = self._samples
                life.seconds = thread.user_time + thread.system_time
                life.waited = _waited(thread.id, life.waited)
            self._peak_rss = max(self._peak_rss, usage.rss_bytes)
            self._window.add(time.monotonic(), usage.cpu_seconds)


def _waited(thread_id: int, before: float) -> float:
    """Seconds of a thread on a run queue (the kernel's Documentation/scheduler/sched-stats.rst)."""
    try:
        nanoseconds = Path(f"/proc/self/task/{thread_id}/schedstat").read_text().split()[1]
    except (OSError, IndexError):  # it has ended, or the system has none
        return before
    return int(nanoseconds) / 1e9
