"""What a run, or the making of a preview, tells while it is on: one JSON line an event."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import Progress, RunResult
from apps.common.contracts.media import ClipKind, PlayableKind
from apps.common.contracts.parts import PartPlan, PartResult
from apps.common.errors import ScreenalyticsError


class ProgressEvent(Progress):
    type: Literal["progress"] = "progress"


class LogEvent(Readable):
    type: Literal["log"] = "log"
    level: str
    message: str
    time: str


class StartedEvent(Readable):
    """The run holds the episode and its video is open: from here on it is a run."""

    type: Literal["started"] = "started"
    run_id: str
    frames_total: int


class ResultEvent(RunResult):
    type: Literal["result"] = "result"


class ErrorEvent(Readable):
    """A failure: the whole problem object (RFC 9457) and, beside it, its readable members."""

    type: Literal["error"] = "error"
    problem: dict[str, Any]
    title: str
    status: int
    detail: str
    hint: str | None = None

    @classmethod
    def of(cls, error: ScreenalyticsError) -> ErrorEvent:
        return cls(
            problem=error.to_dict(),
            title=error.title,
            status=error.status,
            detail=error.detail,
            hint=error.hint,
        )


class PreviewResult(Readable):
    """The answer of a preview that was asked for after its run."""

    status: Literal["completed"] = "completed"
    ep_id: str
    run_id: str
    artifact: Literal["preview.mp4"] = "preview.mp4"
    elapsed_seconds: float


class PreviewResultEvent(PreviewResult):
    type: Literal["result"] = "result"


class PlayableResult(Readable):
    """The answer of a file that was made for browsers.

    Args:
        path: below the episode's address.
        mime: what it holds, as `canPlayType` wants it.
    """

    status: Literal["completed"] = "completed"
    ep_id: str
    kind: PlayableKind
    path: Literal["video", "playable/file"]
    mime: str
    size_bytes: int
    elapsed_seconds: float


class PlayableResultEvent(PlayableResult):
    type: Literal["result"] = "result"


class ClipResult(Readable):
    """The answer of a clip that was made.

    Args:
        kind: the source's own pictures, or encoded again.
        from_s, to_s: when its first picture is shown, and when its last one ends.
    """

    status: Literal["completed"] = "completed"
    ep_id: str
    kind: ClipKind
    from_s: float
    to_s: float
    mime: str
    size_bytes: int
    elapsed_seconds: float


class ClipResultEvent(ClipResult):
    type: Literal["result"] = "result"


class PartPlanEvent(PartPlan):
    """The part is begun, and this is how the run is divided."""

    type: Literal["plan"] = "plan"


class PartResultEvent(PartResult):
    type: Literal["result"] = "result"


class HeartbeatEvent(Readable):
    """Nothing new: what was asked for is on."""

    type: Literal["heartbeat"] = "heartbeat"
    time: str


class RunBeginsEvent(Readable):
    """A comparison is about to start this run; for the server, which may have to end it."""

    type: Literal["begins"] = "begins"
    run_id: str


Event = Annotated[
    ProgressEvent | LogEvent | StartedEvent | ResultEvent | ErrorEvent,
    Field(discriminator="type"),
]
PreviewEvent = Annotated[
    ProgressEvent | LogEvent | StartedEvent | PreviewResultEvent | ErrorEvent,
    Field(discriminator="type"),
]
PlayableEvent = Annotated[
    ProgressEvent | LogEvent | StartedEvent | PlayableResultEvent | ErrorEvent,
    Field(discriminator="type"),
]
PartEvent = Annotated[
    ProgressEvent | LogEvent | StartedEvent | PartPlanEvent | PartResultEvent | ErrorEvent,
    Field(discriminator="type"),
]
ClipEvent = Annotated[
    ProgressEvent | LogEvent | StartedEvent | ClipResultEvent | ErrorEvent,
    Field(discriminator="type"),
]
