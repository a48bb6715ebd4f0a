"""What was read of runs lately, so that it is not read again for each question."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from apps.common.layout import Layout

if TYPE_CHECKING:  # with NumPy
    from apps.people.matching import Matches
    from apps.people.member import Member
    from apps.people.run_tracks import RunTracks

V = TypeVar("V")
_TRACKS, _MATCHES = 3, 12  # of runs: one of 5,000 tracks with 250,000 faces has 14 MB
_CASTS = 1000  # of episodes: a name has half a kilobyte


class Memory(Generic[V]):
    """The things that were asked for last. Any number of threads may ask at once.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._known: OrderedDict[Hashable, V] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], V]) -> V:
        """What has this key; it is made by the first who asks."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key]
            try:
                found = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:
                self._known[key] = found
                self._making.pop(key, None)
                while len(self._known) > self._kept:
                    self._known.popitem(last=False)
            return found


class Shows:
    """Of which show each episode is, as long as what was said of it is the same file.

    Any number of threads may ask at once. An episode costs some hundred bytes, so all are kept.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def of(self, ep_id: str, path: str, find: Callable[[], str]) -> str:
        """The show's key; found out where the file is another one than before."""
        state = _state_of(path)  # before it is read: it may change
        before = self._known.get(ep_id)
        if before is not None and before[0] == state:
            return before[1]
        found = find()
        self._known[ep_id] = (state, found)
        return found


class Known:
    """Tracks of runs, which of them stand for those of other runs, and who is named in them."""

    def __init__(self) -> None:
        self.tracks: Memory[RunTracks] = Memory(_TRACKS)
        self.matches: Memory[Matches] = Memory(_MATCHES)
        self.casts: Memory[tuple[Member, ...]] = Memory(_CASTS)
        self.shows = Shows()


def states_of(layout: Layout, *paths: Path) -> tuple[Hashable, ...]:
    """Which contents some files have: others are told by their inode, time or size."""
    return tuple((str(path), *_state(layout.inside(path))) for path in paths)


def _state(path: Path | None) -> tuple[int, ...]:
    return () if path is None else _state_of(os.fspath(path))


def _state_of(path: str) -> tuple[int, ...]:
    try:
        facts = os.stat(path)  # noqa: PTH116 - of all episodes of a library
    except OSError:
        return ()
    return (facts.st_ino, facts.st_mtime_ns, facts.st_size)
