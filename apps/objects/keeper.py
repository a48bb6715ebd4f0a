"""What a server does about the storage beside requests: it looks, and it stores what is due."""

from __future__ import annotations

from dataclasses import dataclass

from apps.common.layout import Layout
from apps.common.repeater import Repeater
from apps.objects.index import Index
from apps.objects.mirror import Mirror
from apps.objects.outbox import due
from apps.objects.publish import Republisher

_STORE_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class StorageState:
    """How a storage stands.

    Args:
        problem: why it could not be looked at; empty where it could.
        waiting: runs that are to be stored.
    """

    problem: str
    waiting: int


class StorageKeeper:
    """Two threads, from `start` to `end`; none where no storage is set.

    Args:
        layout: of the data root.
        refresh_s: so often it looks what is new, seconds.
    """

    def __init__(self, layout: Layout, refresh_s: float) -> None:
        self._layout = layout
        self._index: Index | None = None
        self._threads: list[Repeater] = []
        if isinstance(layout.remote, Mirror):
            index = self._index = Index(layout, layout.remote)
            republisher = Republisher(layout, layout.remote.store)
            self._threads = [
                Repeater("storage-index", refresh_s, index.turn, at_once=True),
                Repeater("storage-outbox", _STORE_EVERY_SECONDS, republisher.turn, at_once=True),
            ]

    def state(self) -> StorageState | None:
        """How it stands; None where no storage is set."""
        if self._index is None:
            return None
        return StorageState(self._index.problem, len(due(self._layout)))

    def start(self) -> None:
        """Begins; each thread's first turn comes at once."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """No further turn; does not wait for one that is under way."""
        for thread in self._threads:
            thread.end()
