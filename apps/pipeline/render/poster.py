"""Poster: one frame that stands for a whole video, from about a tenth into it.

Videos begin with black, titles and fades, so a frame that is dark or of one colour is passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import cv2

from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.container import plainly_decoded
from apps.pipeline.decode.picture import FullPicture
from apps.pipeline.decode.video import opened_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

WIDTH = 320  # pixels; a smaller video is not enlarged
_HIGHEST = 640  # pixels
_JPEG_QUALITY = 85
_PLACES = (0.10, 0.13, 0.17, 0.23, 0.33, 0.45, 0.60, 0.80)  # of the video's length, in turn
_MAX_DECODED = 900  # frames in all; half a second of 360p, some seconds of 4K
_WITHOUT_LENGTH = 25  # frames from one look to the next
_DARK = 24.0  # mean brightness, 0..255
_FLAT = 12.0  # standard deviation of brightness, 0..255


def poster(path: Path) -> bytes:
    """A JPEG, at most 320 pixels wide, as displayed.

    Raises:
        VideoUnreadable: it is no video, or not one frame of it decodes.
    """
    best: ByteArray | None = None
    largest = -1.0
    for image in itertools.chain(_at_places(path), _from_start(path)):
        brightness, spread = _light(image)
        if brightness >= _DARK and spread >= _FLAT:
            best = image
            break
        if spread > largest:
            best, largest = image, spread
    if best is None:
        raise VideoUnreadable(
            "Not one frame of the video could be decoded.",
            hint="Give a video file that plays in a player.",
        )
    return bytes(cv2.imencode(".jpg", best, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])


def _at_places(path: Path) -> Iterator[ByteArray]:
    """Small pictures of frames to choose from, the best place first.

    There are none where the file does not say how long it is, or cannot be searched by time.
    """
    left = _MAX_DECODED
    with opened_stream(path) as (container, stream, display):
        start, length = _span(container)
        for place in _PLACES if length > 0 else ():
            seconds = start + place * length
            last: VideoFrame | None = None
            for frame in _after_key_frame(container, stream, seconds):
                last = frame
                left -= 1
                if left <= 0 or frame.time is None or frame.time >= seconds:
                    break
            if last is not None:
                yield _small(display.picture(last))
            if left <= 0:
                return


def _from_start(path: Path) -> Iterator[ByteArray]:
    """Small pictures of a frame each second or so."""
    with opened_stream(path) as (container, stream, display):
        frames = itertools.islice(plainly_decoded(container, stream), _MAX_DECODED)
        for frame in itertools.islice(frames, 0, None, _WITHOUT_LENGTH):
            yield _small(display.picture(frame))


def _span(container: InputContainer) -> tuple[float, float]:
    """Start and length in seconds; 0 where the container does not say."""
    start, length = container.start_time, container.duration
    return (
        0.0 if start is None else start / av.time_base,
        0.0 if length is None else length / av.time_base,
    )


def _after_key_frame(
    container: InputContainer, stream: VideoStream, seconds: float
) -> Iterator[VideoFrame]:
    """Frames from the last key frame before a time."""
    try:
        container.seek(round(seconds * av.time_base))
    except (av.error.FFmpegError, OverflowError):
        return
    yield from plainly_decoded(container, stream)


def _small(picture: FullPicture) -> ByteArray:
    image = picture.pixels()
    height, width = image.shape[:2]
    scale = min(1.0, WIDTH / width, _HIGHEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: ByteArray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def _light(image: ByteArray) -> tuple[float, float]:
    """Mean and standard deviation of brightness, 0..255."""
    mean, deviation = cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    return float(mean[0, 0]), float(deviation[0, 0])
