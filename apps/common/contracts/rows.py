"""Lines of `detections.jsonl` (`det_v1`) and `tracks.jsonl` (`track_v1`), a JSON object each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic import ValidatorFunctionWrapHandler as Validate
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import TrackEnd
from apps.common.files import Opener, open_regular
from apps.common.names import PersonId, TrackId

MAX_BEST_FACES = 5  # of a person

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
FrameIndex = Annotated[int, Field(ge=0, le=10**12)]
Point = tuple[Share | None, Share | None]
M = TypeVar("M", bound=BaseModel)


class _Row(Readable):
    """Its fields stand in the order in which they are written."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, json_schema_serialization_defaults_required=True
    )

    def line(self) -> str:
        return json.dumps(self.model_dump()) + "\n"


class DetectionRow(_Row):
    """A face in a frame: a line of `detections.jsonl` (`det_v1`)."""

    ep_id: str = Field("", description="The episode.")
    frame_idx: FrameIndex = Field(description="The frame; the video's first one is 0.")
    ts_s: Seconds = Field(description="When the frame is shown, seconds.")
    bbox: tuple[Share, Share, Share, Share] = Field(
        description="Left, top, right, bottom; parts of the picture's sides, 0..1."
    )
    landmarks: tuple[Point, ...] = Field(
        min_length=5,
        max_length=5,
        description="Eyes, nose, mouth corners, left before right as seen: x and y as in `bbox`, "
        "null where there is none.",
    )
    conf: Share = Field(description="The detector's confidence.")
    track_id: TrackId | None = Field(description="The track; null for a face of none.")
    model_id: str = Field("", description="The detector.")
    schema_version: Literal["det_v1"] = "det_v1"


class _Tolerant(_Row):
    """What is damaged is read as if it were not there; so the rest can be read nevertheless."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_where_damaged(cls, value: Any, validate: Validate, info: ValidationInfo) -> Any:
        try:
            return validate(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].default

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """As it is written: without the null of what could not be read."""
        written = handler(schema)
        for field in handler.resolve_ref_schema(written)["properties"].values():
            field.update(field.pop("anyOf", [{}])[0])
            field.pop("default", None)
        return written


class TrackStats(_Tolerant):
    """Figures of a track."""

    detections: Annotated[int, Field(ge=0)] | None = Field(None, description="Its faces.")
    avg_conf: Share | None = Field(None, description="Their mean confidence.")


@dataclass(frozen=True)
class ScreenTime:
    """For how long a face is on the screen.

    Args:
        seconds: on the screen.
        error_s: standard error of that; None where it is not known.
    """

    seconds: float
    error_s: float | None


class TrackRow(_Tolerant):
    """A face that was followed: a line of `tracks.jsonl` (`track_v1`).

    None is what a damaged line or a run of an older version does not tell.
    """

    track_id: TrackId | None = Field(None, description="Its name in its run.")
    ep_id: str | None = Field(None, description="The episode.")
    start_s: Seconds | None = Field(None, description="When it is seen first, seconds.")
    end_s: Seconds | None = Field(None, description="When it is seen last, seconds.")
    screen_s: Seconds | None = Field(None, description="For how long it is on the screen, seconds.")
    screen_error_s: Seconds | None = Field(None, description="Standard error of that, seconds.")
    ended: TrackEnd | None = Field(
        None,
        description="Why it ended: with its shot, at the picture's edge, behind something, for no "
        "known reason, with the file.",
    )
    frame_span: Annotated[tuple[FrameIndex, FrameIndex], Strict(False)] | None = Field(
        None, description="The frames where it is seen first and last."
    )
    sample_thumbs: list[str] | None = Field(
        None, description="Its best crops below the run's folder, the best one first."
    )
    stats: TrackStats = TrackStats()
    schema_version: Literal["track_v1"] = "track_v1"

    @property
    def screen(self) -> ScreenTime | None:
        """How long it is on the screen; None where the row does not tell.

        Older runs know the first and the last sighting only, which are less apart.
        """
        if "screen_s" in self.model_fields_set:
            if self.screen_s is None:
                return None
            return ScreenTime(self.screen_s, self.screen_error_s)
        if self.start_s is None or self.end_s is None:
            return None
        return ScreenTime(self.end_s - self.start_s, None)


class BestFaceRow(_Row):
    """A face that shows well who a person is."""

    track_id: TrackId = Field(description="Its track, whose thumbnail shows it or one like it.")
    frame_idx: FrameIndex = Field(description="The frame.")
    ts_s: Seconds = Field(description="When that is shown, seconds.")


class PersonRow(_Row):
    """Tracks of one person: a line of `people.jsonl` (`people_v1`)."""

    person_id: PersonId = Field(description="The person's name in this run.")
    ep_id: str = Field("", description="The episode.")
    name: str | None = Field(None, description="As people call this person; null where none does.")
    track_ids: list[TrackId] = Field(description="The tracks, the first one first.")
    appearances: list[tuple[Seconds, Seconds]] = Field(
        description="From when to when the person is on the screen, seconds, one after the other."
    )
    screen_seconds: Seconds = Field(description="For how long that is together, seconds.")
    screen_error_seconds: Seconds = Field(
        description="Standard error of that, of looking at samples only, seconds."
    )
    share: Share = Field(description="`screen_seconds` as a part of the video, 0..1.")
    best_faces: list[BestFaceRow] = Field(description="At most five, the best one first.")
    confidence: Share = Field(
        description="How much the least alike of the tracks is like all of them; 1 for one track."
    )
    hidden: bool = Field(
        False, description="Whether people have said that this is nobody: a poster, a false face."
    )
    schema_version: Literal["people_v1"] = "people_v1"


def read_rows(path: Path, model: type[M], opener: Opener = open_regular) -> Iterator[M | None]:
    """Each line as an object, in the file's order; None for a line that holds none.

    Lines of space only are passed over. A file that cannot be opened has no rows.
    """
    try:
        stream = opener(path)
    except OSError:
        return
    with stream:
        for line in stream:
            if line.isspace():
                continue
            try:
                yield model.model_validate_json(line)
            except ValidationError:
                yield None
