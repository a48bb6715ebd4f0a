"""Which bytes of a video a part needs, so that a host need not have all of it. Pure.

An extract has a video's size and these bytes of it. Its demuxer finds all packets, and the decoder
refuses those that are not there (`FrameDecoder`), so nothing else is ever taken for a picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apps.common.files import fingerprint_ranges
from apps.pipeline.arrays import BoolArray
from apps.pipeline.decode.selection import Need, Span
from apps.pipeline.decode.video import KnownVideo
from apps.pipeline.parts.known_video import VideoNote

_PROBED_BYTES = 5_000_000  # that FFmpeg may read of the first packets, when it opens a file
_GAP_BYTES = 1 << 20  # asking for them costs less than one more request
_HELD_BACK = 16  # packets that may come before the one that is shown with them
_WORTH = 0.7  # of the file; who needs more takes all of it
Ranges = list[tuple[int, int]]


def extract_of(
    note: VideoNote, span: Span, stride: int, *, checked_s: float
) -> tuple[Ranges, KnownVideo] | None:
    """What a part needs, and the video as it is then known.

    Args:
        stride: frames from one processed frame to the next, >= 1.
        checked_s: the detector is compared with another one on pictures of so many seconds of the
            video's beginning; 0 where it is not.

    Returns:
        Bytes, each from one to another; None where all of the file is to be had.
    """
    index = note.known.index
    order, places, keys = index.order, index.places, index.keys
    if order is None or places is None or keys is None or note.beside_media is None:
        return None
    needs = order.needs(stride, span.first)
    wanted: BoolArray = np.array([need is not Need.NOTHING for need in needs], np.bool_)
    wanted[span.end :] = False
    if checked_s > 0:
        wanted |= keys & (np.arange(len(keys)) <= checked_s * index.fps + _HELD_BACK)
    begin = int(places[:, 0].min())
    ranges = [
        *note.beside_media,
        (begin, begin + _PROBED_BYTES),
        *fingerprint_ranges(note.file.size_bytes),
        *((int(at), int(at + size)) for at, size in places[wanted]),
    ]
    merged = _merged(ranges, note.file.size_bytes)
    if sum(end - start for start, end in merged) > _WORTH * note.file.size_bytes:
        return None
    return merged, replace(note.known, present=wanted)


def _merged(ranges: Ranges, size: int) -> Ranges:
    found: Ranges = []
    for start, end in sorted(ranges):
        end = min(end, size)
        if found and start <= found[-1][1] + _GAP_BYTES:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif start < end:
            found.append((start, end))
    return found
