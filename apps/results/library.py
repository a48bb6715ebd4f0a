"""The library: every episode with what is known of it, without reading all of it every time.

What lies in files that do not change is remembered, in memory and in a file of the cache folder: a
run until its manifest changes, a video until its size or time does, a folder until a name in it
does. A run's files are counted once.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path

from apps.common.errors import ScreenalyticsError
from apps.common.files import size_of
from apps.common.layout import Layout
from apps.common.library_schemas import Library, LibraryDisk, LibraryOrder, LibraryQuery
from apps.results.library_known import KnownVideo
from apps.results.library_memory import Memory, is_settled, stamp_of
from apps.results.library_scan import Found, Scan
from apps.runs.probe import VideoProbe
from apps.runs.trash_entries import in_trash

_CACHES_SECONDS = 10.0  # for so long the size of the caches is not looked up again
_CACHES_SHARE = 0.01  # of the time is spent at most with that


class LibraryIndex:
    """Safe to share between threads.

    Args:
        layout: of the data root.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._memory = Memory(layout)
        self._scan = Scan(layout, self._memory)
        self._caches: tuple[float, int] | None = None  # until when this is how large they are
        self._trash: tuple[int, int] | None = None  # what it holds since it changed so
        self._scanning = threading.Lock()
        self._learning: asyncio.Task[None] | None = None
        self._to_learn: dict[str, tuple[Path, str]] = {}

    async def find(self, query: LibraryQuery, probe: VideoProbe) -> Library:
        """The page that is asked for. Of its videos that nobody has looked at, facts are learnt.

        Args:
            probe: asks for these, in one process at a time, after the answer.
        """
        page, found = await asyncio.to_thread(self._find, query)
        for one in found:
            if one.facts is None and one.video is not None:
                self._to_learn[one.ep_id] = (Path(one.video), one.video_state)
        if self._to_learn and (self._learning is None or self._learning.done()):
            self._learning = asyncio.create_task(self._learn(probe))
        return page

    def stop(self) -> None:
        """Ends what is being learnt."""
        if self._learning is not None:
            self._learning.cancel()

    async def _learn(self, probe: VideoProbe) -> None:
        while self._to_learn:
            ep_id, (video, state) = self._to_learn.popitem()
            try:
                facts = await probe.facts(video)
                known = KnownVideo(
                    state=state,
                    duration_s=facts.duration_s,
                    width=facts.width,
                    height=facts.height,
                )
            except ScreenalyticsError as error:
                known = KnownVideo(state=state, problem=error.detail)
            self._memory.remember_video(ep_id, known)

    def _find(self, query: LibraryQuery) -> tuple[Library, list[Found]]:
        with self._scanning:
            found, counted = self._scan.look()
            ordered = _ordered(_matching(found, query.q.casefold()), query.sort)
            page = self._scan.again(ordered[query.offset : query.offset + query.limit])
            disk = self._disk(self._scan.all(), counted=counted)
        return Library(items=[one.entry for one in page], total=len(ordered), disk=disk), page

    def _disk(self, found: list[Found], *, counted: bool) -> LibraryDisk:
        root = self._layout.root
        usage = shutil.disk_usage(next(one for one in (root, *root.parents) if one.exists()))
        return LibraryDisk(
            free=usage.free,
            total=usage.total,
            videos=sum(one.video_bytes for one in found),
            results=sum(one.result_bytes for one in found),
            trash=self._trash_bytes(),
            caches=self._cache_bytes(),
            counted=counted,
        )

    def _cache_bytes(self) -> int:
        began = time.monotonic()
        if self._caches is None or began > self._caches[0]:
            size = size_of(self._layout.cache)
            now = time.monotonic()
            pause_s = max(_CACHES_SECONDS, (now - began) / _CACHES_SHARE)
            self._caches = (now + pause_s, size)
        return self._caches[1]

    def _trash_bytes(self) -> int:
        """What came and went changes its folder; what lies in it does not change."""
        looked, changed = time.time_ns(), stamp_of(str(self._layout.trash))
        if self._trash is not None and self._trash[0] == changed:
            return self._trash[1]
        size = sum(entry.size_bytes for entry in in_trash(self._layout))
        self._trash = (changed, size) if is_settled(changed, looked) else None
        return size


def _matching(found: list[Found], wanted: str) -> list[Found]:
    if not wanted:
        return found
    return [one for one in found if wanted in one.folded[0] or wanted in one.folded[1]]


def _ordered(found: list[Found], order: LibraryOrder) -> list[Found]:
    """Pinned ones first, then as asked, and by name, in whose order they come, else."""
    found = list(found)
    if order == "title":
        found.sort(key=lambda one: (one.folder.about.title or one.ep_id).casefold())
    elif order == "duration":
        found.sort(key=lambda one: -(one.facts.duration_s or 0) if one.facts else 0)
    elif order == "size":
        found.sort(key=lambda one: -one.video_bytes)
    elif order == "disk":
        found.sort(key=lambda one: -one.video_bytes - one.result_bytes)
    elif order == "changed":
        found.sort(key=lambda one: one.changed_at, reverse=True)
    else:
        found.sort(key=lambda one: one.added, reverse=True)
    return sorted(found, key=lambda one: not one.folder.about.pinned)
