"""FFmpeg's decoder of one stream: a packet to frames, and whether damage was met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import av.error

from apps.pipeline.decode.groups import ClosedGroups
from apps.pipeline.decode.hardware import HardwareFrames, HardwareLost

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# What a container tells a decoder (libavcodec's AVCodecParameters), as far as PyAV lets it be set.
_PARAMETERS = (
    "extradata",
    "codec_tag",
    "width",
    "height",
    "pix_fmt",
    "profile",
    "level",
    "framerate",
    "sample_aspect_ratio",
    "bits_per_coded_sample",
    "field_order",
    "color_range",
    "color_primaries",
    "color_trc",
    "colorspace",
)
UNKNOWN = -1


class DamageMet(Exception):
    """A damaged picture in a group that can be decoded again.

    Args:
        group: the last one that it may be in.
    """

    def __init__(self, group: int) -> None:
        super().__init__(group)
        self.group = group


class Shown(NamedTuple):
    """A frame as a decoder gives it.

    Args:
        packet: number of that which it came from; UNKNOWN where the decoder does not tell.
        coded_ratio: of a pixel's width to its height, as the coded data say; 0 where they do not.
    """

    packet: int
    frame: VideoFrame
    coded_ratio: float


@dataclass(frozen=True)
class _Carried:
    """What a packet carries through the decoder: an object of its own, as PyAV wants it."""

    packet: int


class StreamCodec:
    """A decoder; each packet's number goes through it with the packet (FFmpeg's `copy_opaque`).

    Args:
        context: nothing is decoded by it yet.
        held_back: pictures that it holds back at least.
        hardware: looks at its frames, where a device decodes.

    Attributes:
        refused: numbers of packets that it could not decode.
    """

    def __init__(
        self, context: VideoCodecContext, held_back: int, hardware: HardwareFrames | None = None
    ) -> None:
        self.context = context
        self.refused: set[int] = set()
        self._held_back = held_back
        self._hardware = hardware
        self._parameters = {name: getattr(context, name) for name in _PARAMETERS}
        self._options = dict(context.options)
        self._threads = 1
        self._watched: ClosedGroups | None = None
        context.copy_opaque = True
        context.reorder_depth = max(context.reorder_depth, held_back)

    def use_threads(self, count: int) -> None:
        """Sets how many threads it has, >= 1; to be called before anything is decoded."""
        self._threads = count
        self.context.thread_count = count
        self.context.thread_type = "NONE" if count == 1 else "AUTO"

    def fresh(self, threads: int) -> StreamCodec:
        """Another one of the same stream, that has seen nothing.

        Args:
            threads: >= 1.
        """
        context: Any = av.CodecContext.create(self.context.codec.name, "r")
        for name, value in self._parameters.items():
            if value is not None:
                setattr(context, name, value)
        context.options = self._options
        fresh = StreamCodec(context, self._held_back)
        fresh.use_threads(threads)
        return fresh

    @property
    def threads(self) -> int:
        return self._threads

    def watch(self, groups: ClosedGroups) -> None:
        """Raises `DamageMet` from now on, in groups that are small enough to be decoded again.

        To be called before anything is decoded.
        """
        self._watched = groups
        if groups.are_small():  # of others what can be decoded is shown
            self.context.options = {**self._options, "err_detect": "explode"}

    def decode(self, packet: Packet[VideoStream], number: int) -> list[Shown]:
        """The frames that a packet brings out.

        Raises:
            DamageMet: see `watch`.
            HardwareLost: a device does not go on.
        """
        packet.opaque = _Carried(number)
        return self._decoded(packet, number)

    def held_back(self, number: int) -> list[Shown]:
        """What it has still to show.

        Args:
            number: of the packet that it was given last.
        """
        return self._decoded(None, number)

    def let_go(self) -> None:
        """Nothing more is decoded of what it was given.

        A decoder that goes while its threads have packets waits for them, holding Python's lock,
        and they wait for that lock to let go of what PyAV has packets carry.
        """
        if self.context.is_open:
            self.context.flush_buffers()

    def _decoded(self, packet: Packet[VideoStream] | None, number: int) -> list[Shown]:
        context, hardware = self.context, self._hardware
        try:
            frames = [frame for frame in context.decode(packet) if isinstance(frame, av.VideoFrame)]
            if hardware is not None:
                frames = [hardware.planar(frame, context) for frame in frames]
        except av.error.FFmpegError as error:
            if hardware is not None and not isinstance(error, av.error.InvalidDataError):
                raise HardwareLost(f"it failed: {error}") from error
            self._refuse(number)
            self.refused.add(number)
            return []
        ratio = float(context.sample_aspect_ratio or 0)
        shown = [Shown(_packet_of(frame), frame, ratio) for frame in frames]
        for each in shown:
            if each.frame.is_corrupt:
                self._refuse(each.packet)
        return shown

    def _refuse(self, packet: int) -> None:
        if self._watched is None:
            return
        group = self._watched.of(packet)
        if self._watched.is_small(group):
            raise DamageMet(group)


def _packet_of(frame: VideoFrame) -> int:
    carried = frame.opaque
    return carried.packet if isinstance(carried, _Carried) else UNKNOWN
