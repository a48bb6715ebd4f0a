"""Decoder: one stream's packets to frames that know their number and time.

Each packet carries its number through the decoder (FFmpeg's `copy_opaque`), so every frame is known
by the packet that it came from, whatever its time says and whatever was lost before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import av
import av.error

from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import BoolArray
from apps.pipeline.decode.container import HINT, packets_of
from apps.pipeline.decode.hardware import HardwareFrames, HardwareLost
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.picture import Display, FullPicture
from apps.pipeline.decode.selection import NOT_SHOWN, Need, Span
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.yuv_crop import FacePatch

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
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


@dataclass(frozen=True)
class _Carried:
    """What a packet carries through the decoder: an object of its own, as PyAV wants it."""

    packet: int


@dataclass
class _Passed:
    """Glimpses of the frames since the last sampled one: all, or of a long stride every n-th."""

    glimpses: list[Glimpse] = field(default_factory=list)
    _every: int = 1
    _count: int = 0

    def taken(self) -> tuple[Glimpse, ...]:
        """All of them; it is empty then."""
        found = tuple(self.glimpses)
        self.glimpses, self._every, self._count = [], 1, 0
        return found

    def add(self, shown: Decoded) -> None:
        self._count += 1
        if self._count % self._every != 0:
            return
        seen = shown.picture.glimpse()
        if seen is None:
            return
        self.glimpses.append(Glimpse(shown.ts_s, seen))
        if len(self.glimpses) == MAX_PASSED:
            del self.glimpses[::2]
            self._every *= 2


def _behind(
    after: int,
    frames: Iterator[tuple[int, VideoFrame]],
    passing: Callable[[], None] = nothing,
    last: int | None = None,
) -> Iterator[tuple[int, VideoFrame]]:
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


def _packet_of(frame: VideoFrame) -> int:
    """Number of the packet that a frame came from; -1 where the decoder does not tell."""
    carried = frame.opaque
    return carried.packet if isinstance(carried, _Carried) else -1


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
        damaged_packets: packets that the decoder refused, so far.
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
        self._hardware = hardware
        self._present = present
        self.damaged_packets = 0
        self.truncated = False
        self.use_threads(threads)

    @property
    def hardware_format(self) -> str | None:
        """How the device's frames are laid out, once one has come."""
        return None if self._hardware is None else self._hardware.format

    def use_threads(self, count: int) -> None:
        """Sets how many threads the codec has, >= 1; to be called before anything is decoded."""
        self._stream.codec_context.thread_count = count
        self._stream.codec_context.thread_type = "NONE" if count == 1 else "AUTO"

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
        return self._samples(frames, stride, _Passed())

    def sampled_in(self, span: Span, stride: int, left_over: list[Glimpse]) -> Iterator[Decoded]:
        """Those of frames 0, stride, 2*stride, ... that lie in a part, as `sampled` gives them.

        Args:
            stride: >= 1.
            left_over: receives the frames that were decoded behind the last of them; they are
                among those that `sampled` passes before the next part's first one.
        """
        passed = _Passed()
        # What is in front of it was decoded for the parameters that came with it.
        frames = _behind(span.first - 1, self._numbered(stride, span.first, span.end))
        yield from self._samples(frames, stride, passed)
        left_over += passed.glimpses

    def _samples(
        self, frames: Iterator[tuple[int, VideoFrame]], stride: int, passed: _Passed
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

    def key_pictures(self, seconds: float, count: int) -> Iterator[FullPicture]:
        """Some pictures that stand for themselves, of the video's beginning.

        Args:
            seconds: of the video, from its first packet on.
            count: at most so many, one in each part of that time.
        """
        context, begin_s, next_s = self._stream.codec_context, 0.0, 0.0
        context.copy_opaque = True
        for number, packet in enumerate(self._packets()):
            seconds_in = float((packet.dts or 0) * packet.time_base)
            begin_s = seconds_in if number == 0 else begin_s
            if seconds_in - begin_s > seconds:
                return
            if packet.is_keyframe and seconds_in - begin_s >= next_s:
                next_s = seconds_in - begin_s + seconds / count
                self._refuse_absent(number, packet)
                packet.opaque = _Carried(number)
                for frame in [*self._decode(packet), *self._held_back()][:1]:
                    yield self._display.picture(frame, self._index.turned.get(number))
                context.flush_buffers()

    def standing_alone(self, packets: Collection[int]) -> set[int]:
        """Which of these packets decode to a whole picture with nothing before them.

        Of a damaged one FFmpeg fills the gaps from the pictures before, and says so.

        Args:
            packets: their numbers; decoding restarts with each.
        """
        order, context = self._index.order, self._stream.codec_context
        if order is None or not packets:
            return set()
        pictures = {int(order.display[number]): number for number in packets}
        whole: set[int] = set()
        numbered = enumerate(itertools.islice(self._packets(), max(packets) + 2))
        for shown, fields in itertools.groupby(numbered, lambda each: int(order.display[each[0]])):
            refused = self.damaged_packets
            frames: list[VideoFrame] = []
            for number, packet in fields:
                if shown in pictures or order.headers[number]:
                    frames += self._decode(packet)
            if shown in pictures:
                frames += self._held_back()
                context.flush_buffers()
                is_refused = self.damaged_packets > refused
                if frames and not is_refused and not any(frame.is_corrupt for frame in frames):
                    whole.add(pictures[shown])
        return whole

    def _numbered(
        self, stride: int, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, VideoFrame]]:
        newest = -1
        for frame in self._all_frames(stride, first, end):
            number = self._number(_packet_of(frame), newest + 1)
            # What an edit list leaves out, and a frame that the decoder gives twice or too late.
            if newest < number < self._index.count:
                newest = number
                yield number, frame
        if newest < 0 and self._hardware is not None:
            raise HardwareLost("it gives no frames")
        if newest < 0 and first == 0 and end is None:
            raise VideoUnreadable(NOT_ONE_FRAME, hint=HINT)

    def _shown(self, number: int, frame: VideoFrame) -> Decoded:
        """Of a frame that the decoder has just given."""
        seconds = float(self._index.timeline.seconds[number])
        turned = self._index.turned.get(_packet_of(frame))
        return Decoded(number, seconds, self._display.picture(frame, turned))

    def _number(self, packet: int, following: int) -> int:
        """Of the packet that a frame came from; or counted, where that cannot be known."""
        if self._index.display is None:
            return following
        is_known = 0 <= packet < len(self._index.display)
        return int(self._index.display[packet]) if is_known else NOT_SHOWN

    def _all_frames(self, stride: int, first: int, end: int | None) -> Iterator[VideoFrame]:
        context = self._stream.codec_context
        context.copy_opaque = True
        context.reorder_depth = max(context.reorder_depth, self._index.held_back)
        for number, packet, need, restarts in self._needed(stride, first, end):
            if restarts:
                yield from self._held_back()
                context.flush_buffers()
            # Some decoders look at this when they are opened only.
            context.skip_frame = need.value if context.is_open else Need.PICTURE.value
            self._refuse_absent(number, packet)
            packet.opaque = _Carried(number)
            yield from self._decode(packet)
        yield from self._held_back()

    def _needed(
        self, stride: int, first: int, end: int | None
    ) -> Iterator[tuple[int, Packet[VideoStream], Need, bool]]:
        """The packets to decode with their numbers, and what the decoder is to make of each.

        And whether another sequence began with it, or between it and the one before.

        Args:
            end: the packet before which it is over; None for all.
        """
        order = self._index.order if stride > 1 or first > 0 else None
        needs = [] if order is None else order.needs(stride, first)
        restarts = False
        for number, packet in enumerate(itertools.islice(self._packets(), end)):
            need = needs[number] if number < len(needs) else Need.PICTURE
            restarts |= number in self._index.restarts
            if need is not Need.NOTHING:
                yield number, packet, need, restarts
                restarts = False

    def _refuse_absent(self, number: int, packet: Packet[VideoStream]) -> None:
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

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        context, hardware = self._stream.codec_context, self._hardware
        try:
            frames = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
            return frames if hardware is None else [hardware.planar(f, context) for f in frames]
        except av.error.FFmpegError as error:
            if hardware is not None and not isinstance(error, av.error.InvalidDataError):
                raise HardwareLost(f"it failed: {error}") from error
            self.damaged_packets += 1
            return []

    def _held_back(self) -> list[VideoFrame]:
        """What the decoder has still to show."""
        nothing_more: Packet[Any] = av.Packet()
        nothing_more.stream = self._stream
        return self._decode(nothing_more)
