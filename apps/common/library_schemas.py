"""Bodies of requests and answers about the library: what there is, its names, and the trash."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import RunStatus
from apps.common.live import EpisodeState
from apps.common.names import EpisodeId, RunId
from apps.common.schemas import PageQuery

TITLE_LENGTH = 200  # characters
_NOT_OF_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, line ends
LibraryOrder = Literal["newest", "changed", "title", "duration", "size", "disk"]
TrashKind = Literal["episode", "run"]


def _title(value: str) -> str:
    """A title as it is kept: one line, without spaces around it."""
    if any(unicodedata.category(character) in _NOT_OF_A_LINE for character in value):
        raise ValueError("A title is one line, without control characters")
    return value.strip()


Title = Annotated[str, Field(max_length=TITLE_LENGTH), AfterValidator(_title)]


class About(Readable):
    """`about.json` beside an episode's video, and in a run's folder: what people say of it."""

    title: Title | None = None
    pinned: bool = False
    show: Title | None = None


class RunChange(BaseModel):
    """`PATCH /episodes/{ep_id}/runs/{run_id}`: a field that is not there stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Title | None = Field(None, description="Free text; null or empty takes it away.")


class EpisodeChange(RunChange):
    """`PATCH /episodes/{ep_id}`: a field that is not there stays as it is."""

    pinned: bool = Field(False, description="Before all others in the library.")
    show: Title | None = Field(
        None,
        description="The show that it is of: who is named in one of its episodes is suggested in "
        "the others. Null or empty: what its name tells (`talk` of `talk-s01e02`).",
    )


class EpisodeNamed(About):
    """What is known by what name."""

    ep_id: EpisodeId


class RunNamed(BaseModel):
    ep_id: EpisodeId
    run_id: RunId
    title: str | None


class TrashEntry(BaseModel):
    """Something that was deleted and can be restored."""

    trash_id: str
    kind: TrashKind
    ep_id: str
    run_id: str | None = Field(description="Null of an episode.")
    title: str | None
    deleted_at: str
    undo_until: str = Field(description="It is removed for good some time after this.")
    frees_bytes: int = Field(description="Of video and results; free when it is removed for good.")


class Trash(BaseModel):
    """What was deleted, newest first."""

    items: list[TrashEntry]
    total: int
    size_bytes: int


class LibraryQuery(PageQuery):
    q: str = Field("", max_length=200, description="Part of the id or title; case is ignored.")
    sort: LibraryOrder = Field(
        "newest",
        description="`newest` (added last), `changed` (added or run last), `title`, `duration` "
        "(longest first), `size` (largest video first) or `disk` (most of the disk first, with "
        "results); pinned ones come first in any case.",
    )
    limit: int = Field(200, ge=1, le=1000, description="Most items of the answer.")


class LibraryRun(BaseModel):
    """An episode's newest run, those of comparisons aside."""

    run_id: str
    status: RunStatus
    started_at: str
    finished_at: str | None
    profile: str
    tracks: int | None
    screen_s: float | None


class LibraryEntry(BaseModel):
    """An episode in the library; what is not known yet is null."""

    ep_id: str
    title: str | None
    pinned: bool
    added_at: str
    changed_at: str = Field(description="When it was added or run last.")
    video: str | None = Field(description="Name of the video's file.")
    problem: str | None = Field(None, description="Why the video cannot be read.")
    duration_s: float | None
    width: int | None
    height: int | None
    video_bytes: int
    result_bytes: int | None = Field(description="Null until it is counted.")
    runs: int = Field(description="Those of comparisons are counted too.")
    latest_run_id: str | None = Field(description="The newest completed run.")
    newest_run: LibraryRun | None
    state: EpisodeState | None = Field(
        None, description="As `GET /events` tells it; null for one that came just now."
    )


class LibraryDisk(BaseModel):
    """Bytes on the disk of the data root."""

    free: int
    total: int
    videos: int
    results: int
    trash: int
    caches: int
    counted: bool = Field(description="False while some results are not counted yet; ask again.")


class Library(BaseModel):
    items: list[LibraryEntry]
    total: int = Field(description="All that match.")
    disk: LibraryDisk


class DemoEpisode(BaseModel):
    ep_id: str
