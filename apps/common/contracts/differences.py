"""What two runs of one video have found differently: the answer of `GET …/differences`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from apps.common.contracts.base import Readable

Interval = Annotated[
    tuple[float, float], Field(description="Start and end, seconds on the player's clock.")
]


class OptionDifference(Readable):
    """An option that the two runs did not share. Sources are those of the manifests."""

    name: str
    a: Any
    b: Any
    source_a: str | None
    source_b: str | None


class FactDifference(Readable):
    """What ran or where, as far as it differs; null where a manifest does not tell."""

    name: str
    a: str | None
    b: str | None


class RunTotals(Readable):
    """What one of the runs has found."""

    run_id: str
    stride: int = Field(description="Each so many frames were processed.")
    faces: int
    tracks: int
    screen_s: float | None = Field(description="Seconds on the screen, of all tracks together.")
    screen_error_s: float | None = Field(description="Standard error of that, seconds.")
    with_faces_s: float = Field(
        description="Seconds of video with a face of a track: the share of the processed frames."
    )
    unreadable_rows: int = Field(description="Lines that were left out, of faces and of tracks.")


class MatchedTracks(Readable):
    """Tracks of the same face: one of each run, or more where a run has broken it up."""

    a: list[str]
    b: list[str]
    start_s: float = Field(description="First sighting of any of them, seconds.")
    end_s: float = Field(description="Last sighting of any of them.")
    moments: int = Field(description="Compared moments at which both have the face in one place.")
    overlap: float = Field(description="Mean intersection over union of the boxes there, 0..1.")
    a_s: float | None = Field(description="Seconds on the screen.")
    b_s: float | None
    difference_s: float | None = Field(description="Of b minus a.")
    error_s: float | None = Field(description="Standard error of the difference by sampling.")


class UnmatchedTrack(Readable):
    """A track that the other run has not."""

    track_id: str
    first_s: float
    last_s: float
    screen_s: float | None
    screen_error_s: float | None
    moments: int = Field(
        description="Compared moments at which it is there; 0: the other run has not looked then."
    )


class RunDifferences(Readable):
    """How run b differs from run a."""

    ep_id: str
    a: RunTotals
    b: RunTotals
    same_video: bool | None = Field(description="Null where a manifest does not tell.")
    compared_stride: int = Field(description="Frames from one compared moment to the next.")
    difference_s: float | None = Field(description="Seconds on the screen of b minus those of a.")
    error_s: float | None = Field(description="Standard error of that by sampling.")
    options: list[OptionDifference]
    facts: list[FactDifference]
    matched: list[MatchedTracks] = Field(description="Ordered by time, as are all lists below.")
    only_a: list[UnmatchedTrack]
    only_b: list[UnmatchedTrack]
    faces_only_a: list[Interval] = Field(description="Where only run a sees faces of tracks.")
    faces_only_b: list[Interval]
