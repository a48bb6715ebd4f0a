"""Where a video can be divided: into parts that decode by themselves, and are worth it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from apps.common.contracts.parts import undivided_options
from apps.common.options import Options
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.selection import Span
from apps.pipeline.decode.spans import MAX_STRIDE, spans_from, starts


def undivided_because(index: FrameIndex, options: Options, stride: int) -> str | None:
    """Why a video is not divided, a sentence; None where it may be.

    Args:
        options: of the run.
        stride: frames from one processed frame to the next, >= 1.
    """
    why = undivided_options(options)
    if why is not None:
        return why
    if stride > MAX_STRIDE:
        return f"A stride over {MAX_STRIDE} leaves little to divide."
    if index.order is None:
        return "It is not known where this video can be decoded from."
    if len(starts(index)) < 2:
        return "The video has one closed group of pictures only."
    return None


def spans(index: FrameIndex, count: int) -> list[Span]:
    """Divides a video into parts of about the same length; one after the other they are all of it.

    Args:
        count: as many parts as are wanted, >= 1; there are fewer where closed groups of pictures
            are fewer, or far apart.
    """
    length = index.count / count
    possible = starts(index)
    shown = [first for _, first in possible]
    chosen = [0]
    for number in range(1, count):
        wanted = number * length
        after = bisect_left(shown, wanted)
        near = [at for at in (after - 1, after) if chosen[-1] < at < len(shown)]
        nearest = min(near, key=lambda at: abs(shown[at] - wanted), default=0)
        if nearest and abs(shown[nearest] - wanted) < length:
            chosen.append(nearest)
    return spans_from(index, [possible[at] for at in chosen])


def spans_at(index: FrameIndex, packets: Sequence[int]) -> list[Span] | None:
    """The parts that begin with these packets; None where the video cannot be divided so.

    Args:
        packets: their numbers, ascending from 0.
    """
    first_shown = dict(starts(index))
    is_ascending = all(one < other for one, other in pairwise(packets))
    if not is_ascending or packets[:1] != [0] or not first_shown.keys() >= set(packets):
        return None
    return spans_from(index, [(packet, first_shown[packet]) for packet in packets])
