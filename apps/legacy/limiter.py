"""A cap on another process's CPU, from outside: what the old path did, kept for comparison.

`cpulimit` is two programs of one name (Debian's 2.x and the 0.x of GitHub and Homebrew) that stop
and continue a process. Neither is trusted to be there, nor to accept what the other accepts.
Runs pace themselves as well (`apps.pipeline.pacing.budget`), so this one is a second belt.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LimiterName = Literal["cpulimit", "affinity", "none"]
OLD_PATH_PERCENT = 250.0  # 100 is one core; the contract's number
_HELP_SECONDS = 2.0
_SETTLE_SECONDS = 0.2  # a cpulimit that refuses its arguments has ended by then
# cpulimit killed with -9 leaves its process stopped for ever. Its parent is this shell and not
# us, since it must outlive us; whatever ends cpulimit, the run's group goes on. (`-s`: the form
# that every shell takes; dash refuses `-CONT --`.)
_GUARDED = 'group=$1; shift; "$@"; kill -s CONT -- "-$group"'


@dataclass(frozen=True)
class Limiter:
    """What limits a process; `pid` is that of the limiter, where it is a process itself."""

    name: LimiterName
    pid: int | None = None


def limit_cpu(pid: int, percent: float = OLD_PATH_PERCENT) -> Limiter:
    """Limits a process that leads its own group: `cpulimit` where it works, else affinity.

    Args:
        pid: the process, just started.
        percent: 100 is one core.
    """
    limiter = _attach_cpulimit(pid, percent)
    if limiter is None and _pin(pid, percent):
        limiter = Limiter("affinity")
    return Limiter("none") if limiter is None else limiter


def cpulimit_arguments(
    help_text: str, pid: int, percent: float, cores: int = os.cpu_count() or 1
) -> list[str] | None:
    """Arguments that the `cpulimit` with this help understands; None where it lacks one.

    `-p` attaches, so that the run stays in the tree that is measured. `-m` of 2.x limits every
    process by itself and `-i` of 0.x is refused by 2.x; a run is one process and needs neither.
    Both refuse more than all cores together.
    """
    if not all(option in help_text for option in ("--pid", "--limit", "--lazy")):
        return None
    return ["-p", str(pid), "-l", str(round(min(percent, 100 * cores))), "-z"]


def _attach_cpulimit(pid: int, percent: float) -> Limiter | None:
    program = shutil.which("cpulimit")
    arguments = None if program is None else cpulimit_arguments(_help(program), pid, percent)
    if program is None or arguments is None:
        return None
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDED, "cpulimit-guard", str(pid), program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # it prints as long as it lives
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(_SETTLE_SECONDS)
    except subprocess.TimeoutExpired:
        reap(process)
        return Limiter("cpulimit", process.pid)
    return None


def _help(program: str) -> str:
    """Both programs end with 1 after their help, and print it where they like."""
    try:
        answer = subprocess.run(
            [program, "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_HELP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace")


def _pin(pid: int, percent: float) -> bool:
    """Binds every thread of a process to as many cores as the percentage has whole ones.

    Any of the usable cores: jobs beside each other need not all sit on the first ones.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False  # macOS has no such call
    try:
        usable = sorted(os.sched_getaffinity(pid))
        cores = random.sample(usable, min(len(usable), max(1, math.floor(percent / 100))))
        os.sched_setaffinity(pid, cores)  # first: new threads inherit it from here
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)
    except OSError:
        return False
    return True


def reap(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process in the background, so that it leaves no zombie behind."""
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
