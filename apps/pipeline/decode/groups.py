"""Closed groups of pictures, and their packets to be had again. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from apps.pipeline.decode.selection import Need, PacketOrder

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Of a group that is kept to be decoded again; two or three of them are.
MAX_PACKETS = 600
MAX_BYTES = 50_000_000
MAX_HEADERS = 32  # packets with parameters that go before it; damaged ones may be any number


class ClosedGroups:
    """Of a video: each decodes by itself, and is shown before the next one.

    Args:
        order: of its packets; without it all of them are one group that cannot be had again.
    """

    def __init__(self, order: PacketOrder | None) -> None:
        starts = [] if order is None else order.closed_starts().tolist()
        self._starts: list[int] = [0, *(start for start in starts if start > 0)]
        self._ends = [*self._starts[1:], np.iinfo(np.int64).max]
        self._shown = [0] if order is None else [int(order.display[n]) for n in self._starts]
        self._small = [False]
        if order is not None and len(order.sizes) > 0:
            packets = np.diff([*self._starts, len(order.sizes)])
            sizes = np.add.reduceat(order.sizes, self._starts)
            self._small = ((packets <= MAX_PACKETS) & (sizes <= MAX_BYTES)).tolist()

    def of(self, packet: int) -> int:
        """The group that a packet belongs to."""
        return bisect_right(self._starts, packet) - 1

    def showing(self, picture: int) -> int:
        """The group in which a picture is shown."""
        return max(0, bisect_right(self._shown, picture, lo=1) - 1)

    def begin(self, group: int) -> int:
        """Its first packet."""
        return self._starts[group]

    def end(self, group: int) -> int:
        """The packet behind its last one."""
        return self._ends[group]

    def is_small(self, group: int) -> bool:
        """Whether it is kept."""
        return self._small[group]

    def are_small(self) -> bool:
        """Whether each of them is kept."""
        return all(self._small)

    def count(self) -> int:
        return len(self._starts)

    def seams(self) -> frozenset[int]:
        """Packets before which a decoder is emptied: where a group begins or ends that is not kept.

        So no packet of it is in the decoder when damage in one of its neighbours is met.
        """
        small = self._small
        pairs = enumerate(pairwise(small), start=1)
        return frozenset(self._starts[n] for n, both in pairs if not all(both))

    def run_up(self, group: int) -> int:
        """The packet with which decoding begins where this group is decoded again."""
        return self.begin(group - 1 if group > 0 and self.is_small(group - 1) else group)


@dataclass(frozen=True, slots=True)
class Fed:
    """A packet on its way to a decoder.

    Args:
        need: what a run of the whole video makes of it.
        asked: what is to be made of it now.
        restarts: the decoder is emptied before it: another sequence began with it, or between it
            and the one before, or it is one of `ClosedGroups.seams`.
        has_headers: it carries parameters that no packet before it did.
        jumps: packets before it are passed over; the decoder is emptied before it as well, but for
            a group that is decoded again.
    """

    number: int
    packet: Packet[VideoStream]
    need: Need
    asked: Need
    restarts: bool
    has_headers: bool
    jumps: bool = False


class PacketWindow:
    """Packets one after the other, the last ones of which can be had again."""

    def __init__(self, packets: Iterator[Fed], groups: ClosedGroups) -> None:
        self._packets = packets
        self._groups = groups
        self._headers: list[Fed] = []
        self._kept: deque[Fed] = deque()
        self._ahead: deque[Fed] = deque()

    def __iter__(self) -> Iterator[Fed]:
        while True:
            fed = self._ahead.popleft() if self._ahead else next(self._packets, None)
            if fed is None:
                return
            group = self._groups.of(fed.number)
            if self._groups.is_small(group) or fed.number == self._groups.begin(group):
                self._kept.append(fed)
            if fed.has_headers and (not self._headers or fed.number > self._headers[-1].number):
                self._headers.append(fed)
            yield fed

    def forget(self, before: int) -> None:
        """Packets before this one are not had again."""
        while self._kept and self._kept[0].number < before:
            self._kept.popleft()
        behind = bisect_left(self._headers, before, key=lambda fed: fed.number)
        del self._headers[1 : max(1, behind - MAX_HEADERS + 1)]

    def of_group(self, group: int, *, alone: bool = False) -> Iterator[Fed]:
        """What decodes a group: parameters, the group before it, and its own packets.

        Parameters are the first ones and the latest ones, `MAX_HEADERS` packets. The next packet is
        the one behind the group then.

        Args:
            alone: without the group before it.
        """
        begin = self._groups.begin(group) if alone else self._groups.run_up(group)
        end = self._groups.end(group)
        headers = [fed for fed in self._headers if fed.number < begin]
        # Where the packets between them are, as in a part, is no matter.
        for fed in [*headers[:1], *headers[1:][1 - MAX_HEADERS :]]:
            yield replace(fed, restarts=False)
        while self._kept and self._kept[-1].number >= begin:
            self._ahead.appendleft(self._kept.pop())
        for fed in self:
            if fed.number >= end:
                self._ahead.appendleft(fed)
                if self._kept and self._kept[-1] is fed:
                    self._kept.pop()
                return
            yield replace(fed, restarts=fed.restarts and fed.number > begin)
