"""What crosses between processes about the parts of a run that is divided."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import PartFacts
from apps.common.options import Options


def undivided_options(options: Options) -> str | None:
    """Why a run with these options is never divided, a sentence; None where it may be."""
    if options.detector == "cascade":
        return "A pair of detectors asks the tracks so far where it must look."
    if options.reuse_still:
        return "With reuse_still each frame is compared with those before it."
    if options.decoder != "software":
        return "A decoder in hardware may give up midway."
    return None


class PartsPlace(BaseModel):
    """Where files of a divided run lie in the storage that hosts share.

    Args:
        token: tells this division of the job's run from others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: str
    token: str


class PartOrder(BaseModel):
    """Which part of a run is to be made.

    Args:
        number: from 1.
        count: into how many the video is to be divided; there are fewer where it has fewer closed
            groups of pictures.
        path: of its file.
        min_samples: that each part is to have about; then there may be fewer parts.
        makers: how many make parts at once; where there are fewer parts, then the same of each.
        starts: see `PartPlan`; None where it is to be found out, by `count` and `min_samples`.
        kind: of the other parts; one of another kind is not made.
        place: where the file is stored as well; None where there is no storage.
        is_for_another: another host is to read it, from the storage: it does not stay here.
        known: a file of what is known of the video; it is written where it is not there. None where
            every part finds that out by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    count: int = Field(ge=1)
    path: str
    min_samples: int = 1
    makers: int = 1
    starts: list[int] | None = None
    kind: str | None = None
    place: PartsPlace | None = None
    is_for_another: bool = False
    known: str | None = None


class PartPlan(Readable):
    """How a run is divided.

    Args:
        starts: numbers of the packets that the parts begin with, ascending from 0.
        samples: frames that are processed, part by part.
        video_frames: that the whole video has.
        kind: names what the parts are computed by, as far as results depend on it.
    """

    starts: list[int]
    samples: list[int]
    video_frames: int
    kind: str


class MadePart(BaseModel):
    """A part that is there.

    Args:
        path: of its file.
        worker: that made it; None where no worker of the queue did.
        attempts: how often it was begun.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    worker: str | None = None
    attempts: int = 1


class MadeParts(BaseModel):
    """All parts of a run, in their order.

    Args:
        since: when the first one was begun, seconds since 1970; None where nobody knows.
        known: see `PartOrder`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: list[MadePart] = Field(min_length=1)
    since: float | None = None
    known: str | None = None


class PartResult(Readable):
    """The answer of a part that was made."""

    number: int
    done: PartFacts
