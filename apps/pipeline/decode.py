"""Decode: a local video file to sampled frames at the detector's size.

Frames are numbered in display order by an index of presentation times, which a first pass over
the packets (no decoding) builds. So a damaged packet does not shift the numbers of later frames,
a variable frame rate keeps its true times, and the number of frames is known beforehand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from apps.common.contracts import VideoFacts
from apps.common.errors import VideoUnreadable
from apps.pipeline.geometry import Letterbox, displayed_size, fit_into, grow, quarter_turns
from apps.pipeline.planes import Snippet, cut_planes
from apps.pipeline.selection import NOT_SHOWN, Need, PacketOrder, has_idr, nal_length_size
from apps.pipeline.types import ByteArray, FloatArray, Frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Demuxers that read one file and nothing else. Playlists (hls, dash, concat), image sequences and
# subtitle scripts are left out: they open other files.
ALLOWED_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "ogg",
    "asf",
    "mxf",
    "h264",
    "hevc",
    "m4v",
    "ivf",
    "gif",
    "y4m",
    "yuv4mpegpipe",
)
# Timelines of these containers start at zero by their specifications (ISO/IEC 14496-12, RFC 9559);
# the clocks of the others start anywhere, and players show their first moment as zero.
_ZERO_BASED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# Containers that store no presentation times; those that FFmpeg makes up are in decoding order.
_TIMELESS = {"avi"}
MAX_PIXELS = 2**26  # of one frame, 67 megapixels: twice 8K; a decoder takes several times that
_LOWEST_FPS = 0.01  # a frame in 100 s; below it a file is no video
_FALLBACK_FPS = 25.0
_IRREGULAR = 0.02  # spread of frame distances, relative to their median, that is "variable"
_HINT = "Give a video file of a usual kind (mp4, mkv, webm, mov, avi, ts) that plays in a player."


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames, in display order.

    Args:
        pts: shape (n,), int64, ascending, in units of the stream's time base; empty where the
            container stores none: frames are then counted as they leave the decoder.
        count: number of frames.
        packets: number of packets in the file, those outside the edit list included.
        order: the packets in decoding order; None where pictures cannot be told apart beforehand.
    """

    pts: np.ndarray[tuple[int], np.dtype[np.int64]]
    count: int
    packets: int
    order: PacketOrder | None

    def position(self, pts: int) -> int | None:
        """Number of the frame with this time, or None where no frame has it."""
        place = int(np.searchsorted(self.pts, pts))
        return place if place < len(self.pts) and self.pts[place] == pts else None

    def is_irregular(self) -> bool:
        """True where the frames' distances vary, as in screen recordings and phone videos."""
        steps = np.diff(self.pts)
        if len(steps) < 2:
            return False
        middle = float(np.median(steps))
        return float(np.mean(np.abs(steps - middle))) > _IRREGULAR * middle


