"""Records of a part's file, written and read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from apps.pipeline.parts.records import read_record, write_record


def through_a_file(
    body: dict[str, Any], arrays: Sequence[NDArray[Any]]
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """A record as whoever puts parts together has it."""
    with tempfile.TemporaryFile() as stream:
        write_record(stream, body, arrays)
        stream.seek(0)
        read = read_record(stream)
    assert read is not None
    return read
