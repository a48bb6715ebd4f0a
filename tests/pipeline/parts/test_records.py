"""What a part has computed of its pictures is read with them, and is the same."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.common.errors import PartDamaged
from apps.pipeline.arrays import ByteArray
from apps.pipeline.frame_analysis import FrameAnalysis
from apps.pipeline.frame_features import FewPixels, FrameFeatures, Glimpse
from apps.pipeline.geometry import Orientation
from apps.pipeline.parts.motions import KnownMotions
from apps.pipeline.parts.records import frame_of, frame_record, read_record
from apps.pipeline.shots.motion import Motion
from apps.pipeline.types import Faces
from apps.pipeline.yuv_crop import FacePatch
from tests.support.records import through_a_file

NAMES = ["colours", "digest", "layout"]


def picture(seed: int) -> FrameFeatures:
    return FrameFeatures(np.random.default_rng(seed).integers(0, 256, (144, 256, 3), np.uint8))


def never(_ts_s: float) -> FrameFeatures:
    raise AssertionError("a picture was decoded again")


def as_read(frame: FrameAnalysis) -> FrameAnalysis:
    """As whoever puts parts together has it; of the first glimpse only a few pixels."""
    record = frame_record(frame, lambda glimpse: glimpse is not frame.glimpses[0])
    return frame_of(*through_a_file(*record), never, KnownMotions())


@pytest.fixture
def frame() -> FrameAnalysis:
    view, *others = (picture(seed) for seed in range(3))
    sources = [*others, view]
    return FrameAnalysis(
        index=6,
        ts_s=0.25,
        faces=Faces.none(),
        view=view,
        appearance=np.zeros((0, 60), np.float32),
        glimpses=tuple(
            Glimpse(0.1 * place, source, is_intra=place == 1)
            for place, source in enumerate(sources)
        ),
        crops=(),
        face_patches=(),
        looked_again=False,
    )


def test_it_is_the_same_to_the_bit(frame: FrameAnalysis) -> None:
    pictures = [frame.view, *frame.glimpses]
    for one in pictures:
        for name in NAMES:
            getattr(one, name, None)  # a glimpse has a layout alone
    read = as_read(frame)
    for one, again in zip(pictures, [read.view, *read.glimpses], strict=True):
        wanted, known = one.computed(), again.computed()
        assert sorted(known) == (NAMES if isinstance(one, FrameFeatures) else ["layout"])
        for name, array in known.items():
            assert array.dtype == wanted[name].dtype
            assert np.array_equal(array, wanted[name])


def test_what_was_not_asked_for_is_computed_then(frame: FrameAnalysis) -> None:
    read = as_read(frame)
    few = read.glimpses[0]
    assert isinstance(few.source, FewPixels)
    for one, again in zip([frame.view, *frame.glimpses], [read.view, *read.glimpses], strict=True):
        assert again.computed() == {}
        assert np.array_equal(again.layout, one.layout)


def test_what_is_known_of_a_picture_keeps_no_record_in_memory(frame: FrameAnalysis) -> None:
    few = frame.glimpses[0]
    assert few.layout.size
    layout = as_read(frame).glimpses[0].layout
    assert layout.base is None


@pytest.fixture
def full(frame: FrameAnalysis) -> FrameAnalysis:
    """With all that a frame may have."""
    rng = np.random.default_rng(7)

    def plane(*shape: int) -> ByteArray:
        return rng.integers(0, 256, shape, np.uint8)

    bgr = FacePatch((plane(20, 16, 3),), None, Orientation(), (16, 20), (0, 0, 0.2, 0.3), None)
    planes, matrix = (plane(20, 16), plane(10, 8), plane(10, 8)), np.eye(3, 4, dtype=np.float32)
    yuv = FacePatch(planes, matrix, Orientation(1), (16, 20), (0, 0, 0.2, 0.3), None)
    boxes, landmarks = rng.random((2, 4), np.float32), rng.random((2, 5, 2), np.float32)
    for one in (frame.view, *frame.glimpses):
        for name in NAMES:
            getattr(one, name, None)
    return replace(
        frame,
        faces=Faces(boxes, landmarks, np.float32([0.9, 0.8])),
        appearance=rng.random((2, 60), np.float32),
        crops=(b"jpeg", b"jpeg"),
        face_patches=(bgr, yuv),
        glimpses=(*frame.glimpses, Glimpse(0.9, yuv)),
    )


def record_of(frame: FrameAnalysis) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    motions = [("a name", Motion())]
    body, arrays = frame_record(frame, lambda one: one is not frame.glimpses[0], motions)
    return through_a_file(body, arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[None],
        lambda array: array.astype(bool),
        lambda array: array.reshape(-1)[:0],
        lambda array: np.repeat(array[None], 2, 0).reshape(-1),
    ],
    ids=["a dimension more", "another kind", "empty", "longer"],
)
def test_no_array_is_taken_for_what_it_is_not(
    full: FrameAnalysis, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    """A file that fits its checksums may still be of anybody."""
    body, arrays = record_of(full)
    assert frame_of(body, arrays, never, KnownMotions()).index == full.index
    for place, array in enumerate(arrays):
        if place in body["crops"] and array.ndim == change(array).ndim and change(array).size:
            continue  # any bytes may be a crop
        forged = [*arrays[:place], change(array), *arrays[place + 1 :]]
        with pytest.raises(PartDamaged):
            frame_of(body, forged, never, KnownMotions())


@pytest.mark.parametrize(
    "forged",
    [
        {"index": "first"},
        {"index": float("inf")},
        {"index": [[]]},
        {"ts_s": None},
        {"faces": [0, 1]},
        {"faces": [0, 1, 99]},
        {"view": {"image": 0, "computed": {}}},
        {"view": {"image": 0, "computed": None}},
        {"glimpses": [{"ts_s": 0.1, "view": None}]},
        {"motions": [["a name"]]},
        {"motions": [["a name", 0, "much", "little", [], 1, 2]]},
        {"face_patches": [{}]},
    ],
)
def test_no_word_is_taken_for_what_it_is_not(full: FrameAnalysis, forged: dict[str, Any]) -> None:
    body, arrays = record_of(full)
    with pytest.raises(PartDamaged):
        frame_of({**body, **forged}, arrays, never, KnownMotions())


@pytest.mark.parametrize("shape", [[0, 20], [-1, 20], [float("inf"), 20], ["a", 20], [16]])
def test_no_face_has_no_size(full: FrameAnalysis, shape: list[Any]) -> None:
    body, arrays = record_of(full)
    body["face_patches"][0]["shape"] = shape
    with pytest.raises(PartDamaged):
        frame_of(body, arrays, never, KnownMotions())


@pytest.mark.parametrize("orientation", [[4, False], ["%s", False], [{}, False], [0]])
def test_no_face_is_turned_by_anything_else(full: FrameAnalysis, orientation: list[Any]) -> None:
    body, arrays = record_of(full)
    body["face_patches"][0]["orientation"] = orientation
    with pytest.raises(PartDamaged):
        frame_of(body, arrays, never, KnownMotions())


@pytest.mark.parametrize(
    "text",
    [b'{"a":' + b"[" * 100_000, b'{"arrays":[["uint8",[1' + b"0" * 30 + b"]]]}", b"[]", b"\xff"],
    ids=["deep", "huge", "a list", "no text"],
)
def test_no_record_is_taken_for_what_it_is_not(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "1-of-2.part"
    path.write_bytes(struct.pack("<IQI", len(text), 0, zlib.crc32(text)) + text)
    with path.open("rb") as stream, pytest.raises(PartDamaged):
        read_record(stream)
