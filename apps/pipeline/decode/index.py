"""Index: all pictures of a video as a decoder would show them, before anything is decoded.

A first pass over the packets. Pictures are numbered in the order in which a player shows the file;
their times are repaired where the file's own are wrong. So a damaged packet does not shift the
numbers of later frames, and how many there are is known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import BoolArray, IntArray
from apps.pipeline.decode.bitstream import Coded, PacketReader, Part, packet_reader
from apps.pipeline.decode.container import HINT, described, packets_of
from apps.pipeline.decode.order import LARGEST_REORDERING, NO_TIME, are_sound, display_order, ranks
from apps.pipeline.decode.selection import NOT_SHOWN, PacketOrder
from apps.pipeline.decode.timeline import Timeline, by_counting, by_slots, mended
from apps.pipeline.geometry import Orientation

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_FALLBACK_FPS = 25.0
_LOWEST_FPS = 0.01  # a frame in 100 s; below it a file is no video
_WITHOUT_DTS = "matroska,webm"  # what FFmpeg makes up may go back
_SLOTS = "avi"  # its packets stand in slots of one length each; it stores no other time
# Timelines of these containers start at zero by their specifications (ISO/IEC 14496-12, RFC 9559);
# the clocks of the others start anywhere, and players show their first moment as zero.
_ZERO_BASED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# AVFMT flags of FFmpeg's demuxers (libavformat/avformat.h).
_STORES_NO_TIMES = 0x0080
_CLOCK_MAY_BREAK = 0x0200
_LONGEST_PAUSE = 3600.0  # seconds, where a file has one timeline: as FFmpeg's player has it
_LONGEST_LOSS = 30.0  # seconds without a signal, in recordings of a running clock
_SOUND_STARTS_WITHIN = 10.0  # seconds of the first picture, else its clock is another one


@dataclass(frozen=True)
class FrameIndex:
    """All pictures that are shown, in display order.

    Args:
        timeline: when each is shown, on the player's clock.
        fps: frames a second.
        packets: number of packets in the file, those that show nothing included.
        slots: how many pictures the container has room for, those left out included.
        display: shape (packets,), int64: number of the picture that a packet holds, or holds a
            field of; NOT_SHOWN where it holds none. None where that cannot be known beforehand:
            frames are then counted as they leave the decoder.
        order: what selection must know of the packets; None where all are to be decoded.
        restarts: packets before which the decoder is emptied, since another sequence begins.
        first_start: number of the picture where decoding can begin.
        held_back: how many pictures the decoder must hold back, so that they come in order.
        turned: by packet, how its picture is displayed where the coded data say that.
        zero_s: what the player's clock calls zero, on the file's; seconds.
        places: shape (packets, 2), int64: first byte of each packet in the file, and how many;
            None where the container does not tell that.
        keys: shape (packets,), whether a packet's picture stands for itself; None as `places`.
    """

    timeline: Timeline
    fps: float
    packets: int
    slots: int
    display: IntArray | None
    order: PacketOrder | None
    restarts: frozenset[int] = frozenset()
    first_start: int = 0
    held_back: int = 0
    turned: Mapping[int, Orientation] = field(default_factory=dict)
    zero_s: float = 0.0
    places: IntArray | None = None
    keys: BoolArray | None = None

    @property
    def count(self) -> int:
        return len(self.timeline.seconds)

    @property
    def end_s(self) -> float:
        """When the last picture ends: it is shown for a usual distance."""
        return float(self.timeline.seconds[-1]) + 1 / self.fps

    def picture_of(self, packet: int) -> int:
        """Number of the picture that a packet holds; NOT_SHOWN also for one that is not known."""
        display = self.display
        if display is None or not 0 <= packet < len(display):
            return NOT_SHOWN
        return int(display[packet])

    def without_first(self, count: int) -> FrameIndex:
        """The same file, of which the first pictures cannot be decoded: they are not shown."""
        if count == 0 or self.display is None:
            return self
        display = np.where(self.display >= count, self.display - count, NOT_SHOWN)
        return replace(
            self,
            timeline=self.timeline.without_first(count),
            display=display,
            order=None if self.order is None else replace(self.order, display=display),
            first_start=max(0, self.first_start - count),
        )

    def on_players_clock(self, container: InputContainer) -> FrameIndex:
        """Times from what the player calls zero instead of the file's."""
        if container.format.name in _ZERO_BASED:
            return self
        seconds = self.timeline.seconds
        zero = _zero(container, float(seconds[0]))
        return replace(self, timeline=replace(self.timeline, seconds=seconds - zero), zero_s=zero)

    def warnings(self) -> list[str]:
        """What was repaired, a sentence each."""
        line, said = self.timeline, list[str]()
        if line.missing > 0:
            said.append(
                f"Frames without a time in the file: {line.missing}. They got one between their "
                "neighbours'."
            )
        if line.wrong > 0:
            said.append(
                f"Frames with a time that fits no other: {line.wrong}. They got one between their "
                "neighbours'."
            )
        if line.jumps:
            first = line.jumps[0]
            said.append(
                f"Places where the file's clock goes back or leaps: {len(line.jumps)} (first at "
                f"frame {first}, {line.seconds[first]:.2f} s). Times go on there by the usual "
                "distance of frames."
            )
        return said


