"""Faces that a person marked: a MOT file, or the XML of "CVAT for video 1.1".

Format: https://docs.cvat.ai/docs/other/xml_format, "interpolation". CVAT counts frames and tracks
from 0; its export has every box of every frame, those between key frames too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from defusedxml.ElementTree import ParseError, iterparse

from apps.common.errors import InvalidInput
from apps.common.files import open_regular
from tools.evaluation.rows import Frames, FrameTable, read_mot

LABEL = "face"
_SIDES = ("xtl", "ytl", "xbr", "ybr")
_XML_STARTS = (b"<", b"\xff\xfe", b"\xfe\xff")  # the last two: UTF-16
_MOST_FRAMES = 10_000_000  # more than 90 hours
_MOST_TRACKS = 10**12
_LARGEST = 10.0**9  # pixels
_SURE = 1.0
_SHOWN = 60  # characters of a foreign file's words that an error repeats
_HINT = 'Export the task from CVAT as "CVAT for video 1.1" and give the annotations.xml in its ZIP.'


def read_ground_truth(path: Path) -> tuple[Frames, Frames]:
    """Reads a MOT file or a CVAT for video XML; its content says which, not its name.

    Returns:
        The faces, and those that need not be found (a MOT file's rows with flag 0).

    Raises:
        InvalidInput: it is missing, or neither.
    """
    start = _first_bytes(path)
    if start.startswith(b"PK\x03\x04"):
        raise InvalidInput(f"{path.name!r} is a ZIP file.", hint=_HINT)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_XML_STARTS):
        return read_cvat(path), {}
    return read_mot(path)


def read_cvat(path: Path) -> Frames:
    """The boxes of the tracks that are labelled `face`, without those that are outside.

    Identities are CVAT's track ids plus one, since 0 is no identity here. Nothing is interpolated.

    Raises:
        InvalidInput: the file is missing, broken, or no CVAT for video XML; it declares a document
            type (and so could have entities); or it has something that cannot be scored.
    """
    table, taken, foreign = FrameTable(), set[tuple[int, int]](), set[str]()
    try:
        with open_regular(path) as stream:
            for track in _tracks(stream):
                label = track.get("label", "")
                if label.casefold() != LABEL:
                    foreign.add(label)
                    continue
                identity = _whole(track, "id", _MOST_TRACKS) + 1
                for frame, box in _seen(track):
                    if (identity, frame) in taken:
                        raise ValueError(f"track {identity - 1} has two boxes in frame {frame}")
                    taken.add((identity, frame))
                    table.add(frame, identity, box, _SURE)
    except OSError as error:
        raise InvalidInput(f"{path.name!r} cannot be read: {error.strerror}.") from error
    # An unknown encoding is a LookupError; defusedxml's errors are ValueErrors.
    except (ParseError, ValueError, LookupError) as error:
        raise InvalidInput(
            f"{path.name!r} is not a CVAT for video XML that can be scored: {str(error)[:200]}.",
            hint=_HINT,
        ) from error
    if foreign and not taken:
        raise InvalidInput(
            f"{path.name!r} has no face: its tracks are labelled {_named(foreign)}.",
            hint=f"Label the tracks of faces {LABEL!r}.",
        )
    return table.frames()


def _first_bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read(1024)
    except OSError as error:
        raise InvalidInput(f"{path.name!r} cannot be read: {error.strerror}.") from error


def _tracks(stream: BinaryIO) -> Iterator[Any]:
    """The `track` elements, one at a time: each is let go of when the next one is read."""
    elements = iterparse(stream, events=("start", "end"), forbid_dtd=True)
    _, root = next(elements)
    if root.tag != "annotations":
        raise ValueError(f"it begins with {_short(root.tag)}")
    for event, element in elements:
        if event == "start" and element.tag == "image":
            raise ValueError("it has images in place of tracks")
        if event == "end" and element.tag == "track":
            yield element
            root.clear()


def _seen(track: Any) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Frame and corners of each box that is not outside, pixels."""
    for shape in track:
        if shape.tag != "box":
            raise ValueError(f"a track of faces has a {_short(shape.tag)}, not only boxes")
        frame = _whole(shape, "frame", _MOST_FRAMES)
        if _whole(shape, "outside", 1) == 1:
            continue
        if shape.get("rotation") is not None and _number(shape, "rotation") != 0.0:
            raise ValueError(f"the box in frame {frame} is rotated")
        left, top, right, bottom = box = tuple(_number(shape, side) for side in _SIDES)
        if right < left or bottom < top:
            raise ValueError(f"the box in frame {frame} ends before it begins")
        yield frame, box


def _whole(element: Any, name: str, most: int) -> int:
    text = element.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        raise ValueError(f"a {element.tag} has {name}={_short(text)}")
    if int(text) > most:
        raise ValueError(f"a {element.tag} has {name}={text}, more than {most}")
    return int(text)


def _number(element: Any, name: str) -> float:
    text = element.get(name, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise ValueError(f"a {element.tag} has {name}={_short(text)}")
    return number


def _named(labels: set[str]) -> str:
    return _short(", ".join(sorted(labels)))


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
