"""Thumbs: one small picture of every track, of its best face so far.

A face is cut out while its frame is at hand; its track's number is known only later. So every face
is kept as it was stored for that while, which costs little, and the few that are the best of their
tracks become pictures. A track's first faces are soon followed by better ones, so the best ones of
the tracks that got theirs last wait, and are written when others come: nothing grows with the
video.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from apps.common.config import ThumbsConfig
from apps.common.names import thumb_name, track_name
from apps.pipeline.arrays import FloatArray
from apps.pipeline.geometry import grow
from apps.pipeline.types import Faces, Frame, TrackedSighting
from apps.pipeline.yuv_crop import FacePatch, bgr_crop


def face_patches(frame: Frame, faces: Faces, config: ThumbsConfig) -> tuple[FacePatch, ...]:
    """Every face with a margin, from the detector's picture where it is large enough in that.

    Args:
        frame: with its picture at full size.
        faces: in 0..1 of the frame.
    """
    return tuple(_face_patch(frame, box, config) for box in faces.boxes)


def _face_patch(frame: Frame, box: FloatArray, config: ThumbsConfig) -> FacePatch:
    size = (frame.letterbox.inner_width, frame.letterbox.inner_height)
    place = grow(box, config.margin, *size)
    large = max(place[2] - place[0], place[3] - place[1]) >= config.long_side
    stored = None
    if not large and frame.picture is not None:
        stored = frame.picture.face_patch(box, config.margin, config.long_side)
    if stored is not None:
        return stored
    tone = None if frame.picture is None else frame.picture.tone
    return bgr_crop(frame.image, place, size, config.long_side, tone)


_MAX_WAITING = 64  # faces, of up to 100 kB each


class ThumbWriter:
    """Keeps each track's file as good as its best face so far.

    Args:
        folder: where the files go.
        config: see `config/pipeline.toml`.
    """

    def __init__(self, folder: Path, config: ThumbsConfig) -> None:
        self._folder = folder
        self._config = config
        self._best: dict[int, float] = {}  # confidence times area, by track
        self._waiting: dict[int, FacePatch] = {}  # by track, the one that came last at the end

    def finish(self) -> int:
        """Writes those that wait. Returns how many files there are."""
        while self._waiting:
            self._write_oldest()
        return len(self._best)

    def add(self, item: TrackedSighting) -> None:
        """Takes those of a sighting's faces that are clearly better than what their tracks have.

        Args:
            item: its sighting has a patch for each face.
        """
        sighting, faces = item.sighting, item.sighting.faces
        for face, number in enumerate(item.tracks):
            if number == 0:
                continue
            left, top, right, bottom = (float(v) for v in faces.boxes[face])
            score = float(faces.conf[face]) * (right - left) * (bottom - top)
            if score > self._best.get(number, 0.0) * self._config.clearly_better:
                self._best[number] = score
                self._waiting.pop(number, None)
                self._waiting[number] = sighting.face_patches[face]
                if len(self._waiting) > _MAX_WAITING:
                    self._write_oldest()

    def _write_oldest(self) -> None:
        number = next(iter(self._waiting))
        patch = self._waiting.pop(number)
        self._folder.mkdir(exist_ok=True)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._config.jpeg_quality]
        jpeg = cv2.imencode(".jpg", patch.picture(self._config.long_side), quality)[1]
        (self._folder / thumb_name(track_name(number))).write_bytes(jpeg.tobytes())
