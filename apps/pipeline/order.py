"""In which order a video's pictures are shown. Pure.

Times tell it where they are sound: every picture has one, no two have the same, and the clock never
goes back. Nearly always they are. Where they are not, the coded pictures themselves tell it
(`bitstream`), and a clock that begins anew in the middle of the file leaves its pictures where they
are in the file.
"""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NO_TIME = np.iinfo(np.int64).min
_LARGEST_REORDERING = 16  # pictures that a decoder may hold back (H.264 A.3.1, H.265 A.4.1)

IntArray = NDArray[np.int64]


def display_order(
    pts: IntArray, dts: IntArray, places: IntArray | None, *, trust_places: bool
) -> IntArray | None:
    """The number of each picture in display order.

    Args:
        pts: shape (n,), presentation times of the pictures in coding order; NO_TIME where the file
            has none.
        dts: shape (n,), decoding times, likewise.
        places: shape (n,), as the coded pictures say (larger is later); None where they do not.
        trust_places: they hold even against sound times. (Packets of two pictures that were copied
            into another container have the times of their coding order.)

    Returns:
        Shape (n,), a permutation of 0..n-1; None where it cannot be known before decoding.
    """
    if places is not None and trust_places:
        return _as_a_decoder_does(places)
    if are_sound(pts, dts):
        return ranks(pts)
    if places is not None:
        return _as_a_decoder_does(places)
    starts = [0, *_clock_breaks(dts), len(pts)]
    pieces = [slice(start, end) for start, end in pairwise(starts)]
    if not all(are_sound(pts[piece], dts[piece]) for piece in pieces):
        return None
    return np.concatenate([piece.start + ranks(pts[piece]) for piece in pieces])


def are_sound(pts: IntArray, dts: IntArray) -> bool:
    """Whether the times are a total order, by a clock that goes forward.

    Args:
        pts, dts: as above.
    """
    if bool((pts == NO_TIME).any()) or len(np.unique(pts)) != len(pts):
        return False
    moved = np.abs(ranks(pts) - np.arange(len(pts)))
    return len(_clock_breaks(dts)) == 0 and bool((moved <= _LARGEST_REORDERING).all())


def _clock_breaks(dts: IntArray) -> list[int]:
    """Pictures whose decoding time is before that of the one before."""
    known = np.flatnonzero(dts != NO_TIME)
    return [int(number) for number in known[1:][np.diff(dts[known]) < 0]]


def ranks(values: IntArray) -> IntArray:
    """The place of each value among all of them; equal ones stay in their order."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _as_a_decoder_does(places: IntArray) -> IntArray:
    """Shows the earliest of the pictures that are held back, once they are more than may be."""
    order: list[int] = []
    held: list[tuple[int, int]] = []
    for number, place in enumerate(places.tolist()):
        heapq.heappush(held, (place, number))
        if len(held) > _LARGEST_REORDERING:
            order.append(heapq.heappop(held)[1])
    order += [number for _, number in sorted(held)]
    ranks = np.empty(len(places), np.int64)
    ranks[order] = np.arange(len(places))
    return ranks
