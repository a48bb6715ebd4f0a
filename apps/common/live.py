"""What is told while it changes: the state of each episode, and of the server itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.manifest import ExecutionMode, Progress
from apps.common.names import EpisodeId
from apps.common.schemas import QueryParameters, Version

EpisodeStateName = Literal["never_run", "queued", "running", "done", "stale", "failed", "cancelled"]


class EpisodeState(BaseModel):
    """An episode's run that is under way, else how its newest one ended."""

    model_config = ConfigDict(frozen=True)

    ep_id: str
    state: EpisodeStateName = Field(
        description="`stale`: done, and the video is no longer the one that the newest result was "
        "made of. `failed` stands for a run that was killed, too."
    )
    run_id: str | None = Field(description="The run that `state` is about.")
    job_id: str | None = Field(None, description="Of the queue; null for any other run.")
    execution_mode: ExecutionMode | None = None
    ahead: int | None = Field(None, description="Unfinished ones that came before, where it waits.")
    progress: float | None = Field(
        None, description="0..1, of a run that knows how long its video is."
    )
    eta_sec: float | None = None
    report: Progress | None = Field(None, description="What the run has reported last.")
    latest_run_id: str | None = Field(
        description="The newest completed run, those of comparisons left out."
    )
    runs: int = Field(description="How many there are, those of comparisons left out.")
    title: str | None = Field(None, description="Beside the id, which never changes.")
    pinned: bool = False
    updated: str | None = Field(description="Since when `state` is so.")


class ServerState(Version):
    """The server's code, and whether it knows the queue."""

    model_config = ConfigDict(frozen=True)

    queue_problem: str | None = Field(None, description="Why the queue's jobs are not known.")
    workers: int | None = Field(None, description="How many listen to the queue; null: not known.")
    worker_names: list[str] = Field([], description="Theirs, in order.")


class EpisodeStates(BaseModel):
    """All of it: the first event of `GET /events`."""

    server: ServerState
    items: list[EpisodeState]


class StatesQuery(QueryParameters):
    ep_id: EpisodeId | None = Field(None, description="Only this episode.")


class EpisodeRemoved(BaseModel):
    """An episode that is no longer there."""

    ep_id: str
