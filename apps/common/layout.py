"""Where files lie under the data root (contract, section 4). Names only; nothing is read here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from apps.common.names import check_name, check_run_id, is_crop_name

if TYPE_CHECKING:
    from apps.common.remote import RemoteVideo


class _File:
    """A file of a run, or a folder of files, by its name in the run's folder.

    Args:
        name: there.
        is_result: it appears when the run has completed.
        is_optional: a completed run may be without it.
    """

    def __init__(self, name: str, *, is_result: bool = True, is_optional: bool = False) -> None:
        self.name = name
        self.is_result = is_result
        self.is_optional = is_optional

    def __get__(self, files: RunFiles, _: type[RunFiles]) -> Path:
        return files.folder / self.name


@dataclass(frozen=True)
class RunFiles:
    """The files of one run."""

    folder: Path

    manifest = _File("run.json", is_result=False)
    progress = _File("progress.json", is_result=False)
    log = _File("run.log", is_result=False)
    detections = _File("detections.jsonl")
    tracks = _File("tracks.jsonl")
    metrics = _File("track_metrics.json")
    crops = _File("crops", is_optional=True)
    thumbs = _File("thumbs", is_optional=True)
    people = _File("people.jsonl", is_optional=True)
    embeddings = _File("embeddings.npz", is_optional=True)
    preview = _File("preview.mp4", is_optional=True)

    @property
    def contact_sheet(self) -> Path:
        """A picture that `screenalytics contact-sheet` draws; no result."""
        return self.folder / "contact_sheet.jpg"

    @property
    def about(self) -> Path:
        """What people say of the run; no result."""
        return self.folder / ABOUT_NAME

    @property
    def restored(self) -> Path:
        """An empty file of a run that came back from the trash; no result."""
        return self.folder / "restored"

    @property
    def remote(self) -> Path:
        """An empty file of a run of which only the manifest is here; the rest is in the storage."""
        return self.folder / REMOTE_NAME

    @property
    def stored(self) -> Path:
        """The ETag of its record, of a run that is in the storage."""
        return self.folder / ".stored"

    @property
    def staging(self) -> Path:
        """Where results lie until they are complete; they are then renamed into `folder`."""
        return self.folder / ".partial"

    @property
    def staged(self) -> RunFiles:
        """The files of the staging folder."""
        return RunFiles(self.staging)

    def sample(self, name: str) -> Path | None:
        """A crop as a row of `tracks.jsonl` names it; None for what names none."""
        folder, _, crop = name.partition("/")
        return self.crops / crop if folder == self.crops.name and is_crop_name(crop) else None

    def artifacts(self) -> dict[str, Path]:
        """All files by what they are, whether they are there or not."""
        return {what: getattr(self, what) for what in _FILES}


@dataclass(frozen=True)
class LegacyJobFiles:
    """The files of one background job: its record, its spec, what it printed."""

    record: Path
    spec: Path
    output: Path


MANIFEST_NAME = RunFiles.__dict__["manifest"].name  # in a run's folder
ABOUT_NAME = "about.json"  # in an episode's folder, beside its video
REMOTE_NAME = ".remote"  # in the folder of a run, or of an episode as .remote.json
REPORT_NAME = "comparison.json"  # in a comparison's folder
PART = ".part"  # ends the name of an upload that has not arrived
DISCARDED = ".discarded-"  # begins the name of a staging folder that is being removed

_FILES = {what: file for what, file in vars(RunFiles).items() if isinstance(file, _File)}
RESULT_NAMES = tuple(file.name for file in _FILES.values() if file.is_result)
ALWAYS_WRITTEN = {
    file.name: 1 for file in _FILES.values() if file.is_result and not file.is_optional
}


KNOWN_VIDEO = "video.index"  # what the first part of a run has found out, beside it


def draft_of(part: Path, pid: int) -> Path:
    """A part of a run while a process writes it."""
    return part.with_name(f".{part.name}.{pid}.draft")


@dataclass(frozen=True)
class Layout:
    """Paths under one data root. Every name is checked before it becomes part of a path.

    Args:
        remote: the storage that has what is not here; None where there is none.
    """

    root: Path
    remote: Remote | None = field(default=None, compare=False, repr=False, kw_only=True)

    def inside(self, path: Path) -> Path | None:
        """Where a path leads; None for a link out of the root, wherever in the path it stands."""
        try:
            target = path.resolve()
            return target if target.is_relative_to(self.root.resolve()) else None
        except (OSError, RuntimeError):  # links in a circle
            return None

    def episode(self, ep_id: str) -> Path:
        return self.root / "videos" / check_name(ep_id)

    def about(self, ep_id: str) -> Path:
        """What people say of an episode: its title, and whether it is pinned."""
        return self.episode(ep_id) / ABOUT_NAME

    def remote_video(self, ep_id: str) -> Path:
        """What is noted of the episode's video in the storage."""
        return self.episode(ep_id) / f"{REMOTE_NAME}.json"

    def unpublished(self, ep_id: str, run_id: str) -> Path:
        """Notes that a run is to be stored, until it is."""
        return self.outbox / check_name(ep_id) / f"{check_run_id(run_id)}.json"

    def arriving(self, ep_id: str) -> Path:
        """Where runs lie that come from the storage, until they are complete."""
        return self.runs(ep_id) / ".arriving"

    def remote_lock(self, ep_id: str) -> Path:
        """Held by who brings something of an episode from the storage."""
        return self.locks / f".remote-{check_name(ep_id)}"

    def video_in_use(self, ep_id: str) -> Path:
        """Held by who needs the episode's video to stay."""
        return self.locks / f".video-{check_name(ep_id)}"

    def manifests(self, ep_id: str) -> Path:
        return self.all_manifests / check_name(ep_id)

    def latest(self, ep_id: str) -> Path:
        return self.manifests(ep_id) / "latest.json"

    def corrections(self, ep_id: str) -> Path:
        """What people have corrected of who is in an episode; no run's result."""
        return self.manifests(ep_id) / "people_corrections.jsonl"

    def corrections_lock(self, ep_id: str) -> Path:
        return self.locks / f"{check_name(ep_id)}.corrections"

    def pruned(self, ep_id: str) -> Path:
        """What went of the episode by itself; a line a run."""
        return self.manifests(ep_id) / "pruned.jsonl"

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

    def parts(self, job_id: str) -> Path:
        """Folder of the parts of a job's run, until they are put together."""
        return self.all_parts / check_name(job_id, "job_id")

    def part(self, job_id: str, number: int) -> Path:
        return self.parts(job_id) / f"{number}.part"

    def sent_parts(self, job_id: str, maker: str) -> Path:
        """Folder of who makes parts for another host, while they are on their way there."""
        return self.all_sent_parts / check_name(job_id, "job_id") / check_name(maker)

    @property
    def all_parts(self) -> Path:
        return self.root / ".parts"

    @property
    def all_sent_parts(self) -> Path:
        return self.all_parts / ".sent"

    def pictures(self, ep_id: str) -> Path:
        return self.cache / "pictures" / check_name(ep_id)

    def playable(self, ep_id: str) -> Path:
        """Folder of what is made of an episode's video for browsers."""
        return self.playables / check_name(ep_id)

    @property
    def playables(self) -> Path:
        return self.cache / "playable"

    @property
    def stills(self) -> Path:
        """Folder of pictures that are on their way to a client."""
        return self.cache / "stills"

    @property
    def locks(self) -> Path:
        return self.root / ".locks"

    def comparison(self, comparison_id: str) -> Path:
        return self.comparisons / check_name(comparison_id, "comparison_id")

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
    def outbox(self) -> Path:
        return self.root / ".outbox"

    @property
    def upload_lock(self) -> Path:
        return self.locks / ".uploads.lock"  # no episode's name begins with a dot

    @property
    def trash(self) -> Path:
        """What was deleted and can still be had back."""
        return self.root / "trash"

    @property
    def cache(self) -> Path:
        return self.root / ".cache"


