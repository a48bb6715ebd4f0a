"""Puts tracks in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.common.contracts.rows import TrackRow
from apps.common.schemas import TrackOrder


def sorted_tracks(
    rows: Iterable[dict[str, Any]], order: TrackOrder | None, *, descending: bool
) -> list[dict[str, Any]]:
    """Tracks by start, time on the screen (both seconds), mean confidence or number of detections.

    Args:
        rows: lines of `tracks.jsonl`, as they stand there.
        order: None keeps the file's order, which `descending` turns round.

    Returns:
        All rows; equal ones in the file's order, and last those that lack what is sorted by.
    """
    if order is None:
        kept = list(rows)
        return kept[::-1] if descending else kept
    known: list[tuple[float, dict[str, Any]]] = []
    lacking: list[dict[str, Any]] = []
    for row in rows:
        key = _sort_key(TrackRow.model_validate(row), order)
        if key is None:
            lacking.append(row)
        else:
            known.append((key, row))
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(row for _, row in known), *lacking]


def _sort_key(track: TrackRow, order: TrackOrder) -> float | None:
    if order == "start":
        return track.start_s
    if order == "length":
        return None if track.screen is None else track.screen.seconds
    return track.stats.avg_conf if order == "confidence" else track.stats.detections
