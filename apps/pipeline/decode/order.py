"""In which order a video's pictures are shown. Pure.

Times tell it where they are sound: every picture has one, no two have the same, and the clock never
goes back. Nearly always they are. Where they are not, the coded pictures themselves tell it
(`bitstream`), and a clock that begins again in the middle of the file leaves its pictures where
they are in the file.
"""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from apps.pipeline.arrays import IntArray

NO_TIME = np.iinfo(np.int64).min
_NEVER = np.iinfo(np.int64).max
LARGEST_REORDERING = 16  # pictures that a decoder may hold back (H.264 A.3.1, H.265 A.4.1)


def display_order(
    pts: IntArray,
    dts: IntArray,
    places: IntArray | None,
    *,
    trust_places: bool,
    held_back: int,
) -> IntArray | None:
    """The number of each picture in display order.

    Args:
        pts: shape (n,), presentation times of the pictures in coding order; NO_TIME where the file
            has none.
        dts: shape (n,), decoding times, likewise.
        places: shape (n,), as the coded pictures say (larger is later); None where they do not.
        trust_places: they hold even against sound times.
        held_back: how many pictures the decoder holds back; 0 where it is not known.

    Returns:
        Shape (n,), a permutation of 0..n-1; None where it cannot be known before decoding.
    """
    sound = are_sound(pts, dts)
    by_times = ranks(pts)
    if places is not None:
        # Copied out of a container that has no presentation times, pictures have those of the order
        # in which they are coded.
        is_of_coding = held_back > 0 and bool((np.diff(by_times) > 0).all())
        if trust_places or is_of_coding or not sound:
            return _as_a_decoder_does(places, held_back or LARGEST_REORDERING)
    if sound:
        return by_times
    starts = [0, *_clock_breaks(pts, dts), len(pts)]
    pieces = [slice(start, end) for start, end in pairwise(starts)]
    if not all(are_sound(pts[piece], dts[piece]) for piece in pieces):
        return None
    return np.concatenate([piece.start + ranks(pts[piece]) for piece in pieces])


def are_sound(pts: IntArray, dts: IntArray) -> bool:
    """Whether the times are a total order, by a clock that goes forward.

    Args:
        pts, dts: as above.
    """
    has_ties = bool((np.diff(np.sort(pts)) == 0).any())  # np.unique loads numpy.ma: 15 ms
    if has_ties or bool((pts == NO_TIME).any()):
        return False
    moved = np.abs(ranks(pts) - np.arange(len(pts)))
    return len(_clock_breaks(pts, dts)) == 0 and bool((moved <= LARGEST_REORDERING).all())


def _clock_breaks(pts: IntArray, dts: IntArray) -> list[int]:
    """Pictures whose decoding time is before that of the one before.

    Where parts were joined so that all pictures go on one after the other, there is no break.
    """
    known = np.flatnonzero(dts != NO_TIME)
    breaks = known[1:][np.diff(dts[known]) < 0]
    if len(breaks) == 0:
        return []
    newest = np.maximum.accumulate(pts)
    oldest = np.minimum.accumulate(np.where(pts == NO_TIME, _NEVER, pts)[::-1])[::-1]
    return [int(place) for place in breaks if oldest[place] <= newest[place - 1]]


def ranks(values: IntArray) -> IntArray:
    """The place of each value among all of them; equal ones stay in their order."""
    found = np.empty(len(values), np.int64)
    found[np.argsort(values, kind="stable")] = np.arange(len(values))
    return found


def _as_a_decoder_does(places: IntArray, held_back: int) -> IntArray:
    """Shows the earliest of the pictures that are held back, once they are more than may be.

    A picture that comes too late for its place makes a decoder hold back more.
    """
    order: list[int] = []
    held: list[tuple[int, int]] = []
    newest = np.iinfo(np.int64).min
    for number, place in enumerate(places.tolist()):
        held_back += place < newest and held_back < LARGEST_REORDERING
        heapq.heappush(held, (place, number))
        if len(held) > held_back:
            newest, shown = heapq.heappop(held)
            order.append(shown)
    order += [number for _, number in sorted(held)]
    return np.argsort(np.array(order, np.int64))