Check = Callable[[], object]


class Remote(Protocol):
    """A storage. Most methods ask it, and may raise `StorageUnavailable`."""

    def bring_run(self, layout: Layout, ep_id: str, run_id: str) -> bool:
        """Brings a run's manifest here; False where the storage has no such run either."""

    def bring_results(self, layout: Layout, ep_id: str, run_id: str) -> None:
        """Brings all files of a run of which only the manifest is here."""

    def find_video(self, ep_id: str) -> RemoteVideo | None:
        """The episode's video there; None where there is none."""

    def has_equal_video(self, ep_id: str, path: Path) -> bool:
        """Whether the episode's video there has the fingerprint of a file (`fingerprint_of`)."""

    def bring_video(
        self, layout: Layout, ep_id: str, *, check: Check | None = None, hold: bool = False
    ) -> bool:
        """Brings the episode's video here; False where the storage has none.

        Args:
            check: called again and again; what it raises ends the work.
            hold: nobody removes it until this process ends.
        """

    def put_video(self, ep_id: str, path: Path, name: str) -> RemoteVideo:
        """Stores a video as that of an episode that has none.

        Raises:
            EpisodeExists: it has one there.
        """

    def hide(self, ep_id: str, run_id: str | None) -> None:
        """Has a run, or an episode with its video and all its runs, be gone for every host."""

    def show(self, ep_id: str, run_id: str | None) -> None:
        """Takes that back."""

    def changed(
        self, layout: Layout, ep_id: str, run_id: str | None = None, *, at_once: bool
    ) -> None:
        """Has files of a run stored again that have changed here, or of all of an episode.

        Args:
            at_once: unless the storage is away; else soon, and nothing is asked now.
        """

    def erase(self, ep_id: str, run_id: str | None) -> None:
        """Removes the objects of what was hidden."""
