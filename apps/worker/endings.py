"""How a delivery ends that does not end its job, and how a process says that it failed."""

from __future__ import annotations

from typing import Any

from apps.common.contracts.events import ErrorEvent
from apps.common.errors import (
    PartDamaged,
    PartRefused,
    ScreenalyticsError,
    StorageUnavailable,
    from_dict,
)


class WorkerStops(Exception):
    """The job is to be done by another worker."""


class Reported(ScreenalyticsError):
    """A failure that a run's process has described itself.

    Args:
        event: its last one.
    """

    slug = "reported"

    def __init__(self, event: Any) -> None:
        if not isinstance(event, ErrorEvent):
            raise RuntimeError("a run ends with a result or an error")
        super().__init__(event.detail, hint=event.hint)
        self.problem = event.problem
        self.error = from_dict(event.problem)

    def to_dict(self) -> dict[str, Any]:
        return self.problem

    @property
    def was_killed(self) -> bool:
        """From outside, as by the system."""
        return int(self.problem.get("run_exit_code", 0)) < 0

    @property
    def lacks_storage(self) -> bool:
        """It could not begin: the run's video could not be had."""
        return isinstance(self.error, StorageUnavailable)

    @property
    def is_about_parts(self) -> bool:
        return isinstance(self.error, PartDamaged | PartRefused)
