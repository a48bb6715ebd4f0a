"""People as timelines of editing programs: OpenTimelineIO, and an edit decision list (CMX 3600).

OTIO has the episode as one clip with a marker for each appearance, as long as that is. An EDL has
one picture at a time and no markers of a length, so it is a list of selections: a clip for each
appearance, person after person, whose source timecodes say where it is in the episode.

The EDL is written here: OpenTimelineIO's adapter writes names in capitals, locators that it cannot
read again at drop-frame rates, and not which kind of timecode it is. It reads what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apps.common.contracts.rows import PersonRow
from apps.common.errors import PackageMissing
from apps.results.people_export.clock import FrameClock, Timecodes
from apps.results.people_export.tables import stretches_of
from apps.results.people_export.words import label_of

EXTRA = "editors"
_LONGEST_NAME = 200  # characters
_REEL_LETTERS = 8  # as CMX 3600 has them
_RECORD_HOUR = 1  # where programs begin their timelines
_COLOURS = ("GREEN", "CYAN", "BLUE", "MAGENTA", "YELLOW", "RED", "ORANGE", "PURPLE", "PINK")


@dataclass(frozen=True)
class Appearance:
    """When a person is seen.

    Args:
        person: the row.
        label: what the person is called.
        colour: of markers.
        number, count: which of the person's appearances, from 1, and of how many.
        first, behind: its first frame, from 0, and the one behind its last.
    """

    person: PersonRow
    label: str
    colour: str
    number: int
    count: int
    first: int
    behind: int


@dataclass(frozen=True)
class Timeline:
    """What both kinds of timelines are made of.

    Args:
        ep_id, run_id: names.
        file: the video's, to be found again by.
        clock: from times to frames.
        start: number of the video's first frame in timecodes.
        codes: how frames are numbered.
    """

    ep_id: str
    run_id: str
    file: str
    clock: FrameClock
    start: int
    codes: Timecodes


def appearances_of(people: Sequence[PersonRow], clock: FrameClock) -> Iterator[Appearance]:
    """Person after person, each in the order of time."""
    for place, person in enumerate(people):
        label = label_of(person, _LONGEST_NAME)
        colour = _COLOURS[place % len(_COLOURS)]
        spans = clock.spans(stretches_of(person))
        for number, (first, behind) in enumerate(spans, start=1):
            yield Appearance(person, label, colour, number, len(spans), first, behind)


def otio(people: Sequence[PersonRow], timeline: Timeline) -> str:
    """The episode as a clip, with a marker for each appearance.

    Raises:
        PackageMissing: OpenTimelineIO is not installed.
    """
    try:
        from opentimelineio import opentime, schema
    except ImportError:
        raise PackageMissing(
            "OpenTimelineIO is not installed, so there are no OTIO files.",
            hint=f"Install the extra {EXTRA!r} where the service runs (pip install --no-deps "
            f"--require-hashes -r requirements-{EXTRA}.txt), or take the format edl.",
        ) from None
    rate = float(timeline.clock.rate)

    def frames(first: int, count: int) -> opentime.TimeRange:
        return opentime.TimeRange(
            opentime.RationalTime(first, rate), opentime.RationalTime(count, rate)
        )

    whole = frames(timeline.start, timeline.clock.frames)
    clip = schema.Clip(
        name=timeline.ep_id,
        media_reference=schema.ExternalReference(timeline.file, available_range=whole),
        source_range=whole,
    )
    for one in appearances_of(people, timeline.clock):
        facts = {
            "person_id": one.person.person_id,
            "appearance": one.number,
            "appearances": one.count,
        }
        clip.markers.append(
            schema.Marker(
                name=one.label,
                marked_range=frames(timeline.start + one.first, one.behind - one.first),
                color=one.colour,
                metadata={"screenalytics": facts},
            )
        )
    made = schema.Timeline(
        name=timeline.ep_id,
        global_start_time=opentime.RationalTime(timeline.start, rate),
        metadata={"screenalytics": {"ep_id": timeline.ep_id, "run_id": timeline.run_id}},
    )
    made.tracks.append(schema.Track(name="V1", kind=schema.TrackKind.Video, children=[clip]))
    return str(made.to_json_string(indent=1)) + "\n"


def edl(people: Sequence[PersonRow], timeline: Timeline) -> Iterator[str]:
    """A clip for each appearance, person after person."""
    codes = timeline.codes
    kind = "DROP FRAME" if codes.drops else "NON-DROP FRAME"
    yield f"TITLE: {timeline.ep_id}\r\nFCM: {kind}\r\n\r\n"
    reel = re.sub(r"[^A-Z0-9]", "", timeline.ep_id.upper())[:_REEL_LETTERS]
    record = codes.frame(_RECORD_HOUR, 0, 0, 0)
    for event, one in enumerate(appearances_of(people, timeline.clock), start=1):
        ends = record + one.behind - one.first
        places = (timeline.start + one.first, timeline.start + one.behind, record, ends)
        yield (
            f"{event:03d}  {reel:<{_REEL_LETTERS}} V     C        "
            f"{' '.join(codes.text(place) for place in places)}\r\n"
            f"* FROM CLIP NAME:  {one.label}\r\n"
            f"* SOURCE FILE: {timeline.file}\r\n"
            f"* LOC: {codes.text(record)} {one.colour:<7} {one.label}\r\n"
            f"* {one.person.person_id}, APPEARANCE {one.number} OF {one.count}\r\n\r\n"
        )
        record = ends
