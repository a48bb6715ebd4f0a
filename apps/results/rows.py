"""Reads the rows of a run's files, a line at a time, and puts tracks in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from apps.common.files import open_regular
from apps.common.schemas import TrackOrder
from apps.common.screen_time import finite, screen_time

M = TypeVar("M", bound=BaseModel)


def read_rows(path: Path, model: type[M]) -> Iterator[M | None]:
    """Each line as an object, in the file's order; None for a line that holds none.

    Lines of space only are passed over. A file that cannot be opened has no rows.
    """
    try:
        stream = open_regular(path)
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


def sorted_tracks(
    rows: Iterable[dict[str, Any]], order: TrackOrder | None, *, descending: bool
) -> list[dict[str, Any]]:
    """Tracks by start, time on the screen (both seconds), mean confidence or number of detections.

    Args:
        rows: of `tracks.jsonl`.
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
        key = _sort_key(row, order)
        if key is None:
            lacking.append(row)
        else:
            known.append((key, row))
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(row for _, row in known), *lacking]


def _sort_key(row: dict[str, Any], order: TrackOrder) -> float | None:
    if order == "start":
        return finite(row.get("start_s"))
    if order == "length":
        screen = screen_time(row)
        return None if screen is None else screen.seconds
    stats = row.get("stats")
    if not isinstance(stats, dict):
        return None
    return finite(stats.get("avg_conf" if order == "confidence" else "detections"))
