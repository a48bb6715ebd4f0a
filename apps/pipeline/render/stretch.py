"""Stretch: the part of a video that becomes a file of its own, in whole pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from apps.common.errors import InvalidInput
from apps.pipeline.decode.decoder import Decoded
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.video import Video

_ROUNDED_S = 0.001  # a time that was rounded must not mean the picture before


@dataclass(frozen=True)
class Stretch:
    """Pictures of a video, those of both ends included.

    Args:
        first, last: their numbers.
        start_s: when the first one is shown, on the player's clock.
        end_s: when the last one ends.
    """

    first: int
    last: int
    start_s: float
    end_s: float

    @property
    def count(self) -> int:
        return self.last - self.first + 1


def stretch_of(index: FrameIndex, from_s: float, to_s: float) -> Stretch:
    """From the picture that is shown at one time to the one that is shown at another.

    Args:
        from_s, to_s: seconds on the player's clock, ascending. A time before the first picture
            means that one, a `to_s` behind the last picture the last one.

    Raises:
        InvalidInput: the stretch begins behind the video's end.
    """
    first = picture_at(index, from_s)
    last = max(first, _shown_at(index, to_s))
    seconds = index.timeline.seconds
    end_s = float(seconds[last + 1]) if last + 1 < index.count else index.end_s
    return Stretch(first, last, float(seconds[first]), end_s)


def picture_at(index: FrameIndex, seconds: float) -> int:
    """Number of the picture that is shown at a time; before the first one it is that.

    Raises:
        InvalidInput: the video has ended then.
    """
    if seconds >= index.end_s:
        raise InvalidInput(
            f"The video ends at {index.end_s:.3f} s.", hint="Ask for a time before that."
        )
    return _shown_at(index, seconds)


def _shown_at(index: FrameIndex, seconds: float) -> int:
    behind = np.searchsorted(index.timeline.seconds, seconds + _ROUNDED_S, side="right")
    return max(0, int(behind) - 1)


def pictures_of(video: Video, stretch: Stretch, passing: Callable[[], None]) -> Iterator[Decoded]:
    """The pictures of a stretch, in their order; what they do not need is not decoded.

    Args:
        video: freshly opened.
        passing: called for each picture that is decoded for the others only; may raise.
    """
    for decoded in video.software.sampled(1, stretch.first - 1, passing):
        if decoded.index > stretch.last:
            return
        yield decoded
        if decoded.index == stretch.last:
            return


def copied_packets(index: FrameIndex, stretch: Stretch) -> range | None:
    """The packets that hold a stretch and nothing else, and need no others.

    Args:
        index: of the video.

    Returns:
        Their numbers; None where there are none.
    """
    order = index.order
    if order is None or index.restarts or bool(order.headers[1:].any()):
        return None
    starts = np.flatnonzero(order.display == stretch.first)
    if len(starts) != 1:
        return None
    first = int(starts[0])
    packets = range(first, first + stretch.count)
    shown = order.display[first : packets.stop]
    whole = np.arange(stretch.first, stretch.last + 1)
    if not bool(order.restarts[first]) or not np.array_equal(np.sort(shown), whole):
        return None
    return packets
