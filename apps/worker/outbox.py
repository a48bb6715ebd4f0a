"""Has a worker's runs stored that could not be when they completed.

In a process of its own: the library of the storage has threads, and must not be loaded where Celery
forks its processes.
"""

from __future__ import annotations

import logging
import subprocess
import time

from apps.common.layout import Layout
from apps.common.python_module import python_module, same_code
from apps.objects.outbox import FRESH_SECONDS, due

LOOK_EVERY_SECONDS = 15.0
_MODULE = "apps.cli.storage"
_LONGEST_PAUSE = 600.0
_log = logging.getLogger("screenalytics.worker")


class OutboxKeeper:
    """Looks whether runs wait to be stored; less and less often where that fails.

    Args:
        layout: of the worker's data root.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._pause = 0.0  # seconds
        self._not_before = 0.0

    def turn(self) -> None:
        """Starts the process where there is something for it to do."""
        if time.monotonic() < self._not_before or not due(self._layout, FRESH_SECONDS):
            return
        command = [*python_module(_MODULE), "--data-root", str(self._layout.root)]
        try:
            done = subprocess.run(command, env=same_code(), capture_output=True, check=False)
        except OSError:
            _log.exception("runs that wait cannot be stored")
            return
        if done.returncode == 0:
            self._pause = 0.0
            return
        self._pause = min(_LONGEST_PAUSE, max(LOOK_EVERY_SECONDS, 2 * self._pause))
        self._not_before = time.monotonic() + self._pause
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        _log.warning("runs are not stored yet: %s", *why or ["no reason given"])
