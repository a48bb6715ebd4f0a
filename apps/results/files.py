"""Files of a run, found only where they lie in the data root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from apps.common.errors import RunNotFound
from apps.common.files import read_jsonl
from apps.common.layout import Layout

NO_ROWS = "The run has no such rows."


def result_file(
    layout: Layout, path: Path, missing: str = NO_ROWS, *, hint: str | None = None
) -> Path:
    """A file that is there, its links followed: it may be read, and sent.

    Args:
        layout: paths under the data root; nothing outside it is found.
        path: as `layout` names it.
        missing: what is said where there is no such file in the data root.
        hint: what to do about it.

    Raises:
        RunNotFound: there is none.
    """
    found = layout.inside(path)
    if found is None or not found.is_file():
        raise RunNotFound(missing, hint=hint)
    return found


def sendable_rows(layout: Layout, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as they stand there, those that an answer can hold.

    Raises:
        RunNotFound: the file lies outside of the data root.
    """
    found = layout.inside(path)
    if found is None:
        raise RunNotFound(NO_ROWS)
    return filter(_is_sendable, read_jsonl(found))


def _is_sendable(row: dict[str, Any]) -> bool:
    """False for what JSON can hold and no answer can: deep nesting, lone surrogates."""
    try:
        to_json(row)
    except (ValueError, RecursionError):
        return False
    return True
