"""Something that is done every so often beside the main work: measuring, reporting, renewing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class HelperThread(threading.Thread):
    """A thread that looks after a run and does none of its work; the meter does not count it."""


class Repeater:
    """Calls an action in a thread of its own until the block ends; a context manager.

    Args:
        name: what the thread is called.
        interval_seconds: between two calls; the first comes after one interval.
        action: must not raise; an exception ends the repetition.
        at_once: the first call comes at the start.
    """

    def __init__(
        self,
        name: str,
        interval_seconds: float,
        action: Callable[[], object],
        *,
        at_once: bool = False,
    ) -> None:
        self._interval = interval_seconds
        self._wait = 0.0 if at_once else interval_seconds
        self._action = action
        self._ended = threading.Event()
        self._thread = HelperThread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Without a block: until `end`, or until the process ends."""
        self._thread.start()

    def end(self) -> None:
        """No further call; does not wait for one that is under way."""
        self._ended.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(self._wait):
            self._wait = self._interval
            self._action()
