"""What people have corrected: lines of `people_corrections.jsonl` (`people_correction_v2`).

The file is only appended to. A correction names persons and tracks of the run that it was made in;
what finds these tracks again in another run of the episode stands with them.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field

from apps.common.contracts.base import Readable
from apps.common.contracts.rows import Seconds, Share
from apps.common.names import EpisodeId, PersonId, RunId, TrackId

CorrectionVersion = Literal["people_correction_v1", "people_correction_v2"]
CORRECTION_VERSIONS: tuple[CorrectionVersion, ...] = get_args(CorrectionVersion)
"""The second one has `decline` as well. Other lines are of the first, which older programs read."""
CorrectionAction = Literal["name", "merge", "move", "hide", "show", "decline", "undo"]
RunKey = tuple[str, str]
"""A run: its name, and when it was started."""
Revision = Annotated[int, Field(ge=1, le=10**9)]


class _Written(Readable):
    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_serialization_defaults_required=True
    )


class TrackMark(_Written):
    """What finds a track again in another run."""

    track_id: TrackId = Field(description="Its name in the run of the correction.")
    start_s: Seconds = Field(description="When it is seen first, seconds.")
    end_s: Seconds = Field(description="When it is seen last, seconds.")
    places: list[tuple[Seconds, Share, Share, Share, Share]] = Field(
        description="Where it is at some moments: seconds, left, top, right, bottom; the sides are "
        "parts of the picture's, 0..1."
    )
    embedding: str | None = Field(
        None,
        description="Its row of `embeddings.npz` as float16 in base64; null where it has none.",
    )
    model_id: str | None = Field(None, description="The network that the embedding is of.")


class PersonTracks(_Written):
    """A person as it was when it was corrected."""

    person_id: PersonId
    track_ids: list[TrackId]


class CorrectionRow(_Written):
    """A correction: a line of `people_corrections.jsonl` (`people_correction_v2`)."""

    revision: Revision = Field(description="Counts the episode's corrections, from 1.")
    at: str = Field(description="When it was made (UTC).")
    ep_id: EpisodeId = Field(description="The episode.")
    run_id: RunId = Field(description="The run that was looked at.")
    run_started_at: str = Field(
        "", description="When that run was started: another one may have got its name."
    )
    fingerprint: str | None = Field(
        None, description="Of the video that this run read; null where it does not tell."
    )
    action: CorrectionAction
    people: list[PersonTracks] = Field(
        [], description="The persons as they were; of a merge the one that stays comes first, of a "
        "move the one that gets the tracks."
    )  # fmt: skip
    track_ids: list[TrackId] = Field([], description="The tracks that were moved.")
    name: str | None = Field(
        None,
        description="The new name, null takes it away; of `decline` the name that it is not.",
    )
    made: PersonId | None = Field(None, description="The person that a move has made.")
    undoes: Revision | None = Field(None, description="The correction that was undone.")
    tracks: list[TrackMark] = Field(
        [], description="What finds the tracks again; of those that no line before tells of."
    )  # fmt: skip
    schema_version: CorrectionVersion = Field(
        "people_correction_v1", description="`people_correction_v2` of `decline`, else v1."
    )

    @property
    def run(self) -> RunKey:
        """The run that was looked at."""
        return (self.run_id, self.run_started_at)

    def line(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"
