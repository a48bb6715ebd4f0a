"""CPU of a process tree over time, counted from outside, and its means over sliding windows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import psutil

from apps.common.errors import RunFailed
from apps.common.process_cpu import tree_usage
from lab.benchmark.systems import clean_environment

INTERVAL_SECONDS = 0.1  # between two looks at the process


@dataclass(frozen=True)
class Watched:
    """What one process and its children used, from its start to its end.

    Args:
        seconds: since its start, ascending; the first is 0, the last its end.
        cpu_seconds: used by then.
        output: lines of its standard output.
    """

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    output: tuple[str, ...]

    @property
    def mean_percent(self) -> float:
        """The mean over its whole life; 100 is one core."""
        return 100 * self.cpu_seconds[-1] / self.seconds[-1]

    def window_percents(self, length: float) -> tuple[float, float]:
        """The lowest and the highest mean over a window; the whole mean where life was shorter.

        Windows slide: one ends and one begins at each look. 100 is one core.

        Args:
            length: seconds that a window lasts; > 0.
        """
        if self.seconds[-1] <= length:
            return self.mean_percent, self.mean_percent
        times = np.array(self.seconds)
        ends = np.concatenate([times[times >= length], times[times <= times[-1] - length] + length])
        used = np.interp(ends, times, self.cpu_seconds)
        used -= np.interp(ends - length, times, self.cpu_seconds)
        return 100 * float(used.min()) / length, 100 * float(used.max()) / length


def watch(command: Sequence[str], name: str) -> Watched:
    """Runs a command in a process group of its own, which is killed when this is interrupted.

    Args:
        name: what messages call the command.

    Raises:
        RunFailed: it ended with an error.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        samples, code = _samples(command, output, errors)
        if code != 0:
            last = _lines(errors)[-1:] or (f"Its exit code is {code}.",)
            raise RunFailed(f"{name} failed: {last[0].removeprefix('error: ')}")
        seconds, cpu_seconds = zip(*samples, strict=True)
        return Watched(seconds, cpu_seconds, _lines(output))


def _samples(
    command: Sequence[str], output: IO[str], errors: IO[str]
) -> tuple[list[tuple[float, float]], int]:
    """Seconds and CPU seconds at each look, and the exit code."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    samples = [(0.0, 0.0)]
    try:
        tree = psutil.Process(process.pid)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended != 0:
                break
            with contextlib.suppress(psutil.Error):  # it is ending; the next look sees it
                used = tree_usage(tree).cpu_seconds
                samples.append((time.monotonic() - started, max(used, samples[-1][1])))
            time.sleep(INTERVAL_SECONDS)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    used = max(usage.ru_utime + usage.ru_stime, samples[-1][1])
    samples.append((time.monotonic() - started, used))
    return samples, process.returncode


def _lines(stream: IO[str]) -> tuple[str, ...]:
    stream.seek(0)
    return tuple(stream.read().splitlines())
