"""Which packets a sampled video needs: the sampled pictures, and what those are made from.

A picture that no other refers to is decoded only where it is sampled; the decoder is told so packet
by packet (FFmpeg's `skip_frame`). And what follows the last sampled picture of a closed group of
pictures is not even sent to it. The sampled pictures stay identical to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

NOT_SHOWN = -1


class Need(Enum):
    """What is to be done with a packet; the value is FFmpeg's `skip_frame`."""

    PICTURE = "DEFAULT"
    IF_REFERENCE = "NONREF"
    NOTHING = "ALL"


@dataclass(frozen=True)
class PacketOrder:
    """All packets of a video, in decoding order.

    Args:
        display: shape (n,), int64: number of its picture in display order; NOT_SHOWN for one that
            an edit list leaves out.
        restarts: shape (n,), bool: decoding can begin with this packet as if nothing went before.
    """

    display: NDArray[np.int64]
    restarts: NDArray[np.bool_]

    def needs(self, stride: int) -> list[Need]:
        """For frames 0, stride, 2*stride, ... in display order.

        Args:
            stride: >= 1.

        Returns:
            One for each packet.
        """
        shown = self.display != NOT_SHOWN
        sampled = shown & (self.display % stride == 0)
        needs = [Need.PICTURE if wanted else Need.IF_REFERENCE for wanted in sampled]
        ends = [*self._closed_starts().tolist(), len(needs)]
        for start, end in zip([0, *ends], ends, strict=False):
            wanted = np.flatnonzero(sampled[start:end])
            after = start + int(wanted[-1]) + 1 if len(wanted) else start
            needs[after:end] = [Need.NOTHING] * (end - after)
        return needs

    def _closed_starts(self) -> NDArray[np.int64]:
        """Packets where decoding restarts and after which nothing is shown that belongs before."""
        count = len(self.display)
        if count == 0:
            return np.zeros(0, np.int64)
        latest_before = np.maximum.accumulate(np.concatenate(([NOT_SHOWN], self.display[:-1])))
        shown_at = np.where(self.display == NOT_SHOWN, np.iinfo(np.int64).max, self.display)
        earliest_after = np.minimum.accumulate(shown_at[::-1])[::-1]
        closed = self.restarts & (earliest_after == self.display) & (latest_before < self.display)
        return np.flatnonzero(closed)


def has_idr(packet: bytes, length_size: int) -> bool:
    """True where an H.264 packet holds an IDR picture, before which nothing is referred to.

    Containers also call those pictures key frames that only begin a recovery.

    Args:
        packet: an access unit.
        length_size: bytes of the length before each NAL unit (ISO/IEC 14496-15); 0 where start
            codes stand between them (Rec. ITU-T H.264, Annex B).
    """
    if length_size == 0:
        return any(
            unit and unit[0] & _NAL_TYPE == _IDR_SLICE for unit in packet.split(b"\0\0\1")[1:]
        )
    place = 0
    while place + length_size < len(packet):
        size = int.from_bytes(packet[place : place + length_size], "big")
        if packet[place + length_size] & _NAL_TYPE == _IDR_SLICE:
            return True
        place += length_size + size
    return False


def nal_length_size(extradata: bytes | None) -> int:
    """From an H.264 stream's `avcC` record; 0 for a stream with start codes."""
    if extradata is None or len(extradata) < 5 or extradata[0] != 1:
        return 0
    return (extradata[4] & 3) + 1


_NAL_TYPE = 0x1F
_IDR_SLICE = 5
