"""CPU time and memory of a process tree, measured from inside or outside.

100 percent is one core. Finished children count: their time is in their parent's.
"""

from __future__ import annotations

import os
import time
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


def own_age_seconds() -> float:
    """Wall-clock seconds since this process started.

    On Linux from the kernel's own clock: psutil's `create_time` is off by up to a second, since
    the boot time that it adds is a whole number. Source: proc_pid_stat(5), field 22.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError, IndexError, ValueError):
        return max(0.0, time.time() - psutil.Process().create_time())
