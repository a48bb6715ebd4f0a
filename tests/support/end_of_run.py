"""The guard of a run of the tests, as a program: it ends what the run has left.

Its standard input is a pipe from the main process. A byte says that the run was interrupted; its
end, that the main process is at its end, or dead.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from apps.common.processes import is_alive

MARK = "PYTEST_RUN_MARK"  # a variable that a run's processes have, those that lost their parent too
INTERRUPTED = b"!"
_GRACE_S = 4.0  # for the fixtures, after an interrupt
_END_S = 1.0  # between SIGTERM and SIGKILL
_KILLS_S = 10.0
_LOOK_S = 0.1


def guard(main: int, mark: str) -> None:
    """Waits for the end of the main process, or a moment after an interrupt, and ends the rest."""
    known: set[psutil.Process] = set()
    if os.read(0, 1) == INTERRUPTED:
        known = _of_run(main, mark)
        select.select([0], [], [], _GRACE_S)
    known |= _of_run(main, mark)
    for process in _alive(known):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + _END_S
    while _alive(known) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    deadline = time.monotonic() + _KILLS_S
    while (left := _alive(known | _of_run(main, mark))) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(_LOOK_S)


def _of_run(main: int, mark: str) -> set[psutil.Process]:
    """What the run has started, by mark and by parent.

    Redis writes its title over its variables, so it is known by its parent only, and what has lost
    its parent by its mark only.
    """
    found = {process for process in psutil.process_iter() if _mark(process) == mark}
    for parent in [*found, *_alive(_main(main))]:
        try:
            found.update(parent.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return {process for process in found if process.pid not in (main, os.getpid())}


def _main(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_alive(process)]


if __name__ == "__main__":
    guard(int(sys.argv[1]), sys.argv[2])
