"""Boxes around faces. Pure."""

from __future__ import annotations

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def intersection_over_union(one: Box, other: Box) -> float:
    """Of two boxes, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
