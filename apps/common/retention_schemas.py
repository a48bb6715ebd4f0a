"""What is told of runs, and of the queue's records, that go by themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import RunStatus
from apps.common.names import EpisodeId, RunId
from apps.common.schemas import QueryParameters


class RetentionPolicy(BaseModel):
    """Which runs of an episode stay, and which jobs the queue remembers; null: all.

    Where `keep` and `keep_days` are given, a run goes only where both say so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: int | None = Field(
        None, ge=1, le=1_000_000, description="So many of the newest completed runs stay."
    )
    keep_days: float | None = Field(
        None, ge=0, le=36_600, description="Runs that ended within so many days stay."
    )
    keep_job_days: float | None = Field(
        None,
        ge=0,
        le=3_660,
        description="The queue remembers jobs and batches that ended within so many days.",
    )

    @property
    def is_on(self) -> bool:
        """Whether any run goes by it."""
        return self.keep is not None or self.keep_days is not None


class SurplusRun(Readable):
    """A run that a policy does not keep."""

    ep_id: EpisodeId
    run_id: RunId
    status: RunStatus
    started_at: str
    finished_at: str | None
    size_bytes: int
    why: str


class PrunedRun(SurplusRun):
    """A line of `pruned.jsonl`: a run that went to the trash by a policy."""

    pruned_at: str
    trash_id: str


class RunThatStays(BaseModel):
    """A run that should have gone."""

    ep_id: str
    run_id: str
    why: str


class RetentionQuery(QueryParameters):
    """Of `GET /retention`: a policy to try."""

    keep: int | None = Field(None, ge=1, le=1_000_000, description="As of a policy.")
    keep_days: float | None = Field(None, ge=0, le=36_600, description="As of a policy.")
    keep_job_days: float | None = Field(
        None, ge=0, le=3_660, description="As of a policy; else the operator's."
    )

    def in_place_of(self, usual: RetentionPolicy) -> RetentionPolicy:
        """What is to be tried; the operator's where nothing is."""
        given = self.model_dump(exclude_none=True)
        return (
            RetentionPolicy(**{"keep_job_days": usual.keep_job_days, **given}) if given else usual
        )


class QueueRecords(BaseModel):
    """Records of the queue in Redis: of jobs and batches that have ended, of workers that are gone.

    What waits or runs, a batch with such a job, and what a webhook is still to tell of stay.
    """

    jobs: int
    batches: int
    workers: int
    size_bytes: int = Field(description="What they take of Redis's memory.")
    redis_bytes: int | None = Field(description="All that Redis has in memory; null: not told.")
    problem: str | None = Field(description="Why Redis tells nothing; null where it does.")


class Retention(BaseModel):
    """`GET /retention`."""

    policy: RetentionPolicy
    items: list[SurplusRun] = Field(description="What goes next.")
    total: int
    size_bytes: int
    pruned: list[PrunedRun] = Field(description="What went last, the newest first; 100 at most.")
    queue: QueueRecords = Field(description="What goes next of the queue's records.")
    trash_hours: float = Field(description="For so long what goes can be restored.")


class Pruned(BaseModel):
    """`POST /retention`."""

    policy: RetentionPolicy
    pruned: list[PrunedRun]
    size_bytes: int
    stayed: list[RunThatStays]
    queue: QueueRecords = Field(description="What went of the queue's records, for good.")
    undo_until: str = Field(description="Until then the runs can be restored from the trash.")
