"""Coded pictures that a test puts together as it likes: joined, out of time, of changing size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2

from tests.pipeline.transport import CLOCK, Unit, write_ts
from tests.pipeline.videos import NUMBER_SIZE, needs, numbered

FRAME = CLOCK // 25  # ticks
_X264 = {"preset": "ultrafast", "bf": "3", "b-adapt": "0", "g": "12", "sc_threshold": "0"}
_X265 = "log-level=none:bframes=3:keyint=12:scenecut=0"


@dataclass(frozen=True, eq=False)
class Coding:
    """How pictures are coded.

    Args:
        encoder, options, pix_fmt: of FFmpeg.
        name: FFmpeg's name of the codec.
    """

    encoder: str
    name: str
    options: dict[str, str]
    pix_fmt: str = "yuv420p"


H264_B = Coding("libx264", "h264", _X264)
H264_OPEN = Coding(
    "libx264", "h264", {**_X264, "preset": "veryfast", "x264-params": "open-gop=1:scenecut=0"}
)
H264_P = Coding("libx264", "h264", {**_X264, "bf": "0"})
HEVC_B = Coding("libx265", "hevc", {"preset": "ultrafast", "x265-params": f"{_X265}:open-gop=0"})
HEVC_OPEN = Coding(
    "libx265",
    "hevc",
    {"preset": "ultrafast", "x265-params": f"{_X265}:open-gop=1:repeat-headers=1"},
)
MPEG2 = Coding(
    "mpeg2video", "mpeg2video", {"b": "3M", "bf": "2", "g": "12", "sc_threshold": "1000000000"}
)
MPEG4_ASP = Coding("mpeg4", "mpeg4", {"b": "3M", "bf": "2", "g": "12"})
VP8 = Coding("libvpx", "vp8", {"deadline": "realtime", "cpu-used": "8", "b": "1M"})
VP9 = Coding("libvpx-vp9", "vp9", {"deadline": "realtime", "cpu-used": "8", "b": "1M"})
MJPEG = Coding("mjpeg", "mjpeg", {}, "yuvj420p")


@dataclass(frozen=True)
class Coded:
    """A packet. Times in ticks of 1/90,000 s; None where it has none."""

    data: bytes
    pts: int | None
    dts: int | None
    is_key: bool

    def at(self, pts: int | None, dts: int | None) -> Coded:
        return replace(self, pts=pts, dts=dts)

    def later(self, ticks: int) -> Coded:
        """By a clock that is so much ahead."""
        return self.at(
            None if self.pts is None else self.pts + ticks,
            None if self.dts is None else self.dts + ticks,
        )


def coded(
    coding: Coding,
    numbers: Iterable[int],
    start: int = 0,
    *,
    size: tuple[int, int] = NUMBER_SIZE,
    sample_aspect_ratio: Fraction | None = None,
) -> list[Coded]:
    """Pictures that carry numbers, 25 a second.

    Args:
        start: ticks, time of the first one.
    """
    needs(coding.encoder)
    context = av.CodecContext.create(coding.encoder, "w")
    context.width, context.height = size
    context.pix_fmt = coding.pix_fmt
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options, context.thread_count = dict(coding.options), 1
    if sample_aspect_ratio is not None:
        context.sample_aspect_ratio = sample_aspect_ratio
    packets = []
    for place, number in enumerate(numbers):
        picture = cv2.resize(numbered(number), size, interpolation=cv2.INTER_NEAREST)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = place, Fraction(1, 25)
        packets += context.encode(frame)
    packets += context.encode()
    return [
        Coded(bytes(p), p.pts * FRAME + start, p.dts * FRAME + start, p.is_keyframe)
        for p in packets
    ]


def to_ts(path: Path, packets: Sequence[Coded], coding: Coding = H264_B) -> Path:
    return write_ts(path, [Unit(p.data, p.pts, p.dts) for p in packets], coding.name)


def to_raw(path: Path, packets: Sequence[Coded]) -> Path:
    path.write_bytes(b"".join(p.data for p in packets))
    return path


def to_container(
    path: Path, packets: Sequence[Coded], coding: Coding, *, size: tuple[int, int] = NUMBER_SIZE
) -> Path:
    """By FFmpeg's muxer, which wants decoding times that go forward."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding.encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, coding.pix_fmt
        stream.codec_context.options = dict(coding.options)
        for coded_packet in packets:
            packet = av.Packet(coded_packet.data)
            packet.pts, packet.dts = coded_packet.pts, coded_packet.dts
            packet.time_base, packet.is_keyframe = Fraction(1, CLOCK), coded_packet.is_key
            packet.stream = stream
            container.mux(packet)
    return path


def remuxed(source: Path, target: Path, times: Sequence[tuple[int, int]]) -> Path:
    """Packets of a raw file in a container, with times of one's own.

    Args:
        times: presentation and decoding time of each, ticks.
    """
    with av.open(str(source)) as raw, av.open(str(target), "w") as container:
        stream = raw.streams.video[0]
        out = container.add_stream_from_template(stream)
        waiting = iter(times)
        for packet in raw.demux(stream):
            if packet.size > 0:
                packet.time_base = Fraction(1, CLOCK)
                packet.pts, packet.dts = next(waiting)
                packet.duration, packet.stream = 0, out
                container.mux(packet)
    return target
