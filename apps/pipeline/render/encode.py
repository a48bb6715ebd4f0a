"""Encode: the pictures of a video again as H.264, smaller, with something drawn on them or not.

Times are the source's own, so a variable frame rate stays right. Frames of another shape than the
first lie in the middle, with black beside them. Colours are BT.709, and the file says so: players
guess where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.filter.graph import Graph
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.decoder import Decoded, nothing
from apps.pipeline.decode.picture import FullPicture
from apps.pipeline.decode.video import Video
from apps.pipeline.geometry import Orientation
from apps.pipeline.render.sound import SoundPlan, is_of_the_disk, sound_for
from apps.pipeline.render.stretch import Stretch, pictures_of
from apps.pipeline.render.x264 import x264_options

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that this build of FFmpeg has
CLOCK = Fraction(1, 90_000)  # seconds; the usual clock of video in transport streams
_BT709 = 1  # FFmpeg's number of its primaries, its transfer characteristic and its matrix

Paint = Callable[[ByteArray, int], None]
"""Draws on a picture (shape (h, w, 3), BGR; a view of it) that has this number in the video."""


class EncodingFailed(Exception):
    """The encoder does not take this video's frames or times."""


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded.

    Args:
        long_side: of the pictures, at most, pixels.
        crf: constant rate factor, 0..51.
        key_frame_s: a player that seeks begins at most so far before; None leaves it to x264.
        sound: which of the source goes with them; None for none.
        paint: draws on each; None leaves them as they are.
        deinterlace: pictures of two fields become whole ones.
    """

    long_side: int
    crf: int
    key_frame_s: float | None = None
    sound: SoundPlan | None = None
    paint: Paint | None = None
    deinterlace: bool = False


def encode(
    video: Video,
    path: Path,
    encoding: Encoding,
    *,
    cpu_threads: int,
    after_frame: Callable[[int], None],
    stretch: Stretch | None = None,
    passing: Callable[[], None] = nothing,
) -> None:
    """Encodes a video as MP4; the file depends on the arguments only.

    Args:
        video: freshly opened; it gets as many threads of the decoder as are meant for it.
        path: where the file is written.
        cpu_threads: of decoder and encoder together, >= 1; x264's pictures depend on it.
        after_frame: called with the number of each frame that is done; may raise to stop.
        stretch: the part that is encoded, whose times begin at zero; None for the whole video.
        passing: called for each frame that is decoded for those of the stretch only; may raise.

    Raises:
        EncodingFailed: it cannot be encoded; nothing is left.
        OSError: it cannot be written.
    """
    encoder = max(1, cpu_threads // 2)
    video.use_threads(max(1, cpu_threads - encoder))
    try:
        frames, zero_s = video.decoded(), 0.0
        if stretch is not None:
            frames, zero_s = pictures_of(video, stretch, passing), stretch.start_s
        _encode(video, path, encoding, encoder, after_frame, frames, zero_s)
    except av.error.FFmpegError as error:
        path.unlink(missing_ok=True)
        if is_of_the_disk(error):
            raise
        raise EncodingFailed from error


def ticks(seconds: float) -> int:
    """A time on the clock of files that are made; nothing is before its zero."""
    return round(max(0.0, seconds) / CLOCK)


def _encode(
    video: Video,
    path: Path,
    encoding: Encoding,
    threads: int,
    after_frame: Callable[[int], None],
    decoded_frames: Iterable[Decoded],
    zero_s: float,
) -> None:
    width, height = _even_size(video, encoding.long_side)
    canvas = _Canvas(width, height, encoding.paint)
    latest = -1
    name = f"file:{path.resolve()}"  # FFmpeg takes what stands before a colon for a protocol
    with (
        av.open(name, "w", format="mp4", options={"movflags": "+faststart"}) as container,
        sound_for(video, container, encoding.sound) as sound,
    ):
        stream = _add_stream(container, video, width, height, encoding, threads)
        if encoding.deinterlace:
            decoded_frames = _deinterlaced(decoded_frames)
        for decoded in decoded_frames:
            picture = canvas.drawn(decoded)
            shown_s = decoded.ts_s - zero_s
            latest = max(latest + 1, ticks(shown_s))
            picture.pts, picture.time_base = latest, CLOCK
            container.mux(stream.encode(picture))
            sound.until(shown_s)
            after_frame(decoded.index)
        container.mux(stream.encode())
        sound.rest()


class _Canvas:
    """Puts pictures of any shape on those of the file."""

    def __init__(self, width: int, height: int, paint: Paint | None) -> None:
        self._width = width
        self._height = height
        self._paint = paint
        self._to_pixels, self._to_planes = VideoReformatter(), VideoReformatter()

    def drawn(self, decoded: Decoded) -> VideoFrame:
        """The picture of the file that a frame becomes."""
        if self._paint is None and self._is_plain(decoded.picture):
            return self._planes(decoded.picture.frame)
        image, inner = _on_canvas(decoded.picture, self._width, self._height, self._to_pixels)
        if self._paint is not None:
            self._paint(inner, decoded.index)
        return self._planes(av.VideoFrame.from_ndarray(image, format="bgr24"))

    def _planes(self, frame: VideoFrame) -> VideoFrame:
        return self._to_planes.reformat(
            frame,
            self._width,
            self._height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def _is_plain(self, picture: FullPicture) -> bool:
        """Whether it needs no more than to be scaled: no pixels are made of it then."""
        inside = _inside(picture, self._width, self._height)
        fills = inside[0] >= self._width - 2 and inside[1] >= self._height - 2
        return fills and picture.tone is None and picture.orientation == Orientation()


def _inside(picture: FullPicture, width: int, height: int) -> tuple[int, int]:
    """Size of a picture on a canvas."""
    shown_width, shown_height = picture.size
    scale = min(width / shown_width, height / shown_height)
    return max(1, round(shown_width * scale)), max(1, round(shown_height * scale))


def _on_canvas(
    picture: FullPicture, width: int, height: int, scaler: VideoReformatter
) -> tuple[ByteArray, ByteArray]:
    """A picture of the file, and the part of it where the frame lies (a view)."""
    inside = _inside(picture, width, height)
    if inside[0] >= width - 2 and inside[1] >= height - 2:  # rounded to even numbers only
        image = np.ascontiguousarray(picture.scaled(width, height, scaler))
        return image, image
    image = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inside[0]) // 2, (height - inside[1]) // 2
    inner = image[top : top + inside[1], left : left + inside[0]]
    inner[:] = picture.scaled(*inside, scaler)
    return image, inner


def _deinterlaced(frames: Iterable[Decoded]) -> Iterator[Decoded]:
    """One whole picture for each that is two fields; the others stay as they are.

    The filter (bwdif) looks at the picture before and behind, so each comes one later.
    """
    fields: _Fields | None = None
    for decoded in frames:
        if fields is None or fields.shape != _shape(decoded.picture.frame):
            if fields is not None:
                yield from fields.rest()
            fields = _Fields(decoded.picture.frame)
        yield from fields.put(decoded)
    if fields is not None:
        yield from fields.rest()


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class _Fields:
    """Makes pictures of fields, of frames of one shape."""

    def __init__(self, frame: VideoFrame) -> None:
        self.shape = _shape(frame)
        self._graph = _bwdif(frame)
        self._waiting: dict[int, Decoded] = {}

    def put(self, decoded: Decoded) -> Iterator[Decoded]:
        frame = decoded.picture.frame
        self._waiting[decoded.index] = decoded
        frame.pts, frame.time_base = decoded.index, Fraction(1, 1)
        self._graph.vpush(frame)
        yield from self._pulled()

    def rest(self) -> Iterator[Decoded]:
        self._graph.vpush(None)
        yield from self._pulled()

    def _pulled(self) -> Iterator[Decoded]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if frame.pts is None or frame.time_base is None:
                continue
            decoded = self._waiting.pop(round(frame.pts * frame.time_base), None)
            if decoded is not None:
                yield replace(decoded, picture=replace(decoded.picture, frame=frame))


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
    )
    fields = graph.add("bwdif", mode="send_frame", parity="auto", deint="interlaced")
    graph.link_nodes(source, fields, graph.add("buffersink")).configure()
    return graph


def _even_size(video: Video, long_side: int) -> tuple[int, int]:
    """The displayed size, at most `long_side`, in even numbers as 4:2:0 needs."""
    width, height = video.facts.width, video.facts.height
    scale = min(1.0, long_side / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _add_stream(
    container: OutputContainer,
    video: Video,
    width: int,
    height: int,
    encoding: Encoding,
    threads: int,
) -> VideoStream:
    encoder = next(name for name in _ENCODERS if name in av.codecs_available)
    rate = max(Fraction(1), Fraction(video.facts.fps).limit_denominator(1001))
    stream: VideoStream = container.add_stream(encoder, rate=rate)  # type: ignore[assignment]
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = CLOCK
    stream.codec_context.thread_count = threads
    stream.codec_context.color_primaries = _BT709
    stream.codec_context.color_trc = _BT709
    stream.codec_context.colorspace = _BT709
    stream.codec_context.color_range = ColorRange.MPEG
    if encoding.key_frame_s is not None:
        stream.codec_context.gop_size = max(1, round(float(rate) * encoding.key_frame_s))
    if encoder == "libx264":
        stream.codec_context.options = x264_options(encoding.crf)
    return stream
