"""What a part has computed of its pictures is read with them, and is the same."""

from __future__ import annotations

import numpy as np
import pytest

from apps.pipeline.frame_analysis import FrameAnalysis
from apps.pipeline.frame_features import FewPixels, FrameFeatures, Glimpse
from apps.pipeline.parts.motions import KnownMotions
from apps.pipeline.parts.records import frame_of, frame_record
from apps.pipeline.types import Faces
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
        glimpses=tuple(Glimpse(0.1 * place, source) for place, source in enumerate(sources)),
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