def read_index(container: InputContainer, stream: VideoStream) -> FrameIndex:
    """Reads all packets of a stream; none is decoded.

    Raises:
        VideoUnreadable: there is no picture in it, or the file is a still.
    """
    packets = _Packets(_reader_of(stream))
    try:
        for packet in packets_of(container, stream):
            packets.add(packet)
    except av.error.FFmpegError:
        pass  # a cut-off file: what was read counts; `Video.truncated` tells
    shown = packets.shown()
    if len(shown) == 0:
        raise _is_empty(container, stream)
    if container.format.name == "mjpeg" and len(packets.coded) == 1:
        raise VideoUnreadable("The file is a single picture, no video.", hint=HINT)
    return _indexed(packets, shown, container, stream)


def _is_empty(container: InputContainer, stream: VideoStream) -> VideoUnreadable:
    others = [described(film) for film in container.streams.video if film.index != stream.index]
    if others:
        return VideoUnreadable(
            "This video stream has no frames.",
            hint=f"Other video streams of the file: {', '.join(others)}.",
        )
    return VideoUnreadable("The video has no frames.", hint=HINT)


def _reader_of(stream: VideoStream) -> PacketReader:
    context = stream.codec_context
    codec = context.codec
    return packet_reader(
        context.name, context.extradata, reorders=codec.reorder, is_intra=codec.intra_only
    )


@dataclass
class _Packets:
    """What the first pass notes of every packet, in the order of the file."""

    reader: PacketReader
    is_key: list[bool] = field(default_factory=list)
    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    coded: list[Coded] = field(default_factory=list)
    discarded: list[bool] = field(default_factory=list)
    lies_at: list[tuple[int, int]] = field(default_factory=list)

    def add(self, packet: Packet[VideoStream]) -> None:
        self.lies_at.append((-1 if packet.pos is None else packet.pos, packet.size))
        self.pts.append(NO_TIME if packet.pts is None else packet.pts)
        self.dts.append(NO_TIME if packet.dts is None else packet.dts)
        self.discarded.append(packet.is_discard)
        self.is_key.append(packet.is_keyframe)
        is_new = packet.has_sidedata("new_extradata") and self.reader.learn(
            bytes(packet.get_sidedata("new_extradata"))
        )
        coded = self.reader.read(bytes(packet), is_key=packet.is_keyframe)
        self.coded.append(replace(coded, has_headers=True) if is_new else coded)

    def shown(self) -> IntArray:
        """Places of the packets with which a shown picture begins."""
        pictures: list[int] = []
        for number, coded in enumerate(self.coded):
            if coded.drops_previous and pictures:
                pictures.pop()
            if coded.part is Part.PICTURE:
                pictures.append(number)
        if self.reader.is_incomplete() and pictures:
            pictures.pop()
        return np.array([n for n in pictures if not self.discarded[n]], np.int64)

    def in_file(self) -> IntArray | None:
        """First byte and size of each packet; None where they are not known."""
        found = np.array(self.lies_at, np.int64).reshape(-1, 2)
        return None if bool((found[:, 0] < 0).any()) else found

    def places(self, shown: IntArray) -> IntArray | None:
        """Where each picture belongs, as the coded data say; None where they do not say it."""
        places, newest = [], 0
        known = 0
        for number in shown.tolist():
            place = self.coded[number].place
            known += place is not None
            newest = newest + 1 if place is None else place
            places.append(newest)
        # A damaged one here and there belongs where it stands.
        return np.array(places, np.int64) if 2 * known > len(places) else None


