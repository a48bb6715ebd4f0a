"""Cuts that a person marked: a CSV file with the columns `start,end,kind`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from apps.common.errors import InvalidInput
from apps.common.files import open_regular
from apps.demo.scene import Transition

CUT = "cut"
GRADUAL = ("dissolve", "fade", "wipe", "gradual")
_COLUMNS = ["start", "end", "kind"]
_MAX_BYTES = 10_000_000  # more than 500,000 cuts
_MAX_DIGITS = 9
_SHOWN = 40  # characters of a foreign file's words that an error repeats
_HINT = (
    "Give lines of start,end,kind under that header: frames from 0; of a cut both are the first "
    f"frame of the new shot, of {', '.join(GRADUAL)} the first and last frame of a gradual change."
)


@dataclass(frozen=True)
class Shots:
    """Where one shot becomes another.

    Args:
        cuts: first frames after hard cuts, in order.
        transitions: gradual changes, in order.
    """

    cuts: tuple[int, ...] = ()
    transitions: tuple[Transition, ...] = ()

    def checked(self, frames: int) -> Shots:
        """Itself, where all of it lies in a video of so many frames.

        Raises:
            InvalidInput: it is of another video.
        """
        last = max((*self.cuts, *(item.last for item in self.transitions)), default=0)
        if last >= frames:
            raise InvalidInput(
                f"The shots go on to frame {last}, the video has {frames} frames.",
                hint="Give the shots of this video; frames count from 0.",
            )
        return self


def read_shots(path: Path) -> Shots:
    """Reads `start,end,kind`. The kind `cut` is a hard cut, those of `GRADUAL` a gradual change.

    Raises:
        InvalidInput: the file is missing, a row says something that cannot be, or two rows share a
            frame.
    """
    try:
        with open_regular(path) as stream:
            text = stream.read(_MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name!r} cannot be read as text.", hint=_HINT) from error
    try:
        return _shots(csv.reader(text.splitlines()))
    except (ValueError, csv.Error) as error:
        raise InvalidInput(f"{path.name!r} {str(error)[:200]}.", hint=_HINT) from error


def _shots(lines: Iterable[list[str]]) -> Shots:
    changes: list[_Change] = []
    rows = _rows(lines)
    if next(rows, (0, None))[1] != _COLUMNS:
        raise ValueError("does not begin with start,end,kind")
    for number, cells in rows:
        if len(cells) != len(_COLUMNS) or not cells[2]:
            raise ValueError(f"has no start,end,kind in line {number}")
        start, end = (_frame(cell, number) for cell in cells[:2])
        kind = cells[2].casefold()
        if start > end:
            raise ValueError(f"has a change in line {number} that ends before it begins")
        if kind not in (CUT, *GRADUAL):
            raise ValueError(
                f"has the kind {cells[2][:_SHOWN]!r} in line {number}, not {CUT}, "
                f"{', '.join(GRADUAL)}"
            )
        if kind == CUT and (start != end or start == 0):
            raise ValueError(
                f"has a cut in line {number} that does not start and end at one frame after 0"
            )
        changes.append(_Change(start, end, number, kind == CUT))
    changes.sort()
    for one, other in pairwise(changes):
        if other.start <= one.end:
            first, second = sorted((one.line, other.line))
            raise ValueError(
                f"has the frame {other.start} in two changes, those of lines {first} and {second}"
            )
    return Shots(
        tuple(one.start for one in changes if one.is_cut),
        tuple(
            Transition(one.start, (one.start + one.end + 1) // 2, one.end)
            for one in changes
            if not one.is_cut
        ),
    )


class _Change(NamedTuple):
    start: int
    end: int
    line: int
    is_cut: bool


def _rows(lines: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers from 1."""
    for number, cells in enumerate(lines, 1):
        if cells:
            yield number, [cell.strip() for cell in cells]


def _frame(text: str, number: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise ValueError(f"has no frame in line {number}: {text[:_SHOWN]!r}")
    return int(text)
