"""A run's people in the formats of other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.contracts.rows import DetectionRow, PersonRow
from apps.common.errors import InvalidInput
from apps.common.names import PeopleFormat
from apps.results.cvat import FACE, TrackLabels
from apps.results.people_export.clock import FrameClock, Timecodes, start_of
from apps.results.people_export.tables import (
    seconds_csv,
    seconds_json,
    together_csv,
    together_json,
)
from apps.results.people_export.timeline import Timeline, edl, otio
from apps.results.people_export.webvtt import webvtt
from apps.results.people_export.words import distinct_labels

_CVAT_LABEL = 64  # characters, as many as CVAT takes


@dataclass(frozen=True)
class PeopleChoice:
    """What is asked of an export of people.

    Args:
        hidden: with hidden people.
        start_timecode: of the video's first picture, for timelines; None takes the file's own,
            or zero.
    """

    hidden: bool = False
    start_timecode: str | None = None


def exported_people(
    kind: PeopleFormat,
    people: list[PersonRow],
    manifest: RunManifest,
    video: VideoFacts,
    rows: Iterator[DetectionRow],
    choice: PeopleChoice,
) -> Iterable[str]:
    """The text, all but that of CVAT.

    Args:
        people: all of the run, hidden ones as well.
        rows: of the run, of which the first may tell when the video begins.

    Raises:
        InvalidInput: the timecode is none.
        PackageMissing: what writes the format is not installed.
    """
    ep_id, run_id = manifest.ep_id, manifest.run_id
    shown = [person for person in people if choice.hidden or not person.hidden]
    if kind == "people-csv":
        return seconds_csv(shown)
    if kind == "people-json":
        return seconds_json(shown, ep_id, run_id)
    if kind == "together-csv":
        return together_csv(shown)
    if kind == "together-json":
        return together_json(shown, ep_id, run_id)
    if kind == "webvtt":
        return webvtt(shown)
    clock = FrameClock.of(video, _begins_s(video, rows))
    start, codes = _start(video, clock.rate, choice)
    file = ep_id if manifest.video_file is None else manifest.video_file.name
    timeline = Timeline(ep_id, run_id, file, clock, start, codes)
    return [otio(shown, timeline)] if kind == "otio" else edl(shown, timeline)


def labels_by_person(people: list[PersonRow], *, hidden: bool) -> TrackLabels:
    """Who is on which track. The tracks of hidden people are left out unless they are asked for.

    Args:
        people: all of the run, hidden ones as well.
        hidden: with hidden people.
    """
    shown = [person for person in people if hidden or not person.hidden]
    labels = distinct_labels(shown, _CVAT_LABEL, taken=[FACE])
    return TrackLabels(
        by_track={
            track: labels[person.person_id] for person in shown for track in person.track_ids
        },
        left_out=frozenset(
            track for person in people if person.hidden and not hidden for track in person.track_ids
        ),
    )


def _start(video: VideoFacts, rate: Fraction, choice: PeopleChoice) -> tuple[int, Timecodes]:
    """What is asked for; else what the file says, if that is a timecode of its rate; else zero."""
    if choice.start_timecode is None and video.timecode is not None:
        with suppress(InvalidInput):
            return start_of(video.timecode, rate)
    return start_of(choice.start_timecode, rate)


def _begins_s(video: VideoFacts, rows: Iterator[DetectionRow]) -> float:
    """When the first picture is shown; older manifests do not tell, but any face does."""
    if video.start_s is not None:
        return video.start_s
    first = next(rows, None)
    return 0.0 if first is None else first.ts_s - first.frame_idx / video.fps
