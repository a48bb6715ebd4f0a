"""What a run tells while it works. Command line, events and tests each listen in their own way."""

from __future__ import annotations

from typing import Protocol

from apps.common.contracts.manifest import Progress


class Observer(Protocol):
    """Called from the run's main thread, and `progress` from its heartbeat thread too."""

    def started(self, frames_total: int) -> None:
        """The video is open; from here on the run is one."""
        ...

    def progress(self, progress: Progress) -> None: ...

    def log(self, level: str, message: str) -> None:
        """Tells a line of the log.

        Args:
            level: "info", "warning" or "error".
        """
        ...
