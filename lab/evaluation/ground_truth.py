"""Faces that a person marked: a MOT file, or the XML of "CVAT for video 1.1".

Format: https://docs.cvat.ai/docs/other/xml_format, "interpolation". CVAT counts frames and tracks
from 0; its export has every box of every frame, those between key frames too.

**Frames that are marked.** Where not every frame is, those between say nothing of their faces and
are not scored. CVAT says so itself: a task with the frame step 3 has `<frame_filter>step=3` in its
meta, and its boxes carry the video's own frame numbers, `start_frame` + 0, 3, 6, ... (not 0, 1, 2;
https://github.com/cvat-ai/cvat/issues/194). Of other files the step is given, or inferred
where all rows lie on multiples of one number.

**Faces that need not be found**, and whose finding is no mistake: rows of a MOT file with 0 in
column 7; in CVAT boxes whose attribute `ignore` is true (a checkbox of the label `face`), and the
boxes of tracks that are labelled `ignore`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from defusedxml.ElementTree import ParseError, iterparse

from apps.common.errors import InvalidInput
from apps.common.files import open_regular
from lab.evaluation.mot import LARGEST, MAX_FRAMES, MAX_IDS, short
from lab.evaluation.rows import EVERY_FRAME, Frames, FrameTable, Marked, read_mot

LABEL = "face"
IGNORE = "ignore"  # a label of tracks, and the name of an attribute of boxes
_SIDES = ("xtl", "ytl", "xbr", "ybr")
_XML_STARTS = (b"<", b"\xff\xfe", b"\xfe\xff")  # the last two: UTF-16
_SURE = 1.0
_ENOUGH = 8  # frames with rows; fewer may lie on a grid by chance
_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "": False}
_STEP = re.compile(r"step\s*=\s*([1-9]\d{0,6})")
_HINT = 'Export the task from CVAT as "CVAT for video 1.1" and give the annotations.xml in its ZIP.'


@dataclass(frozen=True)
class GroundTruth:
    """What a file of marked faces says.

    Args:
        faces: those that are to be found.
        ignored: those that need not be.
        marked: the frames that both tell of.
        source: how `marked` is known, for people; empty where every frame is marked.
    """

    faces: Frames
    ignored: Frames
    marked: Marked = EVERY_FRAME
    source: str = ""

    @property
    def note(self) -> str:
        """A sentence for people; empty where every frame is marked."""
        if self.marked == EVERY_FRAME:
            return ""
        return f"The ground truth marks {self.marked} ({self.source}); others are not scored."


def read_ground_truth(path: Path, marked_every: int | None = None) -> GroundTruth:
    """Reads a MOT file or a CVAT for video XML; its content says which, not its name.

    Args:
        marked_every: only every n-th frame is marked; None takes what the file says, or infers it.

    Raises:
        InvalidInput: it is missing, or neither, or has faces in frames that are not marked.
    """
    start = _first_bytes(path)
    if start.startswith(b"PK\x03\x04"):
        raise InvalidInput(f"{path.name!r} is a ZIP file.", hint=_HINT)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_XML_STARTS):
        said = read_cvat(path)
    else:
        said = GroundTruth(*read_mot(path))
    frames = {*_with_rows(said.faces), *_with_rows(said.ignored)}
    for frame, rows in said.faces.items():
        if len(np.unique(rows.ids)) < len(rows):
            raise InvalidInput(
                f"{path.name!r} has two faces of one identity in frame {frame} (from 0).",
                hint="Give each person's visit a number of its own.",
            )
    known = replace(said, **_marked(said, frames, marked_every))
    strays = sorted(frame for frame in frames if frame not in known.marked)
    if strays:
        raise InvalidInput(
            f"{path.name!r} has a face in frame {strays[0]} (from 0), but marks {known.marked} "
            f"({known.source}).",
            hint="Say with --marked-every N which frames are marked; 1 means every one.",
        )
    return known


def _with_rows(frames: Frames) -> Iterator[int]:
    return (frame for frame, rows in frames.items() if len(rows) > 0)


def _marked(said: GroundTruth, frames: Iterable[int], given: int | None) -> dict[str, Any]:
    """The fields `marked` and `source`."""
    if given is not None:
        return {"marked": replace(said.marked, step=given), "source": "as given"}
    if said.marked.step > 1:
        return {}
    step = _inferred_step([frame - said.marked.first for frame in frames])
    if step == 1:
        return {}
    return {"marked": replace(said.marked, step=step), "source": "as its rows lie"}


def _inferred_step(frames: Collection[int]) -> int:
    """The n of which all frames are multiples, where there are enough of them to say so; else 1."""
    return max(1, math.gcd(*frames)) if len(frames) >= _ENOUGH else 1


@dataclass
class _Annotations:
    """What was read of a CVAT file so far."""

    faces: FrameTable = field(default_factory=FrameTable)
    ignored: FrameTable = field(default_factory=FrameTable)
    taken: set[tuple[int, int]] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    marked: Marked = EVERY_FRAME

    def add_track(self, track: Any) -> None:
        label = track.get("label", "")
        if label.casefold() not in (LABEL, IGNORE):
            self.foreign.add(label)
            return
        identity = _whole(track, "id", MAX_IDS) + 1
        for frame, box, is_ignored in _seen(track):
            if (identity, frame) in self.taken:
                raise ValueError(f"track {identity - 1} has two boxes in frame {frame}")
            self.taken.add((identity, frame))
            table = self.ignored if is_ignored or label.casefold() == IGNORE else self.faces
            table.add(frame, identity, box, _SURE)


def read_cvat(path: Path) -> GroundTruth:
    """The boxes of the tracks that are labelled `face` or `ignore`, without those outside.

    Identities are CVAT's track ids plus one, since 0 is no identity here. Nothing is interpolated.

    Raises:
        InvalidInput: the file is missing, broken, or no CVAT for video XML; it declares a document
            type (and so could have entities); or it has something that cannot be scored.
    """
    read = _Annotations()
    try:
        with open_regular(path) as stream:
            for element in _elements(stream):
                if element.tag == "meta":
                    read.marked = _marked_by(element)
                else:
                    read.add_track(element)
    except OSError as error:
        raise InvalidInput(f"{path.name!r} cannot be read: {error.strerror}.") from error
    # An unknown encoding is a LookupError; defusedxml's errors are ValueErrors.
    except (ParseError, ValueError, LookupError) as error:
        raise InvalidInput(
            f"{path.name!r} is not a CVAT for video XML that can be scored: {str(error)[:200]}.",
            hint=_HINT,
        ) from error
    if read.foreign and not read.taken:
        raise InvalidInput(
            f"{path.name!r} has no face: its tracks are labelled {_named(read.foreign)}.",
            hint=f"Label the tracks of faces {LABEL!r}.",
        )
    source = "" if read.marked == EVERY_FRAME else "as CVAT's task has it"
    return GroundTruth(read.faces.frames(), read.ignored.frames(), read.marked, source)


def _marked_by(meta: Any) -> Marked:
    """The frames that a task has. What it does not say, or says of several tasks, is not known."""
    said = {
        name: values[0]
        for name in ("frame_filter", "start_frame", "stop_frame")
        if len(values := [str(item.text or "").strip() for item in meta.iter(name)]) == 1
    }
    step = _STEP.search(said.get("frame_filter", ""))
    first, last = (said.get(name, "") for name in ("start_frame", "stop_frame"))
    return Marked(
        1 if step is None else int(step[1]),
        int(first) if _is_frame(first) else 0,
        int(last) if _is_frame(last) else None,
    )


def _is_frame(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < len(str(MAX_FRAMES))


def _first_bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read(1024)
    except OSError as error:
        raise InvalidInput(f"{path.name!r} cannot be read: {error.strerror}.") from error


def _elements(stream: BinaryIO) -> Iterator[Any]:
    """The `meta` and `track` elements, each let go of when the next one is read."""
    elements = iterparse(stream, events=("start", "end"), forbid_dtd=True)
    _, root = next(elements)
    if root.tag != "annotations":
        raise ValueError(f"it begins with {short(root.tag)}")
    for event, element in elements:
        if event == "start" and element.tag == "image":
            raise ValueError("it has images in place of tracks")
        if event == "end" and element.tag in ("meta", "track"):
            yield element
            root.clear()


def _seen(track: Any) -> Iterator[tuple[int, tuple[float, ...], bool]]:
    """Frame, corners (pixels), and whether it is ignored, of each box that is not outside."""
    for shape in track:
        if shape.tag != "box":
            raise ValueError(f"a track of faces has a {short(shape.tag)}, not only boxes")
        frame = _whole(shape, "frame", MAX_FRAMES)
        if _whole(shape, "outside", 1) == 1:
            continue
        if shape.get("rotation") is not None and _number(shape, "rotation") != 0.0:
            raise ValueError(f"the box in frame {frame} is rotated")
        left, top, right, bottom = box = tuple(_number(shape, side) for side in _SIDES)
        if right <= left or bottom <= top:
            raise ValueError(f"the box in frame {frame} has no size")
        yield frame, box, _is_ignored(shape, frame)


def _is_ignored(shape: Any, frame: int) -> bool:
    """CVAT writes the attributes of a track on each of its boxes."""
    for attribute in shape.iter("attribute"):
        if attribute.get("name", "").casefold() != IGNORE:
            continue
        text = str(attribute.text or "").strip().casefold()
        if text not in _TRUTHS:
            raise ValueError(f"the box in frame {frame} has {IGNORE}={short(text)}")
        if _TRUTHS[text]:
            return True
    return False


def _whole(element: Any, name: str, limit: int) -> int:
    text = element.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(limit))):
        raise ValueError(f"a {element.tag} has {name}={short(text)}")
    if int(text) > limit:
        raise ValueError(f"a {element.tag} has {name}={text}, more than {limit}")
    return int(text)


def _number(element: Any, name: str) -> float:
    text = element.get(name, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:
        raise ValueError(f"a {element.tag} has {name}={short(text)}")
    return number


def _named(labels: set[str]) -> str:
    return short(", ".join(sorted(labels)))
