"""CPU time and memory of a process tree, measured from inside or outside.

100 percent is one core. Finished children count: their time is in their parent's.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class TreeUsage:
    """CPU seconds since the tree's root started, and resident memory now, in bytes."""

    cpu_seconds: float
    rss_bytes: int


def tree_usage(root: psutil.Process) -> TreeUsage:
    """Usage of a process, its living descendants and their finished children.

    Raises:
        psutil.NoSuchProcess: the root is gone.
    """
    seconds, rss = 0.0, 0
    for process in (root, *_descendants(root)):
        try:
            with process.oneshot():
                times = process.cpu_times()
                rss += process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            if process is root:
                raise
            continue
        seconds += times.user + times.system
        seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return TreeUsage(seconds, rss)


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    if _surely_childless(root.pid):
        return []
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _surely_childless(pid: int) -> bool:
    """Asks Linux for the process's own children; psutil reads every process of the machine.

    Source: proc_tid_children(5), where the kernel has it; elsewhere False.
    """
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    try:
        return bool(lists) and not any(path.read_text() for path in lists)
    except OSError:  # a thread ended meanwhile
        return False


class PeakWindow:
    """The busiest stretch of a process tree's life, from samples of its CPU time.

    Args:
        seconds: length of a stretch; a life shorter than that has no peak.
        started: when no CPU time had been used yet, on the clock of the samples, seconds.
    """

    def __init__(self, seconds: float, started: float) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque([(started, 0.0)])
        self.peak_percent = 0.0

    @property
    def last(self) -> tuple[float, float]:
        """Time and CPU seconds of the newest sample."""
        return self._samples[-1]

    def add(self, now: float, cpu_seconds: float) -> None:
        """A sample. CPU time that seems to shrink, since a process ended unseen, stands still."""
        self._samples.append((now, max(cpu_seconds, self._samples[-1][1])))
        while now - self._samples[1][0] >= self._seconds:
            self._samples.popleft()
        if now - self._samples[0][0] >= self._seconds:
            self.peak_percent = max(self.peak_percent, self.current_percent())

    def current_percent(self) -> float:
        """Over the newest stretch; 100 is one core."""
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return 100 * (after - before) / (end - start) if end > start else 0.0


def age_seconds(process: psutil.Process) -> float:
    """Wall-clock seconds since the process started.

    On Linux from the kernel's own clock: psutil's `create_time` is off by up to a second, since
    the boot time that it adds is a whole number. Source: proc_pid_stat(5), field 22.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError, IndexError, ValueError):
        return max(0.0, time.time() - process.create_time())
