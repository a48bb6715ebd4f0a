"""Reads what runs left, only where it lies in the data root: a link may lead anywhere."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from apps.common.contracts.rows import M, read_rows
from apps.common.files import open_regular, read_json, tail
from apps.common.layout import Layout


def open_result(layout: Layout, path: Path) -> BinaryIO:
    """Opens a file for reading, its links followed.

    Args:
        layout: data root that it must lie in.
        path: file, as `layout` names it.

    Raises:
        OSError: there is no such file, it is no regular one, or a link leads out of the data root.
    """
    found = layout.inside(path)
    if found is None:
        raise OSError(errno.EXDEV, "outside of the data root")
    return open_regular(found)


def result_json(layout: Layout, path: Path) -> dict[str, Any] | None:
    """The object in a file; None where `open_result` refuses it, or it holds none."""
    return read_json(path, partial(open_result, layout))


def result_cuts(layout: Layout, metrics: Path) -> list[int]:
    """Frames that begin a shot, as a run's `track_metrics.json` tells; none where it does not."""
    cuts = (result_json(layout, metrics) or {}).get("scene_cuts")
    return [cut for cut in cuts if type(cut) is int] if isinstance(cuts, list) else []


def result_cut_times(layout: Layout, metrics: Path) -> dict[int, float]:
    """When cuts are, seconds, by the frame that begins a shot; of runs that measured it."""
    known = result_json(layout, metrics) or {}
    cuts, seconds = known.get("scene_cuts"), known.get("scene_cuts_s")
    if not isinstance(cuts, list) or not isinstance(seconds, list):
        return {}
    pairs = zip(cuts, seconds, strict=False)
    return {cut: float(at_s) for cut, at_s in pairs if type(cut) is int and type(at_s) is float}


def result_rows(layout: Layout, path: Path, model: type[M]) -> Iterator[M | None]:
    """As `read_rows`; none where `open_result` refuses the file."""
    return read_rows(path, model, partial(open_result, layout))


def result_tail(layout: Layout, path: Path, lines: int = 20) -> list[str]:
    """The last lines of a text file; none where `open_result` refuses it."""
    return tail(path, lines, opener=partial(open_result, layout))
