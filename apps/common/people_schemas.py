"""Bodies of requests and answers about people and their corrections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.corrections import CorrectionAction
from apps.common.contracts.rows import PersonRow
from apps.common.library_schemas import Title
from apps.common.names import EpisodeId, PersonId, RunId, TrackId
from apps.common.schemas import PageQuery, QueryParameters, Rows

MAX_PEOPLE, MAX_TRACKS = 10_000, 100_000  # of one correction


class PeopleQuery(PageQuery):
    original: bool = Field(False, description="As the run wrote them, without corrections.")


class Correction(BaseModel):
    """A correction of the log."""

    revision: int
    at: str
    run_id: RunId = Field(description="The run that was looked at.")
    action: CorrectionAction
    person_ids: list[PersonId] = Field(description="In that run.")
    track_ids: list[TrackId] = Field(description="The tracks that were moved, in that run.")
    name: str | None
    made: PersonId | None = Field(description="The person that a move has made.")
    undoes: int | None
    undone: bool = Field(description="Whether a later one has undone it.")


class Corrections(BaseModel):
    """The log of an episode, the oldest first."""

    items: list[Correction]
    revision: int = Field(description="Of the newest; 0 where there is none.")
    damaged_lines: int = Field(description="Lines that could not be read, and are passed over.")


class Unmatched(BaseModel):
    """A correction that could not be applied to a run, or not all of it."""

    revision: int
    run_id: RunId = Field(description="The run that it was made in.")
    action: CorrectionAction
    person_ids: list[PersonId] = Field(description="Persons of that run that are not found.")
    track_ids: list[TrackId] = Field(description="Tracks of that run that are not found.")
    name: str | None
    reason: Literal["not_found", "partly_found", "not_alike"] = Field(
        description="`not_found`: none of it is in this run. `partly_found`: the rest was applied."
    )


class PeopleRows(Rows):
    """A page of people."""

    revision: int | None = Field(
        description="Of the newest correction, 0 where there is none; null with `original`."
    )
    unmatched: list[Unmatched] = Field(description="Corrections that do not fit this run.")
    damaged_lines: int = Field(description="Of the log, and passed over.")


class CorrectionRequest(BaseModel):
    """`POST …/people/corrections`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: int = Field(ge=0, le=10**9, description="The newest one that was seen.")
    action: CorrectionAction
    person_ids: Annotated[list[PersonId], Field(max_length=MAX_PEOPLE)] = []
    track_ids: Annotated[list[TrackId], Field(max_length=MAX_TRACKS)] = []
    name: Title | None = Field(None, description="One line; null or empty takes it away.")


class CorrectedRows(BaseModel):
    """All people of the run as they are now."""

    revision: int
    items: list[PersonRow]
    unmatched: list[Unmatched]
    damaged_lines: int


class SeenIn(BaseModel):
    """Where somebody is named."""

    ep_id: EpisodeId
    run_id: RunId
    person_id: PersonId
    track_id: TrackId = Field(description="A track whose picture shows the face.")


class Suggestion(BaseModel):
    """Who somebody without a name may be."""

    person_id: PersonId
    name: str
    likeness: float = Field(
        description="Mean cosine of the tracks of the two, in the episode that is nearest, "
        "of three or more the second one; of one person 0.93 and more, as a rule."
    )
    into: PersonId | None = Field(
        description="Who has the name in this run already, and is never seen together with this "
        "person: to be merged with."
    )
    seen_in: list[SeenIn] = Field(description="The most alike first.")


class Suggestions(BaseModel):
    """Names for the people of a run, until somebody confirms or declines them; kept nowhere."""

    show: str | None = Field(description="Null where neither name nor `show` of the episode tell.")
    revision: int = Field(description="Of the newest correction.")
    items: list[Suggestion] = Field(description="Who is on the screen longest first.")
    ep_ids: list[EpisodeId] = Field(description="Other episodes of the show with names.")
    other_model: list[EpisodeId] = Field(
        description="Of these, those whose faces were described by another network."
    )
    unreadable: list[EpisodeId] = Field(
        description="Episodes of the show whose log of corrections cannot be read."
    )
    described: bool = Field(
        description="Whether this run's faces are described: else none can be compared."
    )


class Forgotten(BaseModel):
    """What was removed of people."""

    ep_ids: list[str] = Field([], description="Episodes of which something was removed.")
    files: int = Field(0, description="That were removed or written again without them.")
    busy: list[str] = Field([], description="Episodes that stay as they are, since a run is on.")
    unreadable: list[str] = Field(
        [],
        description="Episodes that stay as they are, since their log of corrections, which knows "
        "the names, cannot be read.",
    )


class ForgetQuery(QueryParameters):
    name: Title | None = Field(None, min_length=1, description="Only of whoever is called so.")


class ForgetEverywhereQuery(ForgetQuery):
    everybody: bool = Field(False, description="Of all people; needed where no name is given.")
