"""What the library remembers: facts of runs, of videos, and of what lies in a folder."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from apps.common.contracts.manifest import RunManifest
from apps.common.library_schemas import About, LibraryRun
from apps.common.names import is_comparison_run
from apps.common.remote import RemoteVideo


class Remembered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownVideo(Remembered):
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


class KnownRun(Remembered):
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
    def is_over(self) -> bool:
        return self.run is not None and self.run.status in ("completed", "failed", "cancelled")

    @property
    def started_at(self) -> str:
        return "" if self.run is None else self.run.started_at


class KnownFolder(Remembered):
    """What an episode's folder held when it last changed.

    Args:
        changed: when that was, nanoseconds.
        is_settled: that was long enough before the look that a later change has another time.
        video: name of the episode's video.
        other_bytes: of all other files.
        about_changed: when `about.json` was; 0 where there is none.
        stored: the video in the storage, where it is not here.
    """

    changed: int
    is_settled: bool
    video: str | None
    other_bytes: int
    about: About
    about_changed: int
    stored: RemoteVideo | None

    @property
    def video_name(self) -> str | None:
        if self.video is not None:
            return self.video
        return None if self.stored is None else self.stored.name


NO_RUNS: dict[str, KnownRun] = {}
"""Those of an episode that has none; nobody changes it."""


def time_text(nanoseconds: int) -> str:
    """As times stand in manifests."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def known_run(manifest: RunManifest, changed: int) -> KnownRun:
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
