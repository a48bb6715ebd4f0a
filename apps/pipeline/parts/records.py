"""Records: an analysed frame as bytes and back, to the bit.

A record is a line of JSON and the arrays that it names, with a checksum. Nothing in it is executed,
and nothing is believed that does not fit: lengths are bounded before anything is read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf, prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from apps.common.errors import PartDamaged
from apps.pipeline.arrays import ByteArray
from apps.pipeline.frame_analysis import FrameAnalysis
from apps.pipeline.frame_features import (
    COMPUTED_SHAPES,
    FACE_APPEARANCE,
    TINY,
    WIDTH,
    FewPixels,
    FrameFeatures,
    Glimpse,
)
from apps.pipeline.geometry import Orientation
from apps.pipeline.parts.found_arrays import FoundArrays
from apps.pipeline.parts.motions import KnownMotions, row_of
from apps.pipeline.shots.motion import Motion
from apps.pipeline.tone import Tone
from apps.pipeline.types import Faces
from apps.pipeline.yuv_crop import FacePatch

_HEAD = struct.Struct("<IQI")  # bytes of the JSON, bytes of the arrays, checksum of both
_MAX_JSON = 1 << 24
_MAX_ARRAYS = 1 << 32
# What comes of JSON that is something else than was written.
MISFITS = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
Again = Callable[[float], FrameFeatures]  # the view of the picture that is shown at a time
_KINDS = {
    "uint8": np.uint8,
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
}


@dataclass
class _Arrays:
    """What is put beside the JSON: arrays are named there by their places."""

    found: list[NDArray[Any]] = field(default_factory=list)

    def add(self, array: NDArray[Any]) -> int:
        self.found.append(array)
        return len(self.found) - 1


def write_record(stream: IO[bytes], body: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
    """Appends one record.

    Args:
        body: JSON.
        arrays: of whole numbers of 8 or 64 bits, of floating point, or of truth.
    """
    shapes = [[array.dtype.name, list(array.shape)] for array in arrays]
    text = json.dumps({**body, "arrays": shapes}, separators=(",", ":")).encode()
    parts = [array.tobytes() for array in arrays]
    checksum = zlib.crc32(text)
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    stream.write(_HEAD.pack(len(text), sum(map(len, parts)), checksum))
    stream.writelines([text, *parts])


def read_record(stream: IO[bytes]) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
    """The next record; None at the end of the stream.

    Raises:
        PartDamaged: it is cut off, or not what was written.
    """
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise damaged("it is cut off")
    of_text, of_arrays, checksum = _HEAD.unpack(head)
    if of_text > _MAX_JSON or of_arrays > _MAX_ARRAYS:
        raise damaged("it is no part of a run")
    if of_text + of_arrays > os.fstat(stream.fileno()).st_size - stream.tell():
        raise damaged("it is cut off")  # before memory is taken for what is not there
    text, content = stream.read(of_text), bytearray(of_arrays)
    if len(text) < of_text or stream.readinto(content) < of_arrays:  # type: ignore[attr-defined]
        raise damaged("it is cut off")
    if zlib.crc32(content, zlib.crc32(text)) != checksum:
        raise damaged("its checksum is another one")
    try:
        body = json.loads(text)
        return body, _arrays(content, body["arrays"])
    except MISFITS as error:
        raise damaged("it is no part of a run") from error


def _arrays(content: bytearray, shapes: list[list[Any]]) -> list[NDArray[Any]]:
    """Views of the content, one after the other."""
    found, at = [], 0
    for kind, shape in shapes:
        dtype = np.dtype(_KINDS[kind])
        found.append(np.frombuffer(content, dtype, prod(shape), at).reshape(shape))
        at += prod(shape) * dtype.itemsize
    return found


def damaged(why: str) -> PartDamaged:
    return PartDamaged(f"A part of the run cannot be read: {why}.")


def frame_record(
    frame: FrameAnalysis,
    is_whole: Callable[[Glimpse], bool],
    motions: Sequence[tuple[str, Motion]] = (),
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Of a frame that is not to be looked at again.

    Args:
        is_whole: of which glimpses more than a few pixels are kept.
        motions: measured since the last record, by name.
    """
    arrays = _Arrays()
    faces = frame.faces
    body = {
        "index": frame.index,
        "ts_s": frame.ts_s,
        "looked_again": frame.looked_again,
        "faces": [arrays.add(each) for each in (faces.boxes, faces.landmarks, faces.conf)],
        "view": _view_body(frame.view, arrays),
        "appearance": arrays.add(frame.appearance),
        "glimpses": [
            _glimpse_body(each, frame.view, arrays, is_whole=is_whole(each))
            for each in frame.glimpses
        ],
        "crops": [arrays.add(np.frombuffer(crop, np.uint8)) for crop in frame.crops],
        "face_patches": [_patch_body(each, arrays) for each in frame.face_patches],
        "motions": [row_of(name, motion, arrays.add(motion.matrix)) for name, motion in motions],
    }
    return body, arrays.found


