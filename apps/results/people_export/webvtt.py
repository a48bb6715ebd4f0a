"""People as WebVTT (https://www.w3.org/TR/webvtt1/): a cue for each appearance. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from apps.common.contracts.rows import PersonRow
from apps.results.people_export.tables import stretches_of
from apps.results.people_export.words import label_of

_LONGEST_NAME = 200  # characters; a player has no room for more


def webvtt(people: Sequence[PersonRow]) -> Iterator[str]:
    """Cues in the order of their times, on the player's clock; `<v>` tells who it is.

    The name is the text as well, since players do not show what `<v>` says.
    """
    yield "WEBVTT\n"
    cues = sorted(
        (begin, end, place, number)
        for place, person in enumerate(people)
        for number, (begin, end) in enumerate(stretches_of(person), start=1)
        if end > 0
    )
    names = [escape(label_of(person, _LONGEST_NAME), quote=False) for person in people]
    for begin, end, place, number in cues:
        start_ms = max(0, round(begin * 1000))
        end_ms = max(start_ms + 1, round(end * 1000))
        yield (
            f"\n{people[place].person_id}-{number}\n{_time(start_ms)} --> {_time(end_ms)}\n"
            f"<v {names[place]}>{names[place]}</v>\n"
        )


def _time(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
