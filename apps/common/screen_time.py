"""Seconds on the screen, as rows of `tracks.jsonl` of any version tell them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ScreenTime:
    """Args:
    seconds: on the screen.
    error_s: standard error of that; None where it is not known.
    """

    seconds: float
    error_s: float | None


def screen_time(row: Mapping[str, Any]) -> ScreenTime | None:
    """How long a track is on the screen; None where its row does not tell.

    Older runs know the first and the last sighting only, which are less apart.

    Args:
        row: of `tracks.jsonl`.
    """
    if "screen_s" in row:
        seconds = finite(row["screen_s"])
        return None if seconds is None else ScreenTime(seconds, finite(row.get("screen_error_s")))
    start, end = finite(row.get("start_s")), finite(row.get("end_s"))
    return None if start is None or end is None else ScreenTime(end - start, None)


def finite(value: object) -> float | None:
    """A number of a file that anybody may have written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
