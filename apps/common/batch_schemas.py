"""Bodies of requests and answers about batches: many episodes in one request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from apps.common.names import BatchId, EpisodeId
from apps.common.options import RunRequest
from apps.common.schemas import Segments, TimeoutSeconds

MAX_EPISODES = 1000  # of one batch

Priority = Literal["normal", "low"]
"""Jobs of low priority wait until none of normal priority does."""
BatchState = Literal["active", "success", "failed", "cancelled"]
ImportOutcome = Literal["imported", "already_there", "later", "refused"]
ImportWay = Literal["linked", "copied"]
EpisodeState = Literal[
    "queued", "in_progress", "retrying", "success", "failed", "cancelled", "refused"
]


class BatchRequest(RunRequest):
    """`POST /celery_jobs/detect_track/batch`."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"pattern": "demo-s01e*", "stride": 6}},
    )

    episodes: Annotated[list[EpisodeId], Field(min_length=1, max_length=MAX_EPISODES)] | None = (
        Field(None, description="Names of the episodes.")
    )
    pattern: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Or all whose names match: `*` for any text, `?` for a character, `[ab]`.",
    )
    folder: str | None = Field(
        None,
        max_length=1000,
        description="Or the new videos of a folder of the server, which become episodes first: a "
        "path below SCREENALYTICS_IMPORT_FOLDER, empty or `.` for that one itself.",
    )
    priority: Priority = Field(
        "low", description="`low`: whoever waits for one episode goes first."
    )
    segments: Segments = "auto"
    timeout_s: TimeoutSeconds = None

    @model_validator(mode="after")
    def _names_episodes_in_one_way(self) -> Self:
        if [self.episodes, self.pattern, self.folder].count(None) != 2:
            raise PydanticCustomError(
                "which_episodes", "Name `episodes`, or a `pattern` of them, or a `folder`"
            )
        if self.episodes is not None and len(set(self.episodes)) < len(self.episodes):
            raise PydanticCustomError("twice", "`episodes` has one twice")
        return self


class BatchEpisode(BaseModel):
    """An episode of a batch."""

    ep_id: EpisodeId
    job_id: str | None = Field(description="`GET /celery_jobs/{job_id}` tells all of it.")
    run_id: str | None
    state: EpisodeState = Field(description="`refused`: it could not be queued; see `error`.")
    progress: float = Field(description="How much of its frames is done, 0..1.")
    error: dict[str, Any] | None = Field(description="The problem of one that has no result.")


class BatchSummary(BaseModel):
    """A batch as a whole."""

    batch_id: BatchId
    created_at: str
    priority: Priority
    state: BatchState = Field(
        description="`active` until the last one has ended; then `failed` where one was refused or "
        "has failed, else `cancelled` where one was, else `success`."
    )
    total: int = Field(description="Episodes.")
    counts: dict[EpisodeState, int] = Field(description="Episodes by state; those that there are.")
    progress: float = Field(description="Mean of the episodes, 0..1; an ended one counts as done.")
    eta_sec: float | None = Field(
        description="At the pace of the episodes so far; null while none tells it."
    )


class BatchStatus(BatchSummary):
    """A batch with its episodes."""

    items: list[BatchEpisode] = Field(description="In the order in which they were asked for.")


class FolderFile(BaseModel):
    """A video file of a folder that was to be imported."""

    file: str
    ep_id: EpisodeId
    outcome: ImportOutcome = Field(
        description="`already_there`: the episode has this video; `later`: it is still being "
        "written, or there were too many; `refused`: see `why`."
    )
    way: ImportWay | None = Field(description="How it was imported; null where it was not.")
    why: str | None = Field(description="Why it is not an episode; null where it is.")


class FolderImport(BaseModel):
    """What became of a folder's files."""

    folder: str
    files: list[FolderFile] = Field(description="By name.")
    counts: dict[ImportOutcome, int] = Field(description="Files by outcome; those there are.")


class ImportProgress(BaseModel):
    """How far the import of a folder is."""

    folder: str = Field(description="As it was asked for.")
    file: str | None = Field(description="The one that is being imported.")
    files_done: int = Field(description="Whatever became of them.")
    files_total: int = Field(description="New ones; 0 until that is known.")
    bytes_done: int
    bytes_total: int
    elapsed_sec: float
    eta_sec: float | None = Field(description="At the pace so far; null while none tells it.")


class ImportsStatus(BaseModel):
    """Whether a folder is being imported."""

    running: ImportProgress | None = Field(description="null where none is.")


class ImportedBatch(BatchStatus):
    """The answer where a `folder` was asked for."""

    imports: FolderImport


class NothingToQueue(BaseModel):
    """The answer where a `folder` has nothing new: there is no batch."""

    batch_id: None = None
    total: Literal[0] = 0
    items: list[BatchEpisode] = Field([], max_length=0)
    imports: FolderImport


class Batches(BaseModel):
    """Batches, the newest first."""

    items: list[BatchSummary]
    total: int
    queue_problem: str | None = Field(description="Why none can be told; null where they are.")
