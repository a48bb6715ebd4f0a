"""Asks a run to stop, from a signal, a parent's death or a failed sibling thread."""

from __future__ import annotations

import threading

from apps.common.errors import RunCancelled


class StopFlag:
    """Set once, from any thread or signal handler; the first reason stays."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: str | None = None

    def stop(self, reason: str) -> None:
        """Args:
        reason: half a sentence, e.g. "the client went away".
        """
        if self._reason is None:
            self._reason = reason
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleeps; True at once when the run is to stop."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raises:
        RunCancelled: the run is to stop.
        """
        if self._event.is_set():
            raise RunCancelled(f"The run was stopped: {self._reason}.")
