"""What a part has measured between two pictures is not measured again, and is the same."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.pipeline.frame_features import FrameFeatures
from apps.pipeline.parts import motions
from apps.pipeline.parts.found_arrays import FoundArrays
from apps.pipeline.parts.motions import KnownMotions, RecordedMotions, row_of
from apps.pipeline.shots.motion import Motion, MotionLimits, motion_between
from tests.support.records import through_a_file

LIMITS = MotionLimits(agreement=0.5, response=0.3, features=12, spread=0.3, scale_change=1.2)
OVERLAY = np.eye(72, 128, dtype=bool)


@pytest.fixture
def views() -> tuple[FrameFeatures, FrameFeatures]:
    """A picture, and the same a little further."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (18, 32, 3), np.uint8)
    wide = cv2.resize(coarse, (300, 160), interpolation=cv2.INTER_CUBIC)
    one, other = (wide[8:152, at : at + 256].copy() for at in (10, 17))
    return FrameFeatures(one), FrameFeatures(other)


def kept(found: list[tuple[str, Motion]]) -> KnownMotions:
    """As a part's file brings them to the whole."""
    arrays: list[NDArray[Any]] = [motion.matrix for _, motion in found]
    rows = [row_of(name, motion, place) for place, (name, motion) in enumerate(found)]
    body, read = through_a_file({"motions": rows}, arrays)
    known = KnownMotions()
    known.learn(body["motions"], FoundArrays(read))
    return known


def same(one: Motion, other: Motion) -> bool:
    facts = [row_of("", motion, 0) for motion in (one, other)]
    assert json.dumps(facts[0]) == json.dumps(facts[1])
    return np.array_equal(one.matrix, other.matrix) and one.matrix.dtype == other.matrix.dtype


def test_it_is_the_same_to_the_bit_and_measured_once(
    views: tuple[FrameFeatures, FrameFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = RecordedMotions()
    measured = recorded(*views, LIMITS)
    assert measured.matrix[0, 2] != 0
    known = kept(recorded.taken())
    assert recorded.taken() == []
    calls = []

    def counted(*given: Any) -> Motion:
        calls.append(given)
        return motion_between(*given)

    monkeypatch.setattr(motions, "motion_between", counted)
    copies = [FrameFeatures(view.image.copy()) for view in views]
    assert same(known(*copies, LIMITS), measured)
    assert calls == []
    assert same(known(*copies, LIMITS), measured)  # it was given away: measured again
    assert len(calls) == 1


def test_other_pictures_limits_and_overlays_are_others(
    views: tuple[FrameFeatures, FrameFeatures],
) -> None:
    one, other = views
    recorded = RecordedMotions()
    recorded(one, other, LIMITS)
    changed = other.image.copy()
    changed[70, 100] ^= 1
    looser = MotionLimits(agreement=0.4, response=0.3, features=12, spread=0.3, scale_change=1.2)
    for given in (
        (other, one, LIMITS, None),
        (one, FrameFeatures(changed), LIMITS, None),
        (one, other, looser, None),
        (one, other, LIMITS, OVERLAY),
    ):
        recorded(*given)
    names = [name for name, _ in recorded.taken()]
    assert len(set(names)) == len(names) == 5
