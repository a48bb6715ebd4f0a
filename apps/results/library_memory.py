"""What the library remembers of runs and videos, across requests and across servers' lives."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.contracts.manifest import RunManifest
from apps.common.errors import RunNotFound
from apps.common.files import files_in, read_json, write_atomic
from apps.common.layout import MANIFEST_NAME, Layout
from apps.common.library_schemas import LibraryRun
from apps.common.names import is_comparison_run, is_run_name
from apps.runs.store import read_manifest

_FILE = "library.json"
_VERSION = 1
_FILES_A_TURN = 20_000  # whose sizes are looked up for one request: a quarter of a second


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownVideo(_Known):
    """Facts of a video.

    Args:
        state: tells the video from another in its place.
        problem: why it cannot be read.
    """

    state: str
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    problem: str | None = None


class KnownRun(_Known):
    """Facts of a run.

    Args:
        changed: when its manifest did, nanoseconds.
        run: None where the manifest cannot be read.
        size_bytes: of all its files; None until they are counted.
        video_bytes, duration_s, width, height: of the video that it read.
    """

    run_id: str
    changed: int
    run: LibraryRun | None = None
    size_bytes: int | None = None
    video_bytes: int | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is a run of the episode's, not one of a comparison."""
        return self.run is not None and not is_comparison_run(self.run_id)

    @property
    def is_completed(self) -> bool:
        return self.run is not None and self.run.status == "completed"

    @property
    def started_at(self) -> str:
        return "" if self.run is None else self.run.started_at


class _File(_Known):
    version: int
    runs: dict[str, dict[str, KnownRun]]
    videos: dict[str, KnownVideo]


class Memory:
    """One scan at a time: `begin`, then the episodes, then `keep_only` and `end`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._runs: dict[str, dict[str, KnownRun]] = {}
        self._videos: dict[str, KnownVideo] = {}
        self._videos_lock = threading.Lock()
        self._folders: dict[str, str] = {}  # of an episode's runs; making a path costs as a look
        self._is_read = False
        self._has_changed = False
        self._files_left = 0

    def begin(self) -> None:
        self._files_left = _FILES_A_TURN
        if not self._is_read:
            self._is_read = True
            self._read()

    def runs(self, ep_id: str) -> dict[str, KnownRun]:
        """The episode's runs as they are now."""
        before = self._runs.get(ep_id, {})
        found: dict[str, KnownRun] = {}
        place = self._folders.get(ep_id)
        if place is None:
            place = self._folders[ep_id] = str(self._layout.runs(ep_id))
        with suppress(OSError), os.scandir(place) as folders:
            for folder in folders:
                changed = _changed(f"{folder.path}/{MANIFEST_NAME}")
                if changed and is_run_name(folder.name):
                    found[folder.name] = self._run(ep_id, folder.name, changed, before)
        if found != before:
            self._has_changed = True
            self._runs[ep_id] = found
        return found

    def video(self, ep_id: str, state: str) -> KnownVideo | None:
        """What is known of the video in this state."""
        known = self._videos.get(ep_id)
        return known if known is not None and known.state == state else None

    def remember_video(self, ep_id: str, known: KnownVideo) -> None:
        with self._videos_lock:
            self._videos[ep_id] = known
            self._has_changed = True

    def keep_only(self, names: Iterable[str]) -> None:
        """Forgets what there is no more."""
        kept = set(names)
        for ep_id in self._runs.keys() - kept:
            del self._runs[ep_id]
            self._has_changed = True
        self._folders = {ep_id: self._folders[ep_id] for ep_id in kept & self._folders.keys()}
        with self._videos_lock:
            for ep_id in self._videos.keys() - kept:
                del self._videos[ep_id]
                self._has_changed = True

    def end(self) -> bool:
        """Writes down what is new; whether all ended runs are counted."""
        if self._has_changed:
            self._has_changed = False
            self._write()
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
        return _known(manifest, changed)

    def _read(self) -> None:
        body = read_json(self._layout.cache / _FILE)
        with suppress(ValidationError):
            if body is not None and body.get("version") == _VERSION:
                found = _File.model_validate(body)
                self._runs, self._videos = found.runs, found.videos

    def _write(self) -> None:
        with self._videos_lock:
            text = _File(version=_VERSION, runs=self._runs, videos=self._videos).model_dump_json()
        with suppress(OSError):  # it is found out again
            self._layout.cache.mkdir(parents=True, exist_ok=True)
            write_atomic(self._layout.cache / _FILE, text.encode())


def time_text(nanoseconds: int) -> str:
    """As times stand in manifests."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def _known(manifest: RunManifest, changed: int) -> KnownRun:
    result, video = manifest.result, manifest.video
    run = LibraryRun(
        run_id=manifest.run_id,
        status=manifest.status,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        profile=manifest.options.profile,
        tracks=None if result is None else result.tracks,
        screen_s=None if result is None else result.screen_s,
    )
    return KnownRun(
        run_id=manifest.run_id,
        changed=changed,
        run=run,
        video_bytes=None if manifest.video_file is None else manifest.video_file.size_bytes,
        duration_s=None if video is None else video.duration_s,
        width=None if video is None else video.width,
        height=None if video is None else video.height,
    )


def _is_on(known: KnownRun) -> bool:
    return known.run is not None and known.run.status == "running"


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a path of every run, for every request
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