@dataclass(frozen=True)
class FullPicture:
    """A decoded frame at its stored size; see `apps.pipeline.types.Picture`."""

    frame: VideoFrame
    turns: int
    sample_aspect_ratio: float

    def pixels(self) -> ByteArray:
        """Shape (height, width, 3), BGR, as displayed: turned, with square pixels."""
        width = max(1, round(self.frame.width * self.sample_aspect_ratio))
        shown = self.frame.reformat(width, self.frame.height, "bgr24", threads=1)
        return np.rot90(shown.to_ndarray(), self.turns).astype(np.uint8, copy=False)

    def crops(self, boxes: FloatArray, margin: float) -> list[ByteArray]:
        if len(boxes) == 0:
            return []
        image = self.pixels()
        places = [grow(box, margin, image.shape[1], image.shape[0]) for box in boxes]
        return [np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in places]

    def snippet(self, box: FloatArray, margin: float, long_side: int) -> Snippet | None:
        return cut_planes(
            self.frame,
            box,
            margin,
            turns=self.turns,
            sample_aspect_ratio=self.sample_aspect_ratio,
            long_side=long_side,
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sampled frame as the decoder gives it; see `Frame` for the arguments."""

    index: int
    ts_s: float
    frame: VideoFrame


class _Scalers(threading.local):
    """One for each thread; none of them may be used by two."""

    def __init__(self) -> None:
        self.own = VideoReformatter()


@dataclass
class Video:
    """An open video. Use `open_video`.

    Attributes:
        damaged_packets: packets that the decoder refused, so far.
        truncated: the file ends before all frames that it announces.
    """

    facts: VideoFacts
    index: FrameIndex
    _path: Path
    _container: InputContainer
    _stream: VideoStream
    damaged_packets: int = 0
    truncated: bool = False
    _scalers: _Scalers = field(default_factory=_Scalers)

    def frames(self, stride: int, letterbox: Letterbox) -> Iterator[Frame]:
        """Frames 0, stride, 2*stride, ... in display order, scaled into the letterbox.

        Args:
            stride: >= 1.
            letterbox: the detector's picture.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        return (self.scaled(decoded, letterbox) for decoded in self.sampled(stride))

    def sampled(self, stride: int) -> Iterator[Decoded]:
        """The same as they are decoded.

        Args:
            stride: >= 1.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        last = (self.index.count - 1) // stride * stride
        for number, frame in self.decoded(stride):
            if number % stride == 0:
                yield Decoded(number, self.seconds(number, frame), frame)
            if number >= last:
                return

    def scaled(self, decoded: Decoded, letterbox: Letterbox) -> Frame:
        """A frame as a detector wants it. May be called by several threads at once.

        Args:
            letterbox: the detector's picture.
        """
        frame = decoded.frame
        turns = quarter_turns(frame.rotation)
        return Frame(
            index=decoded.index,
            ts_s=decoded.ts_s,
            image=self._scaled(frame, turns, letterbox),
            letterbox=self._actual(frame, turns, letterbox),
            picture=FullPicture(frame, turns, self.facts.sample_aspect_ratio),
        )

    def decoded(self, stride: int = 1) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their numbers, as the decoder gives them.

        Args:
            stride: frames 0, stride, 2*stride, ... are wanted; others come where they had to be
                decoded anyway.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        seen = 0
        for packet in self._needed(stride):
            for frame in self._decode(packet):
                number = seen if frame.pts is None else self._number(frame.pts, seen)
                if number is None:
                    continue  # outside the edit list
                seen += 1
                yield number, frame
        if seen == 0:
            raise VideoUnreadable("Not one frame of the video could be decoded.", hint=_HINT)

    def use_threads(self, count: int) -> None:
        """How many threads the decoder has, >= 1; to be told before anything is decoded."""
        self._stream.codec_context.thread_count = count
        self._stream.codec_context.thread_type = "NONE" if count == 1 else "AUTO"

    @contextmanager
    def again(self) -> Iterator[Video]:
        """The same video from its start, with a decoder of its own; the index is not read anew."""
        with _opened(self._path) as container:
            video = replace(self, _container=container, _stream=_video_stream(container))
            video.use_threads(1)
            yield video

    def seconds(self, number: int, frame: VideoFrame) -> float:
        """Presentation time of a decoded frame, in seconds on the player's clock."""
        if frame.pts is None or len(self.index.pts) == 0:
            return number / self.facts.fps
        return float(frame.pts * _time_base(self._stream) - _origin(self._container))

    def _number(self, pts: int, seen: int) -> int | None:
        return seen if len(self.index.pts) == 0 else self.index.position(pts)

    def _needed(self, stride: int) -> Iterator[Packet[VideoStream]]:
        """The packets to decode, with the decoder told what to make of each."""
        if stride == 1 or self.index.order is None:
            yield from self._packets()
            return
        needs = iter(self.index.order.needs(stride))
        for packet in self._packets():
            need = Need.PICTURE if packet.size == 0 else next(needs, Need.PICTURE)
            if need is not Need.NOTHING:
                self._stream.codec_context.skip_frame = need.value
                yield packet

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            self.truncated = True

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        try:
            return [f for f in packet.decode() if isinstance(f, av.VideoFrame)]
        except av.error.FFmpegError:
            self.damaged_packets += 1
            return []

    def _actual(self, frame: VideoFrame, turns: int, letterbox: Letterbox) -> Letterbox:
        """The letterbox itself, or another on its canvas where the size changes midway."""
        width, height = displayed_size(
            frame.width, frame.height, self.facts.sample_aspect_ratio, turns * 90
        )
        if (width, height) == (self.facts.width, self.facts.height):
            return letterbox
        return fit_into(width, height, letterbox.canvas_width, letterbox.canvas_height)

    def _scaled(self, frame: VideoFrame, turns: int, letterbox: Letterbox) -> ByteArray:
        place = self._actual(frame, turns, letterbox)
        width, height = place.inner_width, place.inner_height
        if turns % 2 == 1:
            width, height = height, width
        small = self._scalers.own.reformat(
            frame, width, height, "bgr24", interpolation=Interpolation.BILINEAR, threads=1
        )
        image = np.rot90(small.to_ndarray(), turns)
        canvas = np.zeros((place.canvas_height, place.canvas_width, 3), np.uint8)
        canvas[: place.inner_height, : place.inner_width] = image
        return canvas


@contextmanager
def open_video(path: Path, *, threads: int) -> Iterator[Video]:
    """Opens a local video file and reads its index.

    Args:
        path: a regular file; URLs, playlists and pipes are refused.
        threads: of the decoder, >= 1.

    Raises:
        VideoUnreadable: no such file, not a video, no video stream, no frames.
    """
    index = _read_index(path)
    with _opened(path) as container:
        stream = _video_stream(container)
        facts = _facts(container, stream, index, path)
        video = Video(
            facts, index, path, container, stream, truncated=stream.frames > index.packets
        )
        video.use_threads(threads)
        yield video


@contextmanager
def opened_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its pictures, without an index: for a look at single frames, by one thread.

    Raises:
        VideoUnreadable: as `open_video`, but for a file whose packets all are damaged.
    """
    with _opened(path) as container:
        stream = _video_stream(container)
        stream.codec_context.thread_type = "NONE"
        yield container, stream


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    if not path.is_file():
        raise VideoUnreadable("The video is missing or is not a regular file.", hint=_HINT)
    if path.stat().st_size == 0:
        raise VideoUnreadable("The video file is empty.", hint=_HINT)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(ALLOWED_FORMATS),
    }
    try:
        container = av.open(f"file:{path.resolve()}", options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoUnreadable(
            "The file is not a video that can be read.", hint=_HINT, cause=_reason(error)
        ) from error
    with container:
        if container.format.name not in ALLOWED_FORMATS:
            raise VideoUnreadable(f"{container.format.name!r} is no video file.", hint=_HINT)
        yield container


def _reason(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else type(error).__name__


def _video_stream(container: InputContainer) -> VideoStream:
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    if not pictures:
        raise VideoUnreadable("The file has no video stream.", hint=_HINT)
    stream = pictures[0]
    if stream.codec_context is None:
        raise VideoUnreadable("There is no decoder for this video.", hint=_HINT)
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise _too_large()
    # A header may be honest and a later frame not: the decoder holds to the limit as well.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _too_large() -> VideoUnreadable:
    return VideoUnreadable(
        f"The video's pictures are larger than {MAX_PIXELS // 10**6} megapixels.",
        hint="Scale it down first; 8K has 33 megapixels.",
    )


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _read_index(path: Path) -> FrameIndex:
    times: list[int | None] = []  # of all packets in decoding order
    shown: list[bool] = []
    restarts: list[bool] = []
    with _opened(path) as container:
        timeless = container.format.name in _TIMELESS
        stream = _video_stream(container)
        can_restart = _restart_test(stream)
        try:
            for packet in container.demux(stream):
                if packet.size > 0:
                    times.append(packet.pts)
                    shown.append(not packet.is_discard)
                    restarts.append(packet.is_keyframe and can_restart(packet))
        except av.error.FFmpegError:
            pass  # a cut-off file: what was read counts; `Video.truncated` tells
    count = sum(shown)
    if count == 0:
        raise VideoUnreadable("The video has no frames.", hint=_HINT)
    known = [
        time for time, is_shown in zip(times, shown, strict=True) if is_shown and time is not None
    ]
    pts = np.unique(np.array(known, np.int64))
    if len(pts) != count or timeless:
        return FrameIndex(np.zeros(0, np.int64), count, len(times), None)
    places = np.searchsorted(pts, np.array([time or 0 for time in times], np.int64))
    display = np.where(shown, places, NOT_SHOWN).astype(np.int64)
    return FrameIndex(pts, count, len(times), PacketOrder(display, np.array(restarts, np.bool_)))


def _restart_test(stream: VideoStream) -> Callable[[Packet[VideoStream]], bool]:
    """Tells of a packet that is called a key frame whether decoding can really begin there."""
    context = stream.codec_context
    if context.name != "h264":
        return lambda _: True
    length_size = nal_length_size(context.extradata)
    return lambda packet: has_idr(bytes(packet), length_size)


def _facts(
    container: InputContainer,
    stream: VideoStream,
    index: FrameIndex,
    path: Path,
) -> VideoFacts:
    context = stream.codec_context
    ratio = float(stream.sample_aspect_ratio or 1) or 1.0
    rotation = _first_rotation(path)
    width, height = displayed_size(context.width, context.height, ratio, rotation)
    fps = _mean_rate(stream, index)
    return VideoFacts(
        width=width,
        height=height,
        coded_width=context.width,
        coded_height=context.height,
        rotation=rotation,
        sample_aspect_ratio=round(ratio, 6),
        fps=fps,
        variable_frame_rate=index.is_irregular(),
        frames=index.count,
        duration_s=round(index.count / fps, 3),
        codec=context.name,
        container=container.format.name,
    )


def _first_rotation(path: Path) -> int:
    """Degrees counterclockwise; known from the first frame that decodes."""
    with _opened(path) as container:
        stream = _video_stream(container)
        stream.codec_context.thread_type = "NONE"
        for frame in plainly_decoded(container, stream):
            return quarter_turns(frame.rotation) * 90
    raise VideoUnreadable("Not one frame of the video could be decoded.", hint=_HINT)


def plainly_decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames as they come; damaged packets are passed over, and a broken file ends them."""
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))
    except av.error.FFmpegError:
        return


def _mean_rate(stream: VideoStream, index: FrameIndex) -> float:
    """Frames a second: of the index where it has times, else as the container says."""
    if len(index.pts) > 1:
        span = (int(index.pts[-1]) - int(index.pts[0])) * _time_base(stream)
        return max(_LOWEST_FPS, round(float((len(index.pts) - 1) / span), 6))
    rate = stream.average_rate or stream.guessed_rate
    return max(_LOWEST_FPS, float(rate)) if rate else _FALLBACK_FPS


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1)


def _origin(container: InputContainer) -> Fraction:
    if container.format.name in _ZERO_BASED or container.start_time is None:
        return Fraction(0)
    return Fraction(container.start_time, av.time_base)
