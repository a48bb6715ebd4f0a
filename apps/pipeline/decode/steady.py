"""Frames that depend on the file alone, damaged ones as well.

The gaps of a damaged picture are filled from what else a decoder has: from pictures that another
of its threads may still be making, from memory that was another picture's. So what comes out
depends on timing, and on where decoding began. A closed group of pictures in which damage is met is
therefore decoded again, by one thread and a fresh decoder that has seen the group before it and no
other. (Where the decoder does not notice the damage, as HEVC's does at times, nor does this.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from apps.pipeline.decode.codec import UNKNOWN, DamageMet, Shown, StreamCodec
from apps.pipeline.decode.groups import ClosedGroups, Fed, PacketWindow
from apps.pipeline.decode.selection import NOT_SHOWN, Need


def frames_of(
    codec: StreamCodec,
    packets: Iterable[Fed],
    *,
    feeding: Callable[[Fed], None],
    whole: bool = False,
) -> Iterator[Shown]:
    """What a decoder makes of packets.

    Args:
        feeding: called for each that is decoded, before it is; may raise.
        whole: of each what a run of the whole video needs.
    """
    context = codec.context
    restarts, number = False, 0
    try:
        for fed in packets:
            need = fed.need if whole else fed.asked
            restarts |= fed.restarts or (fed.jumps and not whole)
            if need is Need.NOTHING:
                continue
            number = fed.number
            if restarts:
                yield from codec.held_back(number)
                context.flush_buffers()
                restarts = False
            # Some decoders look at this when they are opened only.
            context.skip_frame = need.value if context.is_open else Need.PICTURE.value
            feeding(fed)
            yield from codec.decode(fed.packet, number)
        yield from codec.held_back(number)
    finally:
        codec.let_go()


class SteadyFrames:
    """Frames of one pass over a video.

    Args:
        codec: freshly made.
        packets: of the pass, and those that may be decoded again.
        groups: of the video.
        group: that of the first frame that is wanted.
        picture_of: see `FrameIndex`.
        feeding: see `frames_of`.
    """

    def __init__(
        self,
        codec: StreamCodec,
        packets: Iterator[Fed],
        groups: ClosedGroups,
        group: int,
        picture_of: Callable[[int], int],
        feeding: Callable[[Fed], None],
    ) -> None:
        self._codec = codec
        self._window = PacketWindow(packets, groups)
        self._groups = groups
        self._group = group  # of the newest frame that has come out
        self._picture_of = picture_of
        self._feeding = feeding
        self._due: set[int] = set()  # pictures that are to come out
        self._behind: deque[Shown] = deque()

    def __iter__(self) -> Iterator[Shown]:
        codec = self._codec
        while True:
            codec.watch(self._groups)
            try:
                yield from self._undamaged(codec)
            except DamageMet:
                if not self._groups.is_small(self._group):
                    self._group += 1  # all of this one has come out
                begin = self._groups.begin(self._group)
                yield from (shown for shown in self._behind if shown.packet < begin)
                is_damaged = self._is_damaged()
                if is_damaged:
                    self._codec.damaged_groups.add(self._group)
                yield from self._decoded_again(begin, alone=not is_damaged)
                self._group += 1
                if self._group == self._groups.count():
                    return
                # FFmpeg's threads do not come clean after damage by being flushed.
                codec = self._codec.fresh(self._codec.threads)
            else:
                return

    def _undamaged(self, codec: StreamCodec) -> Iterator[Shown]:
        """Frames that no damaged picture has a part in.

        Raises:
            DamageMet: there are no more of them in this group.
        """
        behind = self._behind = deque()
        self._due.clear()
        for shown in frames_of(codec, self._window, feeding=self._expect):
            self._has_come(shown)
            behind.append(shown)
            # It may be made of a damaged picture that is shown so much later.
            if len(behind) > codec.context.reorder_depth:
                yield behind.popleft()
        self._refuse_lost()
        yield from behind

    def _is_damaged(self) -> bool:
        """Whether the damage lies in this group, or in one behind it that was decoded by then."""
        strict = self._codec.fresh(threads=1)
        strict.watch(self._groups, self._group)
        packets = self._window.of_group(self._group, alone=True)
        try:
            for _ in frames_of(strict, packets, whole=True, feeding=self._feeding):
                pass
        except DamageMet:
            return True
        return False

    def _decoded_again(self, begin: int, *, alone: bool) -> Iterator[Shown]:
        """The group once more.

        Args:
            begin: its first packet.
            alone: without the one before it: after a damaged one a healthy one may come out
                otherwise.
        """
        fresh = self._codec.fresh(threads=1)
        packets = self._window.of_group(self._group, alone=alone)
        try:
            for shown in frames_of(fresh, packets, whole=True, feeding=self._feeding):
                if shown.packet >= begin:
                    yield shown
        finally:
            self._codec.refused |= {number for number in fresh.refused if number >= begin}

    def _expect(self, fed: Fed) -> None:
        if fed.restarts or fed.jumps:
            self._refuse_lost()  # the decoder was emptied
        self._feeding(fed)
        shown = self._picture_of(fed.number)
        is_kept = self._groups.is_small(self._groups.of(fed.number))
        if is_kept and fed.asked is Need.PICTURE and shown != NOT_SHOWN:
            self._due.add(shown)

    def _has_come(self, shown: Shown) -> None:
        if shown.packet == UNKNOWN:
            return
        number = self._picture_of(shown.packet)
        self._due.discard(number)
        self._refuse_lost(before=number)
        group = self._groups.of(shown.packet)
        if group > self._group:
            self._group = group
            self._window.forget(self._groups.run_up(group))

    def _refuse_lost(self, before: int | None = None) -> None:
        """Several threads may lose a damaged picture without a word."""
        if self._due and (before is None or min(self._due) < before):
            raise DamageMet
