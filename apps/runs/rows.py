"""Reads the rows of a run's files, a line at a time, and puts tracks in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from apps.common.files import open_regular
from apps.common.schemas import TrackOrder

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
    """Tracks by start, length (both seconds), mean confidence or number of detections.

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
        return _number(row.get("start_s"))
    if order == "length":
        start, end = _number(row.get("start_s")), _number(row.get("end_s"))
        return None if start is None or end is None else end - start
    stats = row.get("stats")
    if not isinstance(stats, dict):
        return None
    return _number(stats.get("avg_conf" if order == "confidence" else "detections"))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
