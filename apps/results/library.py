"""The library: every episode with what is known of it, without reading all of it every time.

What lies in files that do not change is remembered, in memory and in a file of the cache folder: a
run until its manifest changes, a video until its size or time does. A run's files are counted once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from apps.common.errors import ScreenalyticsError
from apps.common.files import entries_of, size_of
from apps.common.layout import Layout
from apps.common.library_schemas import (
    About,
    Library,
    LibraryDisk,
    LibraryEntry,
    LibraryOrder,
    LibraryQuery,
)
from apps.common.remote import RemoteVideo, noted_video
from apps.results.library_memory import KnownRun, KnownVideo, Memory, time_text
from apps.runs.about import about_episode
from apps.runs.episodes import list_episodes, video_files
from apps.runs.probe import VideoProbe
from apps.runs.trash_entries import in_trash

_CACHES_SECONDS = 10.0  # for so long the size of the caches is not looked up again


@dataclass(frozen=True)
class _Folder:
    """What an episode's folder held when it last changed."""

    path: Path
    changed: int
    video: Path | None
    other_bytes: int
    about: About
    stored: RemoteVideo | None  # in the storage, where it is not here

    @property
    def video_name(self) -> str | None:
        if self.video is not None:
            return self.video.name
        return None if self.stored is None else self.stored.name


@dataclass(frozen=True)
class _Found:
    """An episode as it is now."""

    ep_id: str
    folder: _Folder
    video_bytes: int
    added: int  # nanoseconds
    video_state: str
    facts: KnownVideo | None
    runs: dict[str, KnownRun]

    @property
    def newest(self) -> KnownRun | None:
        own = [run for run in self.runs.values() if run.is_own]
        return max(own, key=lambda run: run.started_at, default=None)

    @property
    def changed_at(self) -> str:
        newest = self.newest
        return max(time_text(self.added), "" if newest is None else newest.started_at)

    @property
    def disk_bytes(self) -> int:
        """What it takes, as far as it is counted."""
        return self.video_bytes + sum(run.size_bytes or 0 for run in self.runs.values())

    def entry(self) -> LibraryEntry:
        newest, facts, about = self.newest, self.facts, self.folder.about
        done = [run for run in self.runs.values() if run.is_own and run.is_completed]
        latest = max(done, key=lambda run: run.started_at, default=None)
        sizes = [run.size_bytes for run in self.runs.values() if run.size_bytes is not None]
        return LibraryEntry(
            ep_id=self.ep_id,
            title=about.title,
            pinned=about.pinned,
            added_at=time_text(self.added),
            changed_at=self.changed_at,
            video=self.folder.video_name,
            problem=None if facts is None else facts.problem,
            duration_s=None if facts is None else facts.duration_s,
            width=None if facts is None else facts.width,
            height=None if facts is None else facts.height,
            video_bytes=self.video_bytes,
            result_bytes=sum(sizes) if len(sizes) == len(self.runs) else None,
            runs=len(self.runs),
            latest_run_id=None if latest is None else latest.run_id,
            newest_run=None if newest is None else newest.run,
        )


class LibraryIndex:
    """Safe to share between threads.

    Args:
        layout: of the data root.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._memory = Memory(layout)
        self._folders: dict[str, _Folder] = {}
        self._caches: tuple[float, int] | None = None
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
            if one.facts is None and one.folder.video is not None:
                self._to_learn[one.ep_id] = (one.folder.video, one.video_state)
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

    def _find(self, query: LibraryQuery) -> tuple[Library, list[_Found]]:
        with self._scanning:
            self._memory.begin()
            names = list_episodes(self._layout)
            found = [self._look(ep_id) for ep_id in names]
            self._memory.keep_only(names)
            self._folders = {name: self._folders[name] for name in names}
            counted = self._memory.end()
            disk = self._disk(found, counted=counted)
        wanted = query.q.casefold()
        matching = [
            one
            for one in found
            if wanted in one.ep_id.casefold() or wanted in (one.folder.about.title or "").casefold()
        ]
        ordered = _ordered(matching, query.sort)
        page = ordered[query.offset : query.offset + query.limit]
        return Library(items=[one.entry() for one in page], total=len(ordered), disk=disk), page

    def _look(self, ep_id: str) -> _Found:
        folder = self._folder(ep_id)
        runs = self._memory.runs(ep_id)
        size, added, state = 0, 0, ""
        if folder.video is not None:
            with contextlib.suppress(OSError):  # it may go at any moment
                facts = os.stat(folder.video)  # noqa: PTH116
                size, added = facts.st_size, max(facts.st_mtime_ns, facts.st_ctime_ns)
                state = f"{facts.st_size}-{facts.st_mtime_ns}"
        elif runs:
            added = min(run.changed for run in runs.values())
        known = self._memory.video(ep_id, state) or _told_by(runs.values(), size, state)
        return _Found(ep_id, folder, size + folder.other_bytes, added, state, known, runs)

    def _folder(self, ep_id: str) -> _Folder:
        """What the episode's folder holds, read again when a name in it has changed."""
        known = self._folders.get(ep_id)
        path = self._layout.episode(ep_id) if known is None else known.path
        try:
            changed = os.stat(path).st_mtime_ns  # noqa: PTH116 - Path.stat costs twice as much
        except OSError:
            changed = 0
        if known is None or known.changed != changed:
            videos = video_files(path)
            video = videos[0] if videos else None
            others = sum(_size(other) for other in entries_of(path) if other != video)
            stored = noted_video(self._layout.remote_video(ep_id)) if video is None else None
            about = about_episode(self._layout, ep_id)
            known = _Folder(path, changed, video, others, about, stored)
            self._folders[ep_id] = known
        return known

    def _disk(self, found: list[_Found], *, counted: bool) -> LibraryDisk:
        root = self._layout.root
        usage = shutil.disk_usage(next(one for one in (root, *root.parents) if one.exists()))
        now = time.monotonic()
        if self._caches is None or now - self._caches[0] > _CACHES_SECONDS:
            self._caches = (now, size_of(self._layout.cache))
        runs = (run for one in found for run in one.runs.values())
        return LibraryDisk(
            free=usage.free,
            total=usage.total,
            videos=sum(one.video_bytes for one in found),
            results=sum(run.size_bytes or 0 for run in runs),
            trash=sum(entry.size_bytes for entry in in_trash(self._layout)),
            caches=self._caches[1],
            counted=counted,
        )


def _told_by(runs: Iterable[KnownRun], size: int, state: str) -> KnownVideo | None:
    """What a run has found in the video, where it is of this size still."""
    for run in runs:
        if size and run.video_bytes == size and run.duration_s is not None:
            return KnownVideo(
                state=state, duration_s=run.duration_s, width=run.width, height=run.height
            )
    return None


def _ordered(found: list[_Found], order: LibraryOrder) -> list[_Found]:
    """Pinned ones first, then as asked, and by name where that tells nothing."""
    found = sorted(found, key=lambda one: one.ep_id)
    if order == "title":
        found.sort(key=lambda one: (one.folder.about.title or one.ep_id).casefold())
    elif order == "duration":
        found.sort(key=lambda one: -(one.facts.duration_s or 0) if one.facts else 0)
    elif order == "size":
        found.sort(key=lambda one: -one.video_bytes)
    elif order == "disk":
        found.sort(key=lambda one: -one.disk_bytes)
    elif order == "changed":
        found.sort(key=lambda one: one.changed_at, reverse=True)
    else:
        found.sort(key=lambda one: one.added, reverse=True)
    return sorted(found, key=lambda one: not one.folder.about.pinned)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