def frame_of(
    body: dict[str, Any], arrays: Sequence[NDArray[Any]], again: Again, motions: KnownMotions
) -> FrameAnalysis:
    """What `frame_record` was made of.

    Args:
        again: gives the view of a picture of which only a few pixels are left.
        motions: learns those of the record.

    Raises:
        PartDamaged: it is no record of a frame.
    """
    try:
        found, faces = FoundArrays(arrays), len(arrays[body["faces"][0]])
        boxes, landmarks, conf = body["faces"]
        motions.learn(body["motions"], found)
        view = _view(body["view"], found)
        return FrameAnalysis(
            index=int(body["index"]),
            ts_s=float(body["ts_s"]),
            faces=Faces(
                found.floats(boxes, faces, 4),
                found.floats(landmarks, faces, 5, 2),
                found.floats(conf, faces),
            ),
            view=view,
            appearance=found.floats(body["appearance"], faces, FACE_APPEARANCE),
            glimpses=tuple(_glimpse(each, view, found, again) for each in body["glimpses"]),
            crops=tuple(found.bytes(place, None).tobytes() for place in body["crops"]),
            face_patches=tuple(_patch(each, found) for each in body["face_patches"]),
            looked_again=bool(body["looked_again"]),
        )
    except MISFITS as error:
        raise damaged("a frame in it is incomplete") from error


def glimpses_record(glimpses: Sequence[Glimpse]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Of frames that belong to no sample of their part."""
    arrays = _Arrays()
    body = {"left_over": [_glimpse_body(each, None, arrays) for each in glimpses]}
    return body, arrays.found


def glimpses_of(body: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> tuple[Glimpse, ...]:
    """What `glimpses_record` was made of.

    Raises:
        PartDamaged: it is no such record.
    """
    try:
        found = FoundArrays(arrays)
        return tuple(_glimpse(each, None, found, _never) for each in body["left_over"])
    except MISFITS as error:
        raise damaged("its end is incomplete") from error


def _glimpse_body(
    glimpse: Glimpse, view: FrameFeatures | None, arrays: _Arrays, *, is_whole: bool = True
) -> dict[str, Any]:
    """Where its source is the sample's own view, that is not written twice."""
    body = {
        "ts_s": glimpse.ts_s,
        "intra": glimpse.is_intra,
        "computed": _computed_body(glimpse, arrays),
    }
    source = glimpse.source
    if not is_whole:
        return body | {"tiny": arrays.add(glimpse.tiny.astype(np.uint8))}
    if isinstance(source, FrameFeatures):
        return body | {"view": None if source is view else _view_body(source, arrays)}
    if isinstance(source, FewPixels):
        raise ValueError("what was left out once is in no part")
    return body | {"patch": _patch_body(source, arrays)}


def _never(ts_s: float) -> FrameFeatures:
    raise damaged(f"the picture at {ts_s:.3f} s is not in it")


def _glimpse(
    body: dict[str, Any],
    view: FrameFeatures | None,
    found: FoundArrays,
    again: Again,
) -> Glimpse:
    ts_s, is_intra = float(body["ts_s"]), body["intra"] is True
    source: FacePatch | FrameFeatures | FewPixels | None
    if "tiny" in body:
        tiny = found.bytes(body["tiny"], TINY[1], TINY[0], 3).astype(np.float32)
        source = FewPixels(tiny, partial(again, ts_s))
    elif "patch" in body:
        source = _patch(body["patch"], found)
    else:
        source = view if body["view"] is None else _view(body["view"], found)
    if source is None:
        raise ValueError("a glimpse without a picture")
    return Glimpse(ts_s, source, is_intra).know(_computed(body["computed"], found))


def _view_body(view: FrameFeatures, arrays: _Arrays) -> dict[str, Any]:
    return {"image": arrays.add(view.image), "computed": _computed_body(view, arrays)}


def _view(body: dict[str, Any], found: FoundArrays) -> FrameFeatures:
    image = found.bytes(body["image"], None, WIDTH, 3)
    return FrameFeatures(image).know(_computed(body["computed"], found))


def _computed_body(picture: FrameFeatures | Glimpse, arrays: _Arrays) -> dict[str, int]:
    return {name: arrays.add(array) for name, array in picture.computed().items()}


def _computed(body: dict[str, int], found: FoundArrays) -> dict[str, NDArray[Any]]:
    """Copies, which do not keep the whole record in memory."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, place in body.items():
        of = found.bytes if name == "digest" else found.floats
        arrays[name] = of(place, *COMPUTED_SHAPES[name]).copy()
    return arrays


def _patch_body(patch: FacePatch, arrays: _Arrays) -> dict[str, Any]:
    tone = patch.tone
    return {
        "planes": [arrays.add(plane) for plane in patch.planes],
        "matrix": None if patch.matrix is None else arrays.add(patch.matrix),
        "orientation": [patch.orientation.turns, patch.orientation.mirrored],
        "shape": [float(side) for side in patch.shape],
        "place": [float(side) for side in patch.place],
        "tone": None if tone is None else [tone.transfer, tone.is_wide],
    }


def _patch(body: dict[str, Any], found: FoundArrays) -> FacePatch:
    left, top, right, bottom = map(float, body["place"])
    width, height = map(float, body["shape"])
    turns, mirrored = body["orientation"]
    if not (0 < width < inf and 0 < height < inf) or turns not in range(4):
        raise ValueError("a picture of no size, or turned by something else")
    planes: tuple[ByteArray, ...]
    if body["matrix"] is None:
        (bgr,) = body["planes"]
        planes, matrix = (found.bytes(bgr, None, None, 3),), None
    else:
        y, u, v = body["planes"]
        planes = tuple(found.bytes(plane, None, None) for plane in (y, u, v))
        matrix = found.floats(body["matrix"], 3, 4)
    return FacePatch(
        planes,
        matrix,
        Orientation(int(turns), bool(mirrored)),
        (width, height),
        (left, top, right, bottom),
        None if body["tone"] is None else Tone(*body["tone"]),
    )
