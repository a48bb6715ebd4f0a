"""Messages while something is loaded, and whether it may go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _silent(_: str) -> None:
    """Nobody listens."""


def _go_on() -> None:
    """Nobody stops it."""


@dataclass(frozen=True)
class LoadCallbacks:
    """Functions that are called while something is loaded, and may stop it.

    Args:
        say: takes a line for the run's log.
        check: raises where the run is to stop.
    """

    say: Callable[[str], None] = _silent
    check: Callable[[], None] = _go_on


NO_CALLBACKS = LoadCallbacks()
