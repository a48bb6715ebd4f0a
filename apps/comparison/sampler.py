"""One measure for all modes: the process tree of a run, sampled from outside while it lives."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import psutil

from apps.common.contracts.manifest import RunManifest
from apps.common.process_cpu import PeakWindow, age_seconds, tree_usage

INTERVAL_SECONDS = 0.1
PEAK_WINDOW_SECONDS = 1.0  # the peak is the busiest second, as in the run's own report
_GONE_SECONDS = 15.0  # a run's process ends this soon after its answer, or is not waited for


@dataclass(frozen=True)
class Usage:
    """What a run used, from the start of its process to its end; 100 percent is one core."""

    process_seconds: float
    cpu_seconds: float
    mean_percent: float
    peak_percent: float
    peak_rss_mb: float
    nice: int


class Sampler:
    """A context manager around one run; `usage` holds the figures after the block.

    Args:
        find_manifest: the run's manifest, or None as long as there is none. Called in a thread.
    """

    def __init__(self, find_manifest: Callable[[], RunManifest | None]) -> None:
        self._find_manifest = find_manifest
        self._give_up = threading.Event()
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self.usage: Usage | None = None

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits until the run's process is gone, so that the next run has the machine alone."""
        self._answered.set()
        if kind is not None:
            self._give_up.set()
        self._thread.join(_GONE_SECONDS)
        self._give_up.set()
        self._thread.join()

    def _sample(self) -> None:
        process = self._process()
        if process is None:
            return
        with contextlib.suppress(psutil.Error):  # it ended; what was seen until then counts
            samples = _Samples(process)
            while not self._give_up.is_set() and _lives(process):
                samples.take()
                self.usage = samples.usage()
                self._give_up.wait(INTERVAL_SECONDS)

    def _process(self) -> psutil.Process | None:
        """The run's process, as soon as its manifest names it."""
        while not self._give_up.is_set():
            last_look = self._answered.is_set()
            manifest = self._find_manifest()
            if manifest is not None:
                return _of_this_host(manifest)
            if last_look:
                return None
            self._give_up.wait(INTERVAL_SECONDS)
        return None


class _Samples:
    """CPU time and memory of one tree over time."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._started = time.monotonic() - age_seconds(process)
        self._window = PeakWindow(PEAK_WINDOW_SECONDS, self._started)
        self._peak_rss = 0
        self._nice = process.nice()

    def take(self) -> None:
        usage = tree_usage(self._process)
        self._window.add(time.monotonic(), usage.cpu_seconds)
        self._peak_rss = max(self._peak_rss, usage.rss_bytes)

    def usage(self) -> Usage | None:
        """None where the process ended before the first sample."""
        end, seconds = self._window.last
        if end <= self._started or self._peak_rss == 0:
            return None
        mean = 100 * seconds / (end - self._started)
        return Usage(
            process_seconds=round(end - self._started, 3),
            cpu_seconds=round(seconds, 3),
            mean_percent=round(mean, 1),
            peak_percent=round(max(self._window.peak_percent, mean), 1),
            peak_rss_mb=round(self._peak_rss / 1e6, 1),
            nice=self._nice,
        )


def _of_this_host(manifest: RunManifest) -> psutil.Process | None:
    """None where the run is on another machine, in a container, or has ended."""
    if manifest.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(manifest.pid)
        is_run = any("episode_run" in part for part in process.cmdline())
    except psutil.Error:
        return None
    return process if is_run else None


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
