"""What the library remembers of runs and videos, across requests and across servers' lives."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from apps.common.errors import RunNotFound
from apps.common.files import files_in, read_json, write_atomic
from apps.common.layout import MANIFEST_NAME, Layout
from apps.common.names import is_run_name
from apps.results.library_known import (
    NO_RUNS,
    KnownFolder,
    KnownRun,
    KnownVideo,
    Remembered,
    known_run,
)
from apps.runs.store import read_manifest

_FILE = "library.json"
_VERSION = 2
_WRITING_SHARE = 0.02  # of the time is spent at most with writing down what is known
_SETTLED_NS = 2_000_000_000  # some file systems have steps of two seconds
_FILES_A_TURN = 20_000  # whose sizes are looked up for one request: a quarter of a second


@dataclass(frozen=True)
class _Place:
    """The folder of an episode's runs.

    Args:
        changed: when a name in it did, nanoseconds.
        is_settled: as of a folder.
        manifests: paths by run, whether they are there or not.
    """

    changed: int
    is_settled: bool
    manifests: tuple[tuple[str, str], ...]


class _File(Remembered):
    version: int
    folders: dict[str, KnownFolder]
    runs: dict[str, dict[str, KnownRun]]
    videos: dict[str, KnownVideo]


class Memory:
    """One scan at a time: `begin`, then the episodes, then `keep_only` and `end`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._runs: dict[str, dict[str, KnownRun]] = {}
        self._videos: dict[str, KnownVideo] = {}
        self._videos_lock = threading.Lock()
        self._learnt: set[str] = set()
        self._folders: dict[str, KnownFolder] = {}
        self._places: dict[str, str] = {}  # of an episode's runs; making a path costs as a look
        self._seen: dict[str, _Place] = {}
        self._is_read = False
        self._has_changed = False
        self._files_left = 0
        self._write_at = 0.0

    def begin(self) -> None:
        self._files_left = _FILES_A_TURN
        if not self._is_read:
            self._is_read = True
            self._read()

    def runs(self, ep_id: str) -> dict[str, KnownRun]:
        """The episode's runs as they are now."""
        before = self._runs.get(ep_id, NO_RUNS)
        found: dict[str, KnownRun] = {}
        for name, manifest in self._manifests(ep_id):
            changed = stamp_of(manifest)
            if changed:
                found[name] = self._run(ep_id, name, changed, before)
        if found == before:
            return before
        self._has_changed = True
        self._runs[ep_id] = found
        return found

    def _manifests(self, ep_id: str) -> tuple[tuple[str, str], ...]:
        """Names of run folders with the paths of their manifests, which may not be there."""
        folder = self._places.get(ep_id)
        if folder is None:
            folder = self._places[ep_id] = str(self._layout.runs(ep_id))
        changed, known = stamp_of(folder), self._seen.get(ep_id)
        if known is None or known.changed != changed or not known.is_settled:
            looked = time.time_ns()
            names = list[str]()
            with suppress(OSError), os.scandir(folder) as entries:
                names = [entry.name for entry in entries if is_run_name(entry.name)]
            manifests = tuple((name, f"{folder}/{name}/{MANIFEST_NAME}") for name in names)
            known = self._seen[ep_id] = _Place(changed, is_settled(changed, looked), manifests)
        return known.manifests

    def stamp_of_runs(self, ep_id: str) -> tuple[str | None, int] | None:
        """The folder of an episode's runs and when it changed; None where that does not tell all.

        It does where all of its runs have ended and are counted, after `runs` of the episode.
        """
        place, path = self._seen.get(ep_id), self._places.get(ep_id)
        if place is None or path is None:
            return None, 0
        runs = self._runs.get(ep_id, NO_RUNS)
        is_quiet = all(run.is_over and run.size_bytes is not None for run in runs.values())
        if not is_quiet or not place.is_settled or len(runs) < len(place.manifests):
            return None
        return path, place.changed

    def folder(self, ep_id: str) -> KnownFolder | None:
        """What is known of the episode's folder."""
        return self._folders.get(ep_id)

    def remember_folder(self, ep_id: str, known: KnownFolder) -> None:
        self._folders[ep_id] = known
        self._has_changed = True

    def video(self, ep_id: str, state: str) -> KnownVideo | None:
        """What is known of the video in this state."""
        known = self._videos.get(ep_id)
        return known if known is not None and known.state == state else None

    def learnt(self) -> set[str]:
        """Episodes of whose videos something was learnt since this was asked."""
        with self._videos_lock:
            learnt, self._learnt = self._learnt, set()
        return learnt

    def remember_video(self, ep_id: str, known: KnownVideo) -> None:
        with self._videos_lock:
            self._learnt.add(ep_id)
            self._videos[ep_id] = known
            self._has_changed = True

    def keep_only(self, names: Iterable[str]) -> None:
        """Forgets what there is no more."""
        kept = set(names)
        for ep_id in self._runs.keys() - kept:
            del self._runs[ep_id]
            self._has_changed = True
        for ep_id in self._folders.keys() - kept:
            del self._folders[ep_id]
            self._has_changed = True
        for ep_id in self._places.keys() - kept:
            del self._places[ep_id]
            self._seen.pop(ep_id, None)
        with self._videos_lock:
            for ep_id in self._videos.keys() - kept:
                del self._videos[ep_id]
                self._has_changed = True

    def end(self) -> bool:
        """Writes down what is new, now and then; whether all ended runs are counted."""
        began = time.monotonic()
        if self._has_changed and began >= self._write_at:
            self._has_changed = False
            self._write()
            took_s = time.monotonic() - began
            self._write_at = began + took_s / _WRITING_SHARE
        return self._files_left > 0

    def _run(self, ep_id: str, run_id: str, changed: int, before: dict[str, KnownRun]) -> KnownRun:
        known = before.get(run_id)
        if known is None or known.changed != changed or known.run is None or _is_on(known):
            known = self._look(ep_id, run_id, changed)
        if known.size_bytes is None and not _is_on(known) and self._files_left > 0:
            files = files_in(self._layout.run(ep_id, run_id).folder)
            self._files_left -= len(files)
            known = known.model_copy(update={"size_bytes": sum(_size(path) for path in files)})
        return known

    def _look(self, ep_id: str, run_id: str, changed: int) -> KnownRun:
        try:
            manifest = read_manifest(self._layout, ep_id, run_id)
        except RunNotFound:
            return KnownRun(run_id=run_id, changed=changed)
        return known_run(manifest, changed)

    def _read(self) -> None:
        body = read_json(self._layout.cache / _FILE)
        with suppress(ValidationError):
            if body is not None and body.get("version") == _VERSION:
                found = _File.model_validate(body)
                self._runs, self._videos = found.runs, found.videos
                self._folders = found.folders

    def _write(self) -> None:
        with self._videos_lock:
            known = _File(
                version=_VERSION, folders=self._folders, runs=self._runs, videos=self._videos
            )
            text = known.model_dump_json()
        with suppress(OSError):  # it is found out again
            self._layout.cache.mkdir(parents=True, exist_ok=True)
            write_atomic(self._layout.cache / _FILE, text.encode())


def _is_on(known: KnownRun) -> bool:
    return known.run is not None and known.run.status == "running"


def stamp_of(path: str) -> int:
    """When something was changed, nanoseconds; 0 where it is not there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a path of every run, for every request
    except OSError:
        return 0


def is_settled(changed: int, looked: int) -> bool:
    """Whether a later change shows in its time: the disk's clock goes in steps."""
    return looked - changed > _SETTLED_NS


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
