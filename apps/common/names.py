"""The grammar of names: of episodes, runs and jobs, of tracks and of their pictures."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from apps.common.errors import InvalidInput

PeopleFormat = Literal[
    "people-csv", "people-json", "together-csv", "together-json", "otio", "edl", "webvtt"
]
ExportFormat = Literal["mot", "coco", "csv", "cvat", "cvat-people", PeopleFormat]
LATEST = "latest"  # stands for the newest completed run, so no run may be called so
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,127}$"  # "\-": browsers want it
TRACK_PREFIX = "track-"
TRACK_PATTERN = rf"^{TRACK_PREFIX}[0-9]{{5,12}}$"
PERSON_PREFIX = "person-"
PERSON_PATTERN = rf"^{PERSON_PREFIX}[0-9]{{4,12}}$"
CROP_PATTERN = rf"^{TRACK_PREFIX}[0-9]{{5,12}}/frame_[0-9]{{6,12}}\.jpg$"
_STEM_LENGTH = 100  # leaves a name room for a number
_NAME = re.compile(NAME_PATTERN[1:-1])
_CROP = re.compile(CROP_PATTERN[1:-1])
_EPISODE = re.compile(r"(.+?)[-_.]s[0-9]{1,4}[-_.]?e[0-9]{1,5}(?![0-9A-Za-z]).*", re.IGNORECASE)
_COMPARISON = re.compile(r"compare-[0-9]{8}T[0-9]{6}-[0-9a-f]{6}-[0-9]+-[a-z]+")


class IllegalName(InvalidInput, ValueError):
    """What should be a name is none. Pydantic takes it for a fault of the field."""


def is_name(value: str) -> bool:
    """True for a legal episode or run name; such a name is also a safe folder name."""
    return _NAME.fullmatch(value) is not None and ".." not in value


def check_name(value: str, what: str = "ep_id") -> str:
    """Returns `value`.

    Raises:
        IllegalName: it is not a name; the message shows at most 40 characters of it.
    """
    if not is_name(value):
        shown = value if len(value) <= 40 else value[:40] + "…"
        raise IllegalName(
            f"{shown!r} is not a valid {what}.",
            hint="Use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit, "
            "without '..'.",
            field=what,
        )
    return value


def name_after(stem: str) -> str:
    """A name for an episode, after its video's file; `assets/upload/names.js` proposes the same.

    Args:
        stem: the file's name without its last ending; any text.
    """
    dashed = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", stem))
    return dashed.strip("-._")[:_STEM_LENGTH] or "episode"


def show_of(ep_id: str) -> str | None:
    """The show that an episode's name tells: `talk` of `talk-s01e02`; None where it tells none."""
    found = _EPISODE.fullmatch(ep_id)
    return None if found is None else found[1]


def is_run_name(value: str) -> bool:
    return is_name(value) and value != LATEST


def check_run_id(value: str) -> str:
    """Returns `value`.

    Raises:
        IllegalName: it is not a name, or is `latest`.
    """
    if value == LATEST:
        raise IllegalName(
            "A run cannot be called 'latest'; that names the newest completed one.",
            hint="Choose another run_id, or leave it out to get a new one.",
            field="run_id",
        )
    return check_name(value, "run_id")


def new_run_id() -> str:
    """A name that sorts by time, e.g. `20261124T060312-9f3a1c`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def comparison_run_id(stamp: str, number: int, mode: str) -> str:
    """The name of a comparison's run.

    Args:
        stamp: of the comparison, as of `new_run_id`.
        number: of the round, from 1.
        mode: the path that is measured.
    """
    return f"compare-{stamp}-{number}-{mode}"


def is_comparison_run(run_id: str) -> bool:
    """True for what `comparison_run_id` makes."""
    return _COMPARISON.fullmatch(run_id) is not None


def track_name(number: int) -> str:
    """The track's id, e.g. `track-00001`.

    Args:
        number: counts the tracks of a run, from 1.
    """
    return f"{TRACK_PREFIX}{number:05d}"


def track_number(track_id: str) -> int:
    """The number of which `track_name` makes a track's id."""
    return int(track_id.removeprefix(TRACK_PREFIX))


def person_name(number: int) -> str:
    """The person's id in its run, e.g. `person-0001`.

    Args:
        number: counts the people of a run, from 1.
    """
    return f"{PERSON_PREFIX}{number:04d}"


def person_number(person_id: str) -> int:
    """The number of which `person_name` makes a person's id."""
    return int(person_id.removeprefix(PERSON_PREFIX))


def frame_name(frame: int) -> str:
    """The file of a frame's picture, e.g. `frame_000042.jpg`."""
    return f"frame_{frame:06d}.jpg"


def crop_name(number: int, frame: int) -> str:
    """The file of a track's crop below the folder of crops, e.g. `track-00001/frame_000042.jpg`."""
    return f"{track_name(number)}/{frame_name(frame)}"


def is_crop_name(value: str) -> bool:
    """True for what `crop_name` makes."""
    return _CROP.fullmatch(value) is not None


def thumb_name(track_id: str) -> str:
    """The file of a track's thumbnail below the folder of thumbnails."""
    return f"{track_id}.jpg"


# Of fields that hold what a stranger wrote: requests, files, Redis.
EpisodeId = Annotated[str, AfterValidator(partial(check_name, what="ep_id"))]
RunId = Annotated[str, AfterValidator(check_run_id)]
RunIdOrLatest = Annotated[str, AfterValidator(partial(check_name, what="run_id"))]
JobId = Annotated[str, AfterValidator(partial(check_name, what="job_id"))]
BatchId = Annotated[str, AfterValidator(partial(check_name, what="batch_id"))]
TrashId = Annotated[str, AfterValidator(partial(check_name, what="trash_id"))]
TrackId = Annotated[str, Field(pattern=TRACK_PATTERN, examples=["track-00001"])]
PersonId = Annotated[str, Field(pattern=PERSON_PATTERN, examples=["person-0001"])]
