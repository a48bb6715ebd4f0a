"""Rows of this version, of older ones, and of nobody's."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from apps.common.contracts.rows import DetectionRow, ScreenTime, TrackRow, TrackStats

OLD = {"start_s": 1.5, "end_s": 4.0}
WHOLE: dict[str, Any] = {
    "track_id": "track-00001",
    "ep_id": "show",
    **OLD,
    "screen_s": 2.75,
    "screen_error_s": 0.14,
    "ended": "cut",
    "frame_span": [36, 96],
    "sample_thumbs": ["crops/track-00001/frame_000042.jpg"],
    "stats": {"detections": 11, "avg_conf": 0.75},
    "schema_version": "track_v1",
}


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
    assert TrackRow.model_validate(row).screen == expected
    assert TrackRow.model_validate_json(json.dumps(row)).screen == expected


def test_a_track_is_written_as_it_was_read() -> None:
    line = json.dumps(WHOLE) + "\n"
    assert TrackRow.model_validate_json(line).line() == line


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "schema_version"])
@pytest.mark.parametrize("damage", [{"x": 1}, -1e300, [1, 2, 3], True])
def test_what_is_damaged_spoils_nothing_else(name: str, damage: object) -> None:
    read = TrackRow.model_validate({**WHOLE, name: damage})
    whole = TrackRow.model_validate(WHOLE)
    assert getattr(read, name) == (TrackStats() if name == "stats" else None)
    assert read.model_copy(update={name: getattr(whole, name)}) == whole


def test_the_schemas_tell_what_is_written() -> None:
    schema = TrackRow.model_json_schema(mode="serialization")
    assert schema["required"] == list(schema["properties"]) == list(WHOLE)
    assert schema["properties"]["frame_span"]["maxItems"] == 2
    assert "null" not in json.dumps(schema)
    schema = DetectionRow.model_json_schema(mode="serialization")
    assert schema["required"] == list(schema["properties"])
    assert schema["properties"]["schema_version"]["const"] == "det_v1"
