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


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a video that decodes by itself: closed groups of pictures, one after the other.

    Args:
        first: number of its first picture, in display order.
        packet, end: its packets in decoding order, those from `packet` to the one before `end`.
    """

    first: int
    packet: int
    end: int


@dataclass(frozen=True)
class PacketOrder:
    """All packets of a video, in decoding order.

    Args:
        display: shape (n,), int64: number of its picture in display order; both packets of a
            picture that comes in two have the same; NOT_SHOWN for one that shows nothing.
        restarts: shape (n,), bool: decoding can begin with this packet as if nothing went before.
        headers: shape (n,), bool: it carries parameters that no packet before it did.
        sizes: shape (n,), int64: bytes of each.
    """

    display: NDArray[np.int64]
    restarts: NDArray[np.bool_]
    headers: NDArray[np.bool_]
    sizes: NDArray[np.int64]

    def needs(
        self, stride: int, first: int = 0, among: NDArray[np.bool_] | None = None
    ) -> list[Need]:
        """For frames 0, stride, 2*stride, ... in display order.

        Args:
            stride: >= 1.
            first: of these frames, those before it are not wanted.
            among: shape (n,), packets of whose pictures some are wanted; None for all.

        Returns:
            One for each packet.
        """
        shown = self.display != NOT_SHOWN
        is_sampled = (self.display % stride == 0) & (self.display >= first)
        if among is not None:
            is_sampled &= among
        kept = (shown & is_sampled) | self.headers
        needs = [Need.PICTURE if wanted else Need.IF_REFERENCE for wanted in kept]
        ends = [*self.closed_starts().tolist(), len(needs)]
        for start, end in zip([0, *ends], ends, strict=False):
            wanted = np.flatnonzero(kept[start:end])
            after = start + int(wanted[-1]) + 1 if len(wanted) else start
            needs[after:end] = [Need.NOTHING] * (end - after)
        return needs

    def closed_starts(self) -> NDArray[np.int64]:
        """Packets where decoding restarts and after which nothing is shown that belongs before.

        All pictures of the packets before such a one are shown before its own.
        """
        count = len(self.display)
        if count == 0:
            return np.zeros(0, np.int64)
        latest_before = np.maximum.accumulate(np.concatenate(([NOT_SHOWN], self.display[:-1])))
        shown_at = np.where(self.display == NOT_SHOWN, np.iinfo(np.int64).max, self.display)
        earliest_after = np.minimum.accumulate(shown_at[::-1])[::-1]
        closed = self.restarts & (earliest_after == self.display) & (latest_before < self.display)
        return np.flatnonzero(closed)
