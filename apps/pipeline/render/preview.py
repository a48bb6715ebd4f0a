"""Preview: the video again, smaller, with its sound, and boxes and track numbers on every frame.

Boxes between two sampled frames are interpolated along their track.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from apps.common.config import PreviewConfig
from apps.common.contracts.rows import DetectionRow
from apps.common.names import track_number
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.decode.video import Video
from apps.pipeline.render.encode import Encoding, EncodingFailed, Paint, encode
from apps.pipeline.render.sound import SoundPlan

_COPIED_SOUND = frozenset({"aac", "mp3", "opus", "flac", "ac3"})  # that MP4 takes
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
    encoding = Encoding(
        config.long_side, config.crf, sound=SoundPlan(_COPIED_SOUND), paint=painter(tracks)
    )
    try:
        encode(video, path, encoding, cpu_threads=cpu_threads, after_frame=after_frame)
    except EncodingFailed as error:
        raise PreviewFailed from error


def painter(tracks: list[TrackBoxes]) -> Paint:
    """Draws these tracks on pictures that come in their order."""
    return _Painter(tracks).paint


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
