"""Preview: the video again, smaller, with boxes and track numbers drawn on every frame.

Boxes between two sampled frames are interpolated along their track. Times are the source's own,
so a variable frame rate stays right. Frames of another shape than the first lie in the middle, with
black beside them. Colours are BT.709, and the file says so: players guess where it does not.
"""

from __future__ import annotations

import colorsys
import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from apps.common.config import PreviewConfig
from apps.common.contracts.rows import DetectionRow
from apps.common.names import track_number
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.decode.picture import FullPicture
from apps.pipeline.decode.video import Video
from apps.pipeline.render.x264 import x264_options

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that this build of FFmpeg has
_CLOCK = Fraction(1, 90_000)  # seconds; the usual clock of video in transport streams
_BT709 = 1  # FFmpeg's number of its primaries, its transfer characteristic and its matrix
_GOLDEN_ANGLE = 0.618034  # of the colour circle: neighbours in number differ most in colour


@dataclass(frozen=True)
class TrackBoxes:
    """Boxes of one track by frame.

    Args:
        frames: shape (n,), int64, ascending.
        boxes: shape (n, 4), 0..1 of the displayed frame.
    """

    name: str
    frames: np.ndarray[tuple[int], np.dtype[np.int64]]
    boxes: FloatArray

    def at(self, frame: int) -> FloatArray | None:
        """The box in that frame, interpolated; None outside the track."""
        if not self.frames[0] <= frame <= self.frames[-1]:
            return None
        return np.array(
            [np.interp(frame, self.frames, self.boxes[:, k]) for k in range(4)], np.float32
        )


def collect_tracks(rows: Iterable[DetectionRow | None]) -> list[TrackBoxes]:
    """Tracks from the rows of `detections.jsonl`."""
    frames: dict[str, list[int]] = {}
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        if row is not None and row.track_id is not None:
            frames.setdefault(row.track_id, []).append(row.frame_idx)
            boxes.setdefault(row.track_id, []).append(row.bbox)
    return [
        TrackBoxes(name, np.array(frames[name], np.int64), np.array(boxes[name], np.float32))
        for name in sorted(frames)
    ]


class PreviewFailed(Exception):
    """The encoder does not take this video's frames or times."""


def render_preview(
    video: Video,
    tracks: list[TrackBoxes],
    path: Path,
    config: PreviewConfig,
    *,
    cpu_threads: int,
    after_frame: Callable[[int], None],
) -> None:
    """Encodes the annotated video; the file depends on the arguments only.

    Args:
        video: freshly opened; it gets as many threads of the decoder as are meant for it.
        path: where the mp4 file is written.
        cpu_threads: of decoder and encoder together, >= 1; x264's pictures depend on it.
        after_frame: called with the number of each frame that is done; may raise to stop.

    Raises:
        PreviewFailed: it cannot be encoded; nothing is left.
    """
    encoder = max(1, cpu_threads // 2)
    video.use_threads(max(1, cpu_threads - encoder))
    try:
        _encode(video, tracks, path, config, encoder, after_frame)
    except av.error.FFmpegError as error:
        path.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise
        raise PreviewFailed from error


def _encode(
    video: Video,
    tracks: list[TrackBoxes],
    path: Path,
    config: PreviewConfig,
    threads: int,
    after_frame: Callable[[int], None],
) -> None:
    width, height = _even_size(video, config.long_side)
    painter = _Painter(tracks)
    to_pixels, to_planes = VideoReformatter(), VideoReformatter()
    latest = -1
    name = f"file:{path.resolve()}"  # FFmpeg takes what stands before a colon for a protocol
    with av.open(name, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _add_stream(container, video, width, height, config, threads)
        for decoded in video.decoded():
            image, inner = _on_canvas(decoded.picture, width, height, to_pixels)
            painter.paint(inner, decoded.index)
            picture = to_planes.reformat(
                av.VideoFrame.from_ndarray(image, format="bgr24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
            latest = max(latest + 1, round(max(0.0, decoded.ts_s) / _CLOCK))
            picture.pts, picture.time_base = latest, _CLOCK
            container.mux(stream.encode(picture))
            after_frame(decoded.index)
        container.mux(stream.encode())


def _on_canvas(
    picture: FullPicture, width: int, height: int, scaler: VideoReformatter
) -> tuple[ByteArray, ByteArray]:
    """A picture of the preview, and the part of it where the frame lies (a view)."""
    shown_width, shown_height = picture.size
    scale = min(width / shown_width, height / shown_height)
    inside = (max(1, round(shown_width * scale)), max(1, round(shown_height * scale)))
    if inside[0] >= width - 2 and inside[1] >= height - 2:  # rounded to even numbers only
        image = np.ascontiguousarray(picture.scaled(width, height, scaler))
        return image, image
    image = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inside[0]) // 2, (height - inside[1]) // 2
    inner = image[top : top + inside[1], left : left + inside[0]]
    inner[:] = picture.scaled(*inside, scaler)
    return image, inner


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
    config: PreviewConfig,
    threads: int,
) -> VideoStream:
    encoder = next(name for name in _ENCODERS if name in av.codecs_available)
    rate = max(Fraction(1), Fraction(video.facts.fps).limit_denominator(1001))
    stream: VideoStream = container.add_stream(encoder, rate=rate)  # type: ignore[assignment]
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = _CLOCK
    stream.codec_context.thread_count = threads
    stream.codec_context.color_primaries = _BT709
    stream.codec_context.color_trc = _BT709
    stream.codec_context.colorspace = _BT709
    stream.codec_context.color_range = ColorRange.MPEG
    if encoder == "libx264":
        stream.codec_context.options = x264_options(config.crf)
    return stream


class _Painter:
    """Draws the tracks of a frame; looks only at tracks that can be alive."""

    def __init__(self, tracks: list[TrackBoxes]) -> None:
        self._coming = sorted(tracks, key=lambda track: int(track.frames[0]), reverse=True)
        self._alive: list[TrackBoxes] = []

    def paint(self, image: ByteArray, frame: int) -> None:
        while self._coming and self._coming[-1].frames[0] <= frame:
            self._alive.append(self._coming.pop())
        self._alive = [track for track in self._alive if track.frames[-1] >= frame]
        for track in self._alive:
            box = track.at(frame)
            if box is not None:
                _draw(image, track.name, box)


def _draw(image: ByteArray, name: str, box: FloatArray) -> None:
    height, width = image.shape[:2]
    left, top, right, bottom = (
        round(float(v) * s) for v, s in zip(box, (width, height) * 2, strict=True)
    )
    number = track_number(name)
    color = _color(number)
    thickness = max(1, round(height / 360))
    cv2.rectangle(image, (left, top), (right, bottom), color, thickness)
    scale = max(0.35, height / 1000)
    (text_width, text_height), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    base = max(text_height + 4, top)
    cv2.rectangle(image, (left, base - text_height - 4), (left + text_width + 4, base), color, -1)
    cv2.putText(
        image,
        str(number),
        (left + 2, base - 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (0, 0, 0),
        thickness,
        cv2.LINE_AA,
    )


def _color(number: int) -> tuple[int, int, int]:
    """BGR, bright, the same for the same number."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_ANGLE % 1, 0.75, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)
