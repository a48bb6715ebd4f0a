"""Seconds on the screen, from rows of this version, of older ones, and of nobody's."""

from __future__ import annotations

import math
from typing import Any

import pytest

from apps.common.screen_time import ScreenTime, screen_time

OLD = {"start_s": 1.5, "end_s": 4.0}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**OLD, "screen_s": 2.75, "screen_error_s": 0.14}, ScreenTime(2.75, 0.14)),
        ({**OLD, "screen_s": 2, "screen_error_s": 0}, ScreenTime(2.0, 0.0)),
        (OLD, ScreenTime(2.5, None)),
        ({**OLD, "screen_s": 2.75}, ScreenTime(2.75, None)),
        ({**OLD, "screen_s": 2.75, "screen_error_s": "0.1"}, ScreenTime(2.75, None)),
        # What says that it knows and does not is no older version's.
        ({**OLD, "screen_s": None}, None),
        ({**OLD, "screen_s": math.nan}, None),
        ({**OLD, "screen_s": 10**400}, None),
        ({**OLD, "screen_s": True}, None),
        ({"start_s": 1.5}, None),
        ({"start_s": "x", "end_s": 2.0}, None),
        ({}, None),
    ],
)
def test_seconds_of_a_row(row: dict[str, Any], expected: ScreenTime | None) -> None:
    assert screen_time(row) == expected
