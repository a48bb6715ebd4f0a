"""Motions that a part has measured while it looked for cuts; the whole need not measure them again.

Measuring is most of the search for cuts, and a measurement depends on its two pictures alone. So
each is kept by what the pictures are, and what is not known is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from apps.pipeline.arrays import BoolArray
from apps.pipeline.frame_features import FrameFeatures
from apps.pipeline.parts.found_arrays import FoundArrays
from apps.pipeline.shots.motion import Motion, MotionLimits, motion_between


@dataclass
class RecordedMotions:
    """Measures motions, and keeps them until they are taken; see `motion_between`."""

    _found: list[tuple[str, Motion]] = field(default_factory=list)

    def __call__(
        self,
        before: FrameFeatures,
        now: FrameFeatures,
        limits: MotionLimits,
        overlay: BoolArray | None = None,
    ) -> Motion:
        motion = motion_between(before, now, limits, overlay)
        self._found.append((_name(before, now, limits, overlay), motion))
        return motion

    def taken(self) -> list[tuple[str, Motion]]:
        """Those since the last time, by name."""
        found, self._found = self._found, []
        return found


@dataclass
class KnownMotions:
    """Gives motions that were measured, each once; measures the others. See `motion_between`."""

    _known: dict[str, Motion] = field(default_factory=dict)

    def __call__(
        self,
        before: FrameFeatures,
        now: FrameFeatures,
        limits: MotionLimits,
        overlay: BoolArray | None = None,
    ) -> Motion:
        known = self._known.pop(_name(before, now, limits, overlay), None)
        return motion_between(before, now, limits, overlay) if known is None else known

    def learn(self, rows: Sequence[Sequence[Any]], found: FoundArrays) -> None:
        """Motions of a record.

        Args:
            rows: as `row_of` makes them.
            found: beside them.
        """
        for name, place, agreement, response, features, is_one_thing, stays in rows:
            self._known[name] = Motion(
                found.floats(place, 2, 3),
                float(agreement),
                float(response),
                int(features),
                bool(is_one_thing),
                bool(stays),
            )


def row_of(name: str, motion: Motion, place: int) -> list[Any]:
    """For JSON, which keeps each number exactly.

    Args:
        place: of its matrix among the arrays.
    """
    return [
        name,
        place,
        float(motion.agreement),
        float(motion.response),
        int(motion.features),
        bool(motion.is_one_thing),
        bool(motion.stays),
    ]


def _name(
    before: FrameFeatures, now: FrameFeatures, limits: MotionLimits, overlay: BoolArray | None
) -> str:
    name = blake2b(before.digest.tobytes() + now.digest.tobytes(), digest_size=16)
    name.update(repr(limits).encode())
    if overlay is not None:
        name.update(overlay.tobytes())
    return name.hexdigest()
