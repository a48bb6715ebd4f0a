"""Lines of a MOT file: `frame,id,left,top,width,height[,confidence]`, and more that is passed over.

Format: https://motchallenge.net/instructions. Frames count from 1 there and from 0 here. Commas,
semicolons, tabs or spaces stand between the numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from apps.common.errors import InvalidInput
from apps.common.files import open_regular

MAX_FRAMES = 10_000_000  # more than 90 hours
MAX_IDS = 10**12
LARGEST = 10.0**9  # pixels
SHOWN = 60  # characters of a foreign file's words that an error repeats
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MIN_COLUMNS = 6
_HINT = (
    "Give lines of frame,id,left,top,width,height,confidence without a header; frames count from "
    "1, sizes are pixels above 0."
)


class MotLine(NamedTuple):
    """A box.

    Args:
        frame: from 0.
        number: the id of an identity or a track; -1 is none.
        box: [x1, y1, x2, y2], pixels.
        conf: confidence, or the flag of a true face; 1 where the line has none.
    """

    frame: int
    number: int
    box: tuple[float, float, float, float]
    conf: float


def read_lines(path: Path) -> Iterator[MotLine]:
    """The lines that are not blank, as they stand; a byte order mark is passed over.

    Raises:
        InvalidInput: the file cannot be read, or a line holds no box that can be; two boxes of a
            frame have one id above 0.
    """
    taken = set[tuple[int, int]]()
    try:
        with io.TextIOWrapper(open_regular(path), "utf-8-sig") as stream:
            for place, text in enumerate(stream, 1):
                if text.isspace():
                    continue
                yield _line(text, place, taken)
    except OSError as error:
        raise InvalidInput(
            f"{path.name!r} cannot be read: {error.strerror}.", hint=_HINT
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path.name!r} is not a MOT file: it is no text.", hint=_HINT
        ) from error
    except ValueError as error:
        raise InvalidInput(f"{path.name!r} is not a MOT file: {error}.", hint=_HINT) from error


def _line(text: str, place: int, taken: set[tuple[int, int]]) -> MotLine:
    """Reads a line of a MOT file.

    Args:
        taken: frames and numbers of the lines before; this one's are added.
    """
    try:
        line = _parsed(_BETWEEN.split(text.strip().rstrip(",; ")))
        if line.number > 0 and (line.frame, line.number) in taken:
            raise ValueError(f"frame {line.frame + 1} has id {line.number} twice")
    except ValueError as error:
        raise ValueError(f"line {place}: {error}") from error
    taken.add((line.frame, line.number))
    return line


def _parsed(cells: list[str]) -> MotLine:
    if len(cells) < _MIN_COLUMNS:
        raise ValueError(f"{len(cells)} columns in place of {_MIN_COLUMNS} or more")
    frame = _whole("frame", cells[0], 1, MAX_FRAMES)
    number = _whole("id", cells[1], -1, MAX_IDS)
    left, top, width, height = (
        _number(name, cell)
        for name, cell in zip(("left", "top", "width", "height"), cells[2:6], strict=True)
    )
    for name, size in (("width", width), ("height", height)):
        if size <= 0.0:
            raise ValueError(f"{name} {size:g} is not above 0")
    conf = _number("confidence", cells[6]) if len(cells) > _MIN_COLUMNS else 1.0
    return MotLine(frame - 1, number, (left, top, left + width, top + height), conf)


def _whole(name: str, text: str, minimum: int, limit: int) -> int:
    value = _number(name, text, limit)
    if value != int(value):
        raise ValueError(f"{name} {short(text)} is not a whole number")
    if value < minimum:
        raise ValueError(f"{name} {short(text)} is below {minimum}")
    return int(value)


def _number(name: str, text: str, limit: float = LARGEST) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name} is {short(text)}, not a number")
    value = float(text)
    if not abs(value) <= limit:
        raise ValueError(f"{name} {short(text)} is beyond {limit:g}")
    return value


def short(text: str) -> str:
    """Words of a foreign file, quoted, no longer than an error may be."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
