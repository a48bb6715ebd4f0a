"""A look at all episodes of a data root, which reads only what has changed since the last one.

An episode to which nothing has happened costs two questions, when its folders changed, and is the
same object as before, with all that was made of it. A file that is written in its place changes no
folder; so of those that are shown, and of some others in turn, each file is asked for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from apps.common.files import entries_of, folders_of
from apps.common.layout import Layout
from apps.common.library_schemas import LibraryEntry
from apps.common.names import is_name
from apps.common.remote import noted_video
from apps.results.library_known import NO_RUNS, KnownFolder, KnownRun, KnownVideo, time_text
from apps.results.library_memory import Memory, is_settled, stamp_of
from apps.runs.about import about_episode
from apps.runs.episodes import video_files
from apps.runs.store import has_runs

_Stamp = tuple[int, int, int]
_Stamps = tuple[str, int, str | None, int]
_WRITTEN_NS = 60_000_000_000  # a video that was written to since is asked for at each look
_IN_TURN = 500  # episodes whose files are asked for at each look, whatever their folders say


@dataclass(frozen=True)
class Found:
    """An episode as it is now.

    Args:
        video: its path, where it is here.
        video_stamp: bytes, and when it was written and changed, in nanoseconds; None without one.
        added: nanoseconds.
        video_state: tells the video from another in its place.
        stamps: paths of its folder and of that of its runs (None where there is none), with when
            they changed: while they do not, all is as it was. None where that is not enough, since
            something goes on.
    """

    ep_id: str
    folder: KnownFolder
    video: str | None
    video_stamp: _Stamp | None
    added: int
    video_state: str
    facts: KnownVideo | None
    runs: dict[str, KnownRun]
    stamps: _Stamps | None

    @cached_property
    def video_bytes(self) -> int:
        return self.folder.other_bytes + (0 if self.video_stamp is None else self.video_stamp[0])

    @cached_property
    def result_bytes(self) -> int:
        """Of its runs, as far as they are counted."""
        return sum(run.size_bytes or 0 for run in self.runs.values())

    @cached_property
    def newest(self) -> KnownRun | None:
        own = [run for run in self.runs.values() if run.is_own]
        return max(own, key=lambda run: run.started_at, default=None)

    @cached_property
    def changed_at(self) -> str:
        newest = self.newest
        return max(time_text(self.added), "" if newest is None else newest.started_at)

    @cached_property
    def folded(self) -> tuple[str, str]:
        """What is looked for in: its id and title, whatever their case."""
        return self.ep_id.casefold(), (self.folder.about.title or "").casefold()

    @cached_property
    def entry(self) -> LibraryEntry:
        """What is answered, without its state."""
        newest, facts, about = self.newest, self.facts, self.folder.about
        done = [run for run in self.runs.values() if run.is_own and run.is_completed]
        latest = max(done, key=lambda run: run.started_at, default=None)
        is_counted = all(run.size_bytes is not None for run in self.runs.values())
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
            result_bytes=self.result_bytes if is_counted else None,
            runs=len(self.runs),
            latest_run_id=None if latest is None else latest.run_id,
            newest_run=None if newest is None else newest.run,
        )


class Scan:
    """For one thread at a time.

    Args:
        layout: of the data root.
        memory: of runs, videos and folders.
    """

    def __init__(self, layout: Layout, memory: Memory) -> None:
        self._layout = layout
        self._memory = memory
        self._found: dict[str, Found] = {}
        self._turn = 0
        self._paths: dict[str, str] = {}  # of the folders; making one costs as a look

    def look(self) -> tuple[list[Found], bool]:
        """All episodes, in the order of their names; and whether all ended runs are counted."""
        self._memory.begin()
        in_turn = self._next_ones()
        uploaded = set(filter(is_name, folders_of(self._layout.videos)))
        ran = set(filter(is_name, folders_of(self._layout.all_manifests)))
        found = {}
        for ep_id in sorted(uploaded | ran):
            before = self._found.get(ep_id)
            if before is not None and before.stamps is not None and ep_id not in in_turn:
                folder, changed, place, place_changed = before.stamps
                if stamp_of(folder) == changed and (
                    ep_id not in ran if place is None else stamp_of(place) == place_changed
                ):
                    found[ep_id] = before
                    continue
            had_runs = before is not None and before.runs
            runs = self._memory.runs(ep_id) if ep_id in ran or had_runs else NO_RUNS
            if ep_id in uploaded or self._has_run(ep_id, runs):
                found[ep_id] = self._one(ep_id, runs)
        self._found = found
        self._paths = {ep_id: self._paths[ep_id] for ep_id in found}
        self._memory.keep_only(found)
        return list(found.values()), self._memory.end()

    def again(self, shown: list[Found]) -> list[Found]:
        """Those that are shown, each file of which was asked for now."""
        for one in shown:
            self._found[one.ep_id] = self._one(one.ep_id, self._memory.runs(one.ep_id))
        return [self._found[one.ep_id] for one in shown]

    def all(self) -> list[Found]:
        """All of the last look, with what was found since."""
        return list(self._found.values())

    def _next_ones(self) -> set[str]:
        """Episodes whose turn it is to be asked for each file."""
        names = list(self._found)
        first = self._turn if self._turn < len(names) else 0
        self._turn = first + _IN_TURN
        return {*names[first : self._turn], *self._memory.learnt()}

    def _has_run(self, ep_id: str, runs: dict[str, KnownRun]) -> bool:
        """As `apps.runs.store.has_runs`, which is asked where no manifest could be read."""
        return any(run.run is not None for run in runs.values()) or has_runs(self._layout, ep_id)

    def _one(self, ep_id: str, runs: dict[str, KnownRun]) -> Found:
        folder, before = self._folder(ep_id), self._found.get(ep_id)
        path = None if folder.video is None else f"{self._paths[ep_id]}/{folder.video}"
        stamp = None
        if path is not None:
            with contextlib.suppress(OSError):  # it may go at any moment
                facts = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much
                stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if (
            before is not None
            and before.folder is folder
            and before.runs is runs
            and before.video_stamp == stamp
            and before.stamps is not None
            and (before.facts is not None or path is None)
        ):
            return before
        added, state = 0, ""
        if stamp is not None:
            added, state = max(stamp[1:]), f"{stamp[0]}-{stamp[1]}"
        elif path is None and runs:
            added = min(run.changed for run in runs.values())
        size = 0 if stamp is None else stamp[0]
        known = self._memory.video(ep_id, state) or _told_by(runs.values(), size, state)
        stamps = self._stamps(ep_id, folder, stamp)
        return Found(ep_id, folder, path, stamp, added, state, known, runs, stamps)

    def _stamps(self, ep_id: str, folder: KnownFolder, video: _Stamp | None) -> _Stamps | None:
        of_runs = self._memory.stamp_of_runs(ep_id)
        is_written = video is not None and time.time_ns() - video[1] < _WRITTEN_NS
        if of_runs is None or is_written or not folder.is_settled:
            return None
        return self._paths[ep_id], folder.changed, *of_runs

    def _folder(self, ep_id: str) -> KnownFolder:
        """What the episode's folder holds, read again when a name in it has changed."""
        known, path = self._memory.folder(ep_id), self._paths.get(ep_id)
        if path is None:
            path = self._paths[ep_id] = str(self._layout.episode(ep_id))
            if known is not None and known.about_changed != self._about_changed(ep_id):
                known = None  # by hand, while no server was there
        changed = stamp_of(path)
        if known is None or known.changed != changed or not known.is_settled:
            read = self._read(ep_id, Path(path), changed)
            if read != known:
                known = read
                self._memory.remember_folder(ep_id, known)
        return known

    def _read(self, ep_id: str, folder: Path, changed: int) -> KnownFolder:
        looked, about_changed = time.time_ns(), self._about_changed(ep_id)
        videos = video_files(folder)
        video = videos[0] if videos else None
        return KnownFolder(
            changed=changed,
            is_settled=is_settled(changed, looked),
            video=None if video is None else video.name,
            other_bytes=sum(_size(other) for other in entries_of(folder) if other != video),
            about=about_episode(self._layout, ep_id),
            about_changed=about_changed,
            stored=noted_video(self._layout.remote_video(ep_id)) if video is None else None,
        )

    def _about_changed(self, ep_id: str) -> int:
        return stamp_of(str(self._layout.about(ep_id)))


def _told_by(runs: Iterable[KnownRun], size: int, state: str) -> KnownVideo | None:
    """What a run has found in the video, where it is of this size still."""
    for run in runs:
        if size and run.video_bytes == size and run.duration_s is not None:
            return KnownVideo(
                state=state, duration_s=run.duration_s, width=run.width, height=run.height
            )
    return None


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