def _indexed(
    packets: _Packets, shown: IntArray, container: InputContainer, stream: VideoStream
) -> FrameIndex:
    pts, dts = np.array(packets.pts, np.int64), np.array(packets.dts, np.int64)
    is_in_slots = container.format.name == _SLOTS
    stores_times = not (is_in_slots or container.format.flags & _STORES_NO_TIMES)
    if not stores_times:
        pts = np.full_like(pts, NO_TIME)
    if container.format.name == _WITHOUT_DTS:
        dts = np.full_like(dts, NO_TIME)
    order = display_order(
        pts[shown],
        dts[shown],
        packets.places(shown),
        trust_places=packets.reader.knows_order,
        held_back=stream.codec_context.reorder_depth,
    )
    announced = _announced_rate(stream)
    held_back = _held_back(order, stream)
    slots = int(dts.max()) + 1 if is_in_slots and len(dts) else len(packets.coded)
    if stores_times:
        timeline = _stored_times(pts[shown], dts[shown], order, container, stream, announced)
        fps = timeline.rate() or announced
    else:
        timeline, fps = by_counting(len(shown), announced), announced
        if is_in_slots and not bool((dts[shown] == NO_TIME).any()):
            timeline = by_slots(dts[shown], held_back, float(_time_base(stream)))
    display = None if order is None else _display(packets, shown, order)
    return FrameIndex(
        timeline=timeline,
        fps=max(_LOWEST_FPS, round(fps, 6)),
        packets=len(packets.coded),
        slots=slots,
        display=display,
        order=None if display is None else _packet_order(packets, display),
        restarts=frozenset(
            number for number, coded in enumerate(packets.coded) if coded.begins_sequence
        ),
        first_start=_first_start(packets, display),
        held_back=held_back,
        turned={n: coded.turned for n, coded in enumerate(packets.coded) if coded.turned},
        places=packets.in_file(),
        keys=np.array(packets.is_key, np.bool_),
    )


def _held_back(order: IntArray | None, stream: VideoStream) -> int:
    """How many pictures come before one is shown: as the encoder announced it, and at the least."""
    needed = 0 if order is None else int(np.max(np.arange(len(order)) - order))
    return max(min(needed, LARGEST_REORDERING), stream.codec_context.reorder_depth)


def _display(packets: _Packets, shown: IntArray, order: IntArray) -> IntArray:
    """Number of each packet's picture; both fields of a picture have the same."""
    display = np.full(len(packets.coded), NOT_SHOWN, np.int64)
    display[shown] = order
    latest = NOT_SHOWN
    for number, coded in enumerate(packets.coded):
        if coded.part is Part.SECOND_FIELD:
            display[number] = latest
        else:
            latest = display[number]
    return display


def _packet_order(packets: _Packets, display: IntArray) -> PacketOrder | None:
    if packets.reader.needs_all():
        return None
    restarts = np.array([coded.restarts for coded in packets.coded], np.bool_)
    headers = np.array([coded.has_headers for coded in packets.coded], np.bool_)
    sizes = np.array([size for _, size in packets.lies_at], np.int64)
    return PacketOrder(display, restarts, headers, sizes)


def _first_start(packets: _Packets, display: IntArray | None) -> int:
    """Number of the first picture where decoding can begin; the last one's where there is none."""
    if display is None:
        return 0
    knows = packets.reader.knows_starts
    starts = [coded.restarts for coded in packets.coded] if knows else packets.is_key
    found = np.flatnonzero(np.array(starts, np.bool_) & (display != NOT_SHOWN))
    return int(display[found[0]]) if len(found) > 0 else int(display.max())


def _stored_times(
    pts: IntArray,
    dts: IntArray,
    order: IntArray | None,
    container: InputContainer,
    stream: VideoStream,
    announced: float,
) -> Timeline:
    """The container's times in display order, repaired."""
    unit = float(_time_base(stream))
    seconds = np.where(pts == NO_TIME, np.nan, pts * unit)
    shown = np.sort(seconds)
    if not are_sound(pts, dts):
        shown[_likely_order(pts) if order is None else order] = seconds
    may_break = bool(container.format.flags & _CLOCK_MAY_BREAK)
    return mended(
        shown,
        usual=1 / announced,
        unit=unit,
        longest_gap=_LONGEST_LOSS if may_break else _LONGEST_PAUSE,
    )


def _likely_order(pts: IntArray) -> IntArray:
    """Where the order is not known: that of the times, and what has none stays in its place."""
    newest = np.maximum.accumulate(pts)
    return ranks(np.where(pts == NO_TIME, newest, pts))


def _zero(container: InputContainer, first: float) -> float:
    """What the player's clock calls zero, on the file's.

    Args:
        first: when the first picture is shown, on the file's clock.
    """
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(
        [start for start in starts if 0 <= first - start <= _SOUND_STARTS_WITHIN], default=first
    )


def _announced_rate(stream: VideoStream) -> float:
    """Frames a second, as the coded data or the container say."""
    rate = stream.guessed_rate or stream.average_rate
    return float(rate) if rate else _FALLBACK_FPS


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1)
