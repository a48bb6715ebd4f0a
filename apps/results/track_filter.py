"""Which tracks are wanted: by seconds on the screen, confidence, size, time and sightings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from apps.common.contracts.rows import TrackRow
from apps.common.errors import InvalidInput
from apps.common.schemas import ReviewTracks, TracksQuery

_BOUNDS = ("min_screen_s", "max_screen_s", "min_confidence", "min_face_height", "from_s", "to_s")


def is_filtered(query: TracksQuery) -> bool:
    """Whether it leaves out any track at all."""
    return query.hide_single or any(getattr(query, name) is not None for name in _BOUNDS)


def check_filter(query: TracksQuery) -> None:
    """Refuses what no track could pass.

    Raises:
        InvalidInput: a minimum lies above its maximum.
    """
    for low, high in (("min_screen_s", "max_screen_s"), ("from_s", "to_s")):
        least, most = getattr(query, low), getattr(query, high)
        if least is not None and most is not None and least > most:
            raise InvalidInput(
                f"{low} must not be above {high}.", hint=f"Swap them, or leave {high} out."
            )


def wanted_tracks(
    rows: Iterable[dict[str, Any]], query: TracksQuery, known: ReviewTracks
) -> Iterator[dict[str, Any]]:
    """The rows that pass; what lacks a measure that is asked for does not.

    Args:
        rows: lines of `tracks.jsonl`, as they stand there.
        query: what is wanted.
        known: the same tracks as columns, with what their own lines do not tell.
    """
    places = {name: place for place, name in enumerate(known.id)}
    for row in rows:
        place = places.get(TrackRow.model_validate(row).track_id or "")
        if place is not None and _passes(place, query, known):
            yield row


def _passes(place: int, query: TracksQuery, known: ReviewTracks) -> bool:
    screen_s, height = known.screen_s[place], known.face_height[place]
    return (
        _within(screen_s, query.min_screen_s, query.max_screen_s)
        and _within(known.confidence[place], query.min_confidence, None)
        and _within(height, query.min_face_height, None)
        and _within(known.last_s[place], query.from_s, None)
        and _within(known.first_s[place], None, query.to_s)
        and not (query.hide_single and known.sightings[place] < 2)
    )


def _within(value: float | None, least: float | None, most: float | None) -> bool:
    """True also where nothing is asked, whatever the value."""
    if least is None and most is None:
        return True
    if value is None:
        return False
    return (least is None or value >= least) and (most is None or value <= most)
