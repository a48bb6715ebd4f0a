"""Do two finders find the same faces? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from apps.common.contracts.manifest import Agreement
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.base import Finder

SAME_FACE = 0.5  # least intersection over union
MIN_RECALL = 0.98
MIN_PRECISION = 0.98
MIN_MEAN_IOU = 0.9


def compare(
    reference: Finder, other: Finder, pictures: Iterable[ByteArray], *, sure: float = 0.0
) -> Agreement:
    """Matches the faces of both, picture by picture, the most alike first.

    Args:
        sure: what one finds with this confidence the other has to find, with whatever confidence:
            faces at the threshold come and go with any rounding.
    """
    seen = wanted = found = met = right = 0
    alike: list[float] = []
    for picture in pictures:
        seen += 1
        ours, theirs = reference(picture), other(picture)
        pairs = matches(overlaps(ours.boxes, theirs.boxes))
        is_wanted, is_claimed = ours.conf >= sure, theirs.conf >= sure
        wanted += int(is_wanted.sum())
        found += int(is_claimed.sum())
        met += sum(is_wanted[pair.row] for pair in pairs)
        right += sum(is_claimed[pair.column] for pair in pairs)
        alike.extend(pair.overlap for pair in pairs)
    return Agreement(
        pictures=seen,
        faces=wanted,
        recall=round(met / wanted, 4) if wanted > 0 else 1.0,
        precision=round(right / found, 4) if found > 0 else 1.0,
        mean_iou=round(float(np.mean(alike)), 4) if alike else 0.0,
        least_iou=round(min(alike), 4) if alike else 0.0,
    )


def is_enough(agreement: Agreement) -> bool:
    """Whether the other can stand for the reference."""
    return (
        agreement.recall >= MIN_RECALL
        and agreement.precision >= MIN_PRECISION
        and agreement.mean_iou >= MIN_MEAN_IOU
    )


def sentence(agreement: Agreement) -> str:
    """For people; a part of one."""
    return (
        f"{agreement.recall:.1%} of {agreement.faces} faces found, {agreement.precision:.1%} of "
        f"the found ones right, mean box overlap {agreement.mean_iou:.3f}"
    )


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of each box of `a` with each of `b`.

    Args:
        a, b: shape (n, 4) and (m, 4), [x1, y1, x2, y2].

    Returns:
        Shape (n, m).
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - inside
    return np.asarray(inside / np.maximum(union, 1e-9), np.float32)


class Pair(NamedTuple):
    """Boxes that are the same face: their places, and how much they overlap."""

    row: int
    column: int
    overlap: float


def matches(alike: FloatArray) -> list[Pair]:
    """Pairs, each box in one of them at most, the most alike first.

    Args:
        alike: shape (n, m), as of `overlaps`.
    """
    left = alike.copy()
    pairs = []
    while left.size > 0 and left.max() >= SAME_FACE:
        row, column = np.unravel_index(left.argmax(), left.shape)
        pairs.append(Pair(int(row), int(column), float(left[row, column])))
        left[row, :] = left[:, column] = 0
    return pairs
