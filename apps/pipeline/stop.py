"""Asks a run to stop, from a signal, a parent's death or a failed sibling thread."""

from __future__ import annotations

import copy
import threading

from apps.common.errors import RunCancelled, ScreenalyticsError


class StopFlag:
    """Set once, from any thread or signal handler; the first reason stays."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._why: ScreenalyticsError | None = None

    def stop(self, why: ScreenalyticsError) -> None:
        """Asks the work to stop.

        Args:
            why: how the run ends then.
        """
        if self._why is None:
            self._why = why
        self._event.set()

    @property
    def why(self) -> ScreenalyticsError | None:
        """How the run ends; None where it was not asked to stop."""
        return self._why

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleeps; True at once when the run is to stop."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Ends the work if it was asked to stop.

        Raises:
            ScreenalyticsError: the run is to stop; the reason that was given.
        """
        if self._why is not None:
            raise copy.copy(self._why)  # several threads may ask


def stopped(reason: str) -> RunCancelled:
    """The error of a run that was stopped from outside.

    Args:
        reason: half a sentence, e.g. "nobody reads its events".
    """
    return RunCancelled(f"The run was stopped: {reason}.")
