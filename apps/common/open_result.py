"""Reads what runs left, only where it lies in the data root: a link may lead anywhere."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

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


class ResultCut(NamedTuple):
    """A cut of a run.

    Args:
        frame: that begins a shot.
        at_s, error_s: when it is, and the standard error of that, seconds; None where the run does
            not tell.
    """

    frame: int
    at_s: float | None
    error_s: float | None


def result_cuts(layout: Layout, metrics: Path) -> list[ResultCut]:
    """Cuts, as a run's `track_metrics.json` tells; none where it does not."""
    known = result_json(layout, metrics) or {}
    names = ("scene_cuts", "scene_cuts_s", "scene_cuts_error_s")
    lists = [told if isinstance(told := known.get(name), list) else [] for name in names]
    return [
        ResultCut(frame, _second(at_s), _second(error_s))
        for frame, at_s, error_s in zip_longest(*lists)
        if type(frame) is int
    ]


def _second(told: object) -> float | None:
    return told if type(told) is float and math.isfinite(told) else None


def result_rows(layout: Layout, path: Path, model: type[M]) -> Iterator[M | None]:
    """As `read_rows`; none where `open_result` refuses the file."""
    return read_rows(path, model, partial(open_result, layout))


def result_tail(layout: Layout, path: Path, lines: int = 20) -> list[str]:
    """The last lines of a text file; none where `open_result` refuses it."""
    return tail(path, lines, opener=partial(open_result, layout))
