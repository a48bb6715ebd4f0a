"""Decoder: one stream's packets to frames that know their number and time.

Every frame is known by the packet that it came from, whatever its time says and whatever was lost
before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import av.error
import numpy as np

from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import BoolArray
from apps.pipeline.decode.codec import Shown, StreamCodec
from apps.pipeline.decode.container import HINT, packets_of
from apps.pipeline.decode.groups import ClosedGroups, Fed
from apps.pipeline.decode.hardware import HardwareFrames, HardwareLost
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.picture import Display, FullPicture
from apps.pipeline.decode.selection import Need, Span
from apps.pipeline.decode.steady import SteadyFrames, frames_of
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.yuv_crop import FacePatch

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


_UNFILTERED = {"skip_loop_filter": "all"}
_FAST = {"h264": _UNFILTERED, "hevc": _UNFILTERED, "libdav1d": {"filmgrain": "0"}}  # by decoder
MAX_PASSED = 64  # glimpses, of 64 KiB each
NOT_ONE_FRAME = "Not one frame of the video could be decoded."


class PacketAbsent(Exception):
    """A packet is to be decoded that is not in the extract of the file that is here."""


def nothing() -> None:
    """Does nothing."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame as the decoder gives it; see `Frame` for the arguments.

    Args:
        passed: frames between the sampled one before and this one that had to be decoded, in
            order. How many they are is up to the encoder.
        repeats: it shows what the last sample that does not repeat showed.
        seen: its picture's glimpse, where that was taken already.
    """

    index: int
    ts_s: float
    picture: FullPicture
    passed: tuple[Glimpse, ...] = ()
    repeats: bool = False
    seen: FacePatch | None = None

    def glimpse(self) -> Glimpse | None:
        """The frame seen in passing; None where it cannot be."""
        seen = self.picture.glimpse()
        return None if seen is None else Glimpse(self.ts_s, seen, self.picture.is_intra)


@dataclass
class Passed:
    """Glimpses of the frames since the last sampled one: all, or of a long stride every n-th."""

    glimpses: list[Glimpse] = field(default_factory=list)
    _every: int = 1
    _count: int = 0

    def extend(self, glimpses: Iterable[Glimpse]) -> None:
        """With those that were passed behind them."""
        for glimpse in glimpses:
            if self._is_kept():
                self._keep(glimpse)

    def taken(self) -> tuple[Glimpse, ...]:
        """All of them; it is empty then."""
        found = tuple(self.glimpses)
        self.glimpses, self._every, self._count = [], 1, 0
        return found

    def add(self, shown: Decoded) -> None:
        if self._is_kept():
            glimpse = shown.glimpse()
            if glimpse is not None:
                self._keep(glimpse)

    def _is_kept(self) -> bool:
        """Whether the next one is."""
        self._count += 1
        return self._count % self._every == 0

    def _keep(self, glimpse: Glimpse) -> None:
        self.glimpses.append(glimpse)
        if len(self.glimpses) == MAX_PASSED:
            del self.glimpses[::2]
            self._every *= 2


@dataclass(frozen=True, slots=True)
class EndOfSpan:
    """Behind the samples of a span.

    Args:
        passed: frames that were decoded behind its last sample.
    """

    passed: Passed


def _behind(
    after: int,
    frames: Iterator[tuple[int, Shown]],
    passing: Callable[[], None] = nothing,
    last: int | None = None,
) -> Iterator[tuple[int, Shown]]:
    """Those of numbered frames that are behind one.

    Args:
        passing: called for each of those before; may raise.
        last: none is asked for behind this one.
    """
    for number, frame in frames:
        if number <= after:
            passing()
            continue
        yield number, frame
        if last is not None and number >= last:
            return


class FrameDecoder:
    """Decodes one stream once, from its start.

    Args:
        container: freshly opened.
        stream: one of the container's; nothing of it is decoded yet.
        index: which packets of that stream hold which pictures, and when each is shown.
        threads: how many the codec may use, >= 1.
        fast: leave out the filters that hide the edges of coded blocks (H.264, HEVC) and the film
            grain that AV1 adds: up to a fifth of the time. Pictures then differ, by about a
            level of 255 in the mean.
        hardware: the container was opened for a device. What a device cannot do raises
            `HardwareLost` from the methods below.
        present: shape (packets,), which packets the file has, where it is an extract: its other
            bytes are none of the video's. What else is to be decoded raises `PacketAbsent` from the
            methods below. None for a whole file.

    Attributes:
        truncated: the file broke off.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        index: FrameIndex,
        threads: int,
        *,
        fast: bool = False,
        hardware: HardwareFrames | None = None,
        present: BoolArray | None = None,
    ) -> None:
        self._container = container
        self._stream = stream
        if fast:
            context = stream.codec_context
            context.options = {**context.options, **_FAST.get(context.codec.name, {})}
        self._index = index
        self._display = Display(stream)
        self._codec = StreamCodec(stream.codec_context, index.held_back, hardware)
        self._hardware = hardware
        self._present = present
        self.truncated = False
        self.use_threads(threads)

    @property
    def damaged_packets(self) -> set[int]:
        """Packets that could not be decoded, so far."""
        return self._codec.refused

    @property
    def damaged_groups(self) -> set[int]:
        """Closed groups of pictures that are damaged, so far; of those that are kept."""
        return self._codec.damaged_groups

    @property
    def hardware_format(self) -> str | None:
        """How the device's frames are laid out, once one has come."""
        return None if self._hardware is None else self._hardware.format

    def use_threads(self, count: int) -> None:
        """Sets how many threads the codec has, >= 1; to be called before anything is decoded."""
        self._codec.use_threads(count)

    def sampled(
        self, stride: int, after: int = -1, passing: Callable[[], None] = nothing
    ) -> Iterator[Decoded]:
        """Frames 0, stride, 2*stride, ... in display order.

        Args:
            stride: >= 1.
            after: only those behind this one.
            passing: called for each frame that is decoded and is not behind it; may raise.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        last = (self._index.count - 1) // stride * stride
        frames = _behind(after, self._numbered(stride, max(0, after)), passing, last)
        return self._samples(frames, stride, Passed())

    def sampled_in(self, span: Span, stride: int, left_over: list[Glimpse]) -> Iterator[Decoded]:
        """Those of frames 0, stride, 2*stride, ... that lie in a part, as `sampled` gives them.

        Args:
            stride: >= 1.
            left_over: receives the frames that were decoded behind the last of them; they are
                among those that `sampled` passes before the next part's first one.
        """
        passed = Passed()
        # What is in front of it was decoded for the parameters that came with it.
        frames = _behind(span.first - 1, self._numbered(stride, span.first, span.end))
        yield from self._samples(frames, stride, passed)
        left_over += passed.glimpses

    def sampled_by_turns(
        self, spans: Sequence[Span], turn: int, turns: int, stride: int
    ) -> Iterator[Decoded | EndOfSpan]:
        """Those of frames 0, stride, 2*stride, ... that lie in every so many-th span.

        Args:
            spans: one after the other, up to the end of the video.
            turn: number of the first one that is wanted, from 0.
            turns: from one that is wanted to the next.
            stride: >= 1, at most `MAX_STRIDE`.
        """
        ends = [*(span.first for span in spans[1:]), self._index.count]
        frames = self._turn_numbered(spans[turn::turns], stride)
        ahead = next(frames, None)
        for span, end in zip(spans[turn::turns], ends[turn::turns], strict=True):
            passed = Passed()

            def within(end: int = end) -> Iterator[tuple[int, Shown]]:
                nonlocal ahead
                while ahead is not None and ahead[0] < end:
                    yield ahead
                    ahead = next(frames, None)

            # What is in front of it was decoded for the parameters that came with it.
            yield from self._samples(_behind(span.first - 1, within()), stride, passed)
            yield EndOfSpan(passed)

    def _samples(
        self, frames: Iterator[tuple[int, Shown]], stride: int, passed: Passed
    ) -> Iterator[Decoded]:
        """Those of numbered frames that are samples; in `passed` are those behind the last one."""
        for number, frame in frames:
            shown = self._shown(number, frame)
            if number % stride == 0:
                yield replace(shown, passed=passed.taken())
            else:
                passed.add(shown)

    def decoded(self, stride: int = 1) -> Iterator[Decoded]:
        """Frames in display order, as the decoder gives them.

        Args:
            stride: frames 0, stride, 2*stride, ... are wanted; others come where they had to be
                decoded anyway.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        return (self._shown(number, frame) for number, frame in self._numbered(stride))

    def first_decoded(self) -> Decoded:
        """The first frame that decodes, damaged or not.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        return self._shown(*next(self._numbered(1, steady=False)))

    def key_pictures(self, seconds: float, count: int) -> Iterator[FullPicture]:
        """Some pictures that stand for themselves, of the video's beginning.

        Args:
            seconds: of the video, from its first packet on.
            count: at most so many, one in each part of that time.
        """
        codec, begin_s, next_s = self._codec, 0.0, 0.0
        for number, packet in enumerate(self._packets()):
            seconds_in = float((packet.dts or 0) * packet.time_base)
            begin_s = seconds_in if number == 0 else begin_s
            if seconds_in - begin_s > seconds:
                return
            if packet.is_keyframe and seconds_in - begin_s >= next_s:
                next_s = seconds_in - begin_s + seconds / count
                self._refuse_absent_packet(number, packet)
                for shown in [*codec.decode(packet, number), *codec.held_back(number)][:1]:
                    yield self._picture(shown)
                codec.context.flush_buffers()

    def _numbered(
        self, stride: int, first: int = 0, end: int | None = None, *, steady: bool = True
    ) -> Iterator[tuple[int, Shown]]:
        is_empty = True
        for numbered in self._in_order(self._all_frames(stride, first, end, steady)):
            is_empty = False
            yield numbered
        if is_empty and self._hardware is not None:
            raise HardwareLost("it gives no frames")
        if is_empty and first == 0 and end is None:
            raise VideoUnreadable(NOT_ONE_FRAME, hint=HINT)

    def _in_order(self, frames: Iterable[Shown]) -> Iterator[tuple[int, Shown]]:
        """Frames with their numbers."""
        newest = -1
        for shown in frames:
            number = self._number(shown.packet, newest + 1)
            # What an edit list leaves out, and a frame that the decoder gives twice or too late.
            if newest < number < self._index.count:
                newest = number
                yield number, shown

    def _turn_numbered(self, own: Sequence[Span], stride: int) -> Iterator[tuple[int, Shown]]:
        """The frames of some spans, and what comes with parameters that lie between them."""
        index, order = self._index, self._index.order
        assert order is not None  # else there are no spans
        groups = ClosedGroups(order)
        is_own, is_near = np.zeros((2, len(order.display)), np.bool_)
        for span in own:
            is_own[span.packet : span.end] = True
            is_near[groups.run_up(groups.of(span.packet)) : span.end] = True
        packets = self._fed_of(
            order.needs(stride),
            order.needs(stride, among=is_own),
            is_near.tolist().__getitem__,
            index.restarts | groups.seams(),
            jumps=frozenset(span.packet for span in own),
        )
        group = groups.of(own[0].packet) if own else 0
        return self._in_order(
            SteadyFrames(self._codec, packets, groups, group, index.picture_of, self._refuse_absent)
        )

    def _shown(self, number: int, shown: Shown) -> Decoded:
        seconds = float(self._index.timeline.seconds[number])
        return Decoded(number, seconds, self._picture(shown))

    def _picture(self, shown: Shown) -> FullPicture:
        turned = self._index.turned.get(shown.packet)
        return self._display.picture(shown.frame, shown.coded_ratio, turned)

    def _number(self, packet: int, following: int) -> int:
        """Of the packet that a frame came from; or counted, where that cannot be known."""
        return following if self._index.display is None else self._index.picture_of(packet)

    def _all_frames(
        self, stride: int, first: int, end: int | None, steady: bool
    ) -> Iterator[Shown]:
        index, groups = self._index, ClosedGroups(self._index.order)
        packets = self._fed(stride, first, end, groups)
        if not steady or self._hardware is not None or index.display is None:
            return frames_of(self._codec, packets, feeding=self._refuse_absent)
        group = groups.showing(first)
        return iter(
            SteadyFrames(self._codec, packets, groups, group, index.picture_of, self._refuse_absent)
        )

    def _fed(self, stride: int, first: int, end: int | None, groups: ClosedGroups) -> Iterator[Fed]:
        """The packets to decode, and those that would be decoded once more if damage were met.

        Args:
            end: the packet before which it is over; None for all.
        """
        order = self._index.order
        need = [] if order is None or stride == 1 else order.needs(stride)
        asked = need if order is None or first == 0 else order.needs(stride, first)
        begin = 0 if first == 0 else groups.run_up(groups.showing(first))
        emptied_before = self._index.restarts | groups.seams()
        return self._fed_of(need, asked, lambda number: number >= begin, emptied_before, end)

    def _fed_of(
        self,
        need: Sequence[Need],
        asked: Sequence[Need],
        is_near: Callable[[int], bool],
        emptied_before: frozenset[int],
        end: int | None = None,
        jumps: frozenset[int] = frozenset(),
    ) -> Iterator[Fed]:
        """Packets that something is to be made of, and all that carry parameters.

        Args:
            need, asked: one for each packet, see `Fed`; where there are none, the picture.
            is_near: whether a packet is in what is wanted, or in the group before it.
            emptied_before: packets before which the decoder is emptied.
            end: the packet before which it is over; None for all.
            jumps: packets before which others are passed over.
        """
        order = self._index.order
        headers = set() if order is None else set(np.flatnonzero(order.headers).tolist())
        restarts = has_jumped = False
        for number, packet in enumerate(itertools.islice(self._packets(), end)):
            restarts |= number in emptied_before
            has_jumped |= number in jumps
            one, other = (
                each[number] if number < len(each) else Need.PICTURE for each in (need, asked)
            )
            has_headers = number in headers
            if (has_headers or is_near(number)) and not one is other is Need.NOTHING:
                yield Fed(number, packet, one, other, restarts, has_headers, has_jumped)
                restarts = has_jumped = False

    def _refuse_absent(self, fed: Fed) -> None:
        self._refuse_absent_packet(fed.number, fed.packet)

    def _refuse_absent_packet(self, number: int, packet: Packet[VideoStream]) -> None:
        if self._present is None or self._index.places is None:
            return
        is_known = number < len(self._present) and packet.pos == self._index.places[number, 0]
        if not is_known or not self._present[number]:
            raise PacketAbsent

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        try:
            yield from packets_of(self._container, self._stream)
        except av.error.FFmpegError:
            self.truncated = True
