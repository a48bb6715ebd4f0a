"""Videos to measure on: a short one, encoded once for a kind and made long by copying packets."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

import av
import av.error
from av.video.stream import VideoStream

from apps.common.errors import VideoUnreadable
from lab.processes.priority import ordinary_priority

HEIGHTS = (360, 720, 1080)
MAX_HEIGHT = 2160  # larger ones than the source's are enlarged
# By codec: FFmpeg's encoder, and options by which pictures look alike. What the encoder keeps to
# itself is closed, so that copies of the packets can follow each other.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "medium", "crf": "20"}),
    "hevc": (
        "libx265",
        {"preset": "medium", "crf": "23", "x265-params": "open-gop=0:log-level=error"},
    ),
    "av1": (
        "libsvtav1",
        {"preset": "8", "crf": "30", "svtav1-params": "irefresh-type=2:film-grain=8"},
    ),
    "vp9": ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "5"}),
    "mpeg2video": ("mpeg2video", {"b": "12M", "g": "12", "bf": "2"}),
}


@dataclass(frozen=True)
class Source:
    """The short video.

    Args:
        codec: as FFmpeg names it.
        height: as stored, pixels.
        frames: number of its video packets.
        sha256: digest of the file's bytes, 64 hexadecimal digits.
    """

    path: Path
    codec: str
    height: int
    frames: int
    sha256: str

    def copies_for(self, frames: int) -> int:
        """So many copies have at least that many frames."""
        return math.ceil(frames / self.frames)


def read_source(path: Path) -> Source:
    """What must be known of a video to copy it.

    Raises:
        VideoUnreadable: no video, or one without times.
    """
    try:
        with path.open("rb") as file, av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            codec, height = context.codec.canonical_name, context.height
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise VideoUnreadable(
            f"{path.name} cannot be read as a video.", hint="Name another one with --video."
        ) from error
    return Source(path, codec, height, len(_presentation_times(path)), sha256)


def long_video(source: Source, codec: str, height: int, copies: int, cache: Path) -> Path:
    """A video of that kind and so many times the source's frames, from the cache or made now.

    Args:
        source: the short video.
        codec: one of `ENCODERS`, or its own.
        height: pixels.
        copies: >= 1.
        cache: folder.
    """
    target = cache / f"{source.sha256[:12]}-{codec}-{height}p-x{copies}.mp4"
    if target.is_file():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    is_own = (codec, height) == (source.codec, source.height)
    short = source.path if is_own else encoded(source, codec, height, cache)
    with _whole_or_not(target) as temporary:
        lengthen(short, temporary, copies)
    return target


def lengthen(short: Path, target: Path, copies: int) -> None:
    """Writes the video's packets several times, one copy after the other; nothing is encoded.

    Raises:
        VideoUnreadable: its packets have no times.
    """
    shown = _presentation_times(short)
    decoded, period = _decoding_times(shown), _period(shown)
    with av.open(str(target), "w", format="mp4") as output:
        stream: VideoStream | None = None
        for copy in range(copies):
            with av.open(str(short)) as container:
                given = container.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(given, opaque=True)
                packets = (packet for packet in container.demux(given) if packet.size > 0)
                for packet, pts, dts in zip(packets, shown, decoded, strict=True):
                    packet.pts, packet.dts = pts + copy * period, dts + copy * period
                    packet.stream = stream
                    output.mux(packet)


def _presentation_times(path: Path) -> list[int]:
    """Of all packets in decoding order, in units of the stream's time base."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size > 0]
    times = [packet.pts for packet in packets if packet.pts is not None]
    hidden = any(packet.is_discard for packet in packets)
    if hidden or len(set(times)) != len(packets) or not times:
        raise VideoUnreadable(
            f"{path.name} cannot be made longer: packets are hidden or have no times of their own.",
            hint="Give an mp4 or mkv that was not cut without encoding.",
        )
    return times


def _decoding_times(shown: list[int]) -> list[int]:
    """Ascending, none later than its packet is shown; containers as mkv do not store them all."""
    ascending = sorted(shown)
    delay = max(after - pts for after, pts in zip(ascending, shown, strict=True))
    return [time - delay for time in ascending]


def _period(shown: list[int]) -> int:
    """How much later a copy begins: a usual step after the last picture before it."""
    ascending = sorted(shown)
    steps = [after - before for before, after in pairwise(ascending)] or [1]
    return ascending[-1] - ascending[0] + round(median(steps))


def encoded(source: Source, codec: str, height: int, cache: Path) -> Path:
    """The short video in another codec or size, from the cache or made now.

    Args:
        codec: one of `ENCODERS`.
        height: pixels.
        cache: folder.
    """
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{source.sha256[:12]}-{codec}-{height}p.mp4"
    if not target.is_file():
        with _whole_or_not(target) as temporary, ordinary_priority():
            _encode(source.path, temporary, codec, height)
    return target


def _encode(path: Path, target: Path, codec: str, height: int) -> None:
    encoder, options = ENCODERS[codec]
    with av.open(str(path)) as container, av.open(str(target), "w", format="mp4") as output:
        given = container.streams.video[0]
        context = given.codec_context
        rate, by_number = given.average_rate, None
        if encoder == "mpeg2video" and rate is not None:
            rate = Fraction(round(rate))  # it knows eight, and no finer clock than its pictures
            by_number = 1 / rate
        clock = by_number or given.time_base
        stream: VideoStream = output.add_stream(  # type: ignore[assignment]
            encoder, rate=rate, options=dict(options)
        )
        stream.width = 2 * round(context.width * height / context.height / 2)
        stream.height = height
        stream.pix_fmt = "yuv420p"
        if clock is not None:
            stream.codec_context.time_base = clock
        for number, frame in enumerate(container.decode(given)):
            scaled = frame.reformat(stream.width, stream.height, "yuv420p")
            if by_number is not None:
                scaled.pts, scaled.time_base = number, by_number
            output.mux(stream.encode(scaled))
        output.mux(stream.encode())


@contextmanager
def _whole_or_not(target: Path) -> Iterator[Path]:
    """A name to write to; the file gets its own name when it is complete."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
