"""What is told of runs that go by themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import RunStatus
from apps.common.names import EpisodeId, RunId


class RetentionPolicy(BaseModel):
    """Which runs of an episode stay; where both are null, all do.

    Where both are given, a run goes only where both say so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: int | None = Field(
        None, ge=1, le=1_000_000, description="So many of the newest completed runs stay."
    )
    keep_days: float | None = Field(
        None, ge=0, le=36_600, description="Runs that ended within so many days stay."
    )

    @property
    def is_on(self) -> bool:
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


class Retention(BaseModel):
    """`GET /retention`."""

    policy: RetentionPolicy
    items: list[SurplusRun] = Field(description="What goes next.")
    total: int
    size_bytes: int
    pruned: list[PrunedRun] = Field(description="What went last, the newest first; 100 at most.")


class Pruned(BaseModel):
    """`POST /retention`."""

    policy: RetentionPolicy
    pruned: list[PrunedRun]
    size_bytes: int
    stayed: list[RunThatStays]
