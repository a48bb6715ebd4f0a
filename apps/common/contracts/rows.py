"""Lines of `detections.jsonl` (`det_v1`) and `tracks.jsonl` (`track_v1`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from apps.common.contracts.base import Readable

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
FrameIndex = Annotated[int, Field(ge=0, le=10**12)]
Point = tuple[Share | None, Share | None]


class _Row(Readable):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class DetectionRow(_Row):
    """A line of `detections.jsonl` (`det_v1`). Places are parts of the picture's sides, 0..1.

    Landmarks: eyes, nose, mouth corners, left before right as seen; None where there is none.
    """

    frame_idx: FrameIndex
    ts_s: Seconds
    bbox: tuple[Share, Share, Share, Share]
    landmarks: tuple[Point, Point, Point, Point, Point]
    conf: Share
    track_id: str | None = Field(pattern=r"^track-[0-9]{5,12}$")


class TrackRow(_Row):
    """What is read of a line of `tracks.jsonl` (`track_v1`)."""

    frame_span: tuple[FrameIndex, FrameIndex]
