"""Where files lie under the data root (contract, section 4). Names only; nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.common.names import check_name, check_run_id


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    `staging` holds results until they are complete; they are then renamed into `folder`.
    """

    folder: Path

    @property
    def staging(self) -> Path:
        return self.folder / ".partial"

    @property
    def manifest(self) -> Path:
        return self.folder / "run.json"

    @property
    def progress(self) -> Path:
        return self.folder / "progress.json"

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    @property
    def detections(self) -> Path:
        return self.folder / "detections.jsonl"

    @property
    def tracks(self) -> Path:
        return self.folder / "tracks.jsonl"

    @property
    def metrics(self) -> Path:
        return self.folder / "track_metrics.json"

    @property
    def crops(self) -> Path:
        return self.folder / "crops"

    @property
    def thumbs(self) -> Path:
        return self.folder / "thumbs"

    @property
    def preview(self) -> Path:
        return self.folder / "preview.mp4"


@dataclass(frozen=True)
class LegacyJobFiles:
    """The files of one background job: its record, what it was told, what it printed."""

    record: Path
    spec: Path
    output: Path


PART = ".part"  # ends the name of an upload that has not arrived
DISCARDED = ".discarded-"  # begins the name of a staging folder that is being removed

RESULT_NAMES = (
    "detections.jsonl",
    "tracks.jsonl",
    "track_metrics.json",
    "crops",
    "thumbs",
    "preview.mp4",
)


@dataclass(frozen=True)
class Layout:
    """Paths under one data root. Every name is checked before it becomes part of a path."""

    root: Path

    def contains(self, path: Path) -> bool:
        """False for a link that leads out of the root, wherever in the path it stands."""
        try:
            return path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # links in a circle
            return False

    def episode(self, ep_id: str) -> Path:
        return self.root / "videos" / check_name(ep_id)

    def manifests(self, ep_id: str) -> Path:
        return self.all_manifests / check_name(ep_id)

    def latest(self, ep_id: str) -> Path:
        return self.manifests(ep_id) / "latest.json"

    def runs(self, ep_id: str) -> Path:
        return self.manifests(ep_id) / "runs"

    def run(self, ep_id: str, run_id: str) -> RunFiles:
        return RunFiles(self.runs(ep_id) / check_run_id(run_id))

    def lock(self, ep_id: str) -> Path:
        return self.locks / f"{check_name(ep_id)}.lock"

    def shown_lock(self, ep_id: str) -> Path:
        return self.locks / f"{check_name(ep_id)}.held"

    def holder(self, ep_id: str) -> Path:
        return self.locks / f"{check_name(ep_id)}.json"

    def job(self, job_id: str) -> LegacyJobFiles:
        name = check_name(job_id, "job_id")
        return LegacyJobFiles(
            *(self.jobs / f"{name}.{kind}" for kind in ("json", "spec", "ndjson"))
        )

    def pictures(self, ep_id: str) -> Path:
        return self.cache / "pictures" / check_name(ep_id)

    @property
    def locks(self) -> Path:
        return self.root / ".locks"

    @property
    def comparisons(self) -> Path:
        return self.root / "comparisons"

    @property
    def jobs(self) -> Path:
        return self.root / ".jobs"

    @property
    def all_manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def uploads(self) -> Path:
        return self.root / ".uploads"

    @property
    def upload_lock(self) -> Path:
        return self.locks / ".uploads.lock"  # no episode's name begins with a dot

    @property
    def cache(self) -> Path:
        return self.root / ".cache"
