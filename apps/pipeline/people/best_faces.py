"""The few faces that stand for a track: the best of each part of its time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from apps.common.config import PeopleConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.recognise.base import FaceView
from apps.pipeline.types import Sighting
from apps.pipeline.yuv_crop import FacePatch

_SHARPNESS_SIDE = 64  # pixels of the picture on which sharpness is judged
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class BestFace:
    """A face that may stand for its track.

    Args:
        score: how well it shows who it is, 0..1.
        index, ts_s: its frame, and when that is shown.
        view: the face, or its mirror image, which shows the same person otherwise.
    """

    score: float
    index: int
    ts_s: float
    view: FaceView

    @property
    def rank(self) -> tuple[float, int, bool]:
        """Ascending from the best one; the earlier of two that are as good is the better one."""
        return -self.score, self.index, self.view.is_mirrored

    @property
    def mirrored(self) -> BestFace:
        return replace(self, view=self.view._replace(is_mirrored=True))


class BestFaces:
    """The best face of each part of a track's time; the parts grow with the track.

    So the faces are spread over its time, and never more than `max_faces`, however long it is.

    Args:
        config: see `[people]` in `config/pipeline.toml`.
    """

    def __init__(self, config: PeopleConfig) -> None:
        self._config = config
        self._part_s = config.first_part_seconds
        self._parts: dict[int, BestFace] = {}

    def add(self, face: BestFace) -> None:
        """Takes a face; those of a track come in the order of their times."""
        self._put(face)
        while len(self._parts) > self._config.max_faces:
            self._part_s *= 2
            faces, self._parts = list(self._parts.values()), {}
            for kept in faces:
                self._put(kept)

    def taken(self) -> list[BestFace]:
        """All of them, the best one first; none is left."""
        faces = sorted(self._parts.values(), key=lambda face: face.rank)
        self._parts = {}
        return faces

    def _put(self, face: BestFace) -> None:
        part = int(face.ts_s / self._part_s)
        known = self._parts.get(part)
        if known is None or face.score > known.score:
            self._parts[part] = face


def best_face(sighting: Sighting, face: int, config: PeopleConfig) -> BestFace | None:
    """A face of a frame as one that may stand for its track; None where it tells too little.

    Args:
        face: its number in the sighting, which has patches.
    """
    patch, landmarks = sighting.face_patches[face], sighting.faces.landmarks[face]
    conf = float(sighting.faces.conf[face])
    pixels = max(patch.shape)
    if conf < config.min_confidence or pixels < config.min_pixels:
        return None
    if not np.isfinite(landmarks).all():
        return None
    front = frontality(patch, landmarks)
    if front == 0.0:
        return None
    score = (
        conf
        * min(1.0, pixels / config.enough_pixels)
        * front
        * min(1.0, sharpness(patch) / config.enough_sharpness)
    )
    return BestFace(score, sighting.index, sighting.ts_s, FaceView(patch, landmarks))


def frontality(patch: FacePatch, landmarks: FloatArray) -> float:
    """How far a face looks into the camera, 0..1: 1 where the nose is midway between the eyes.

    A face that is turned moves the nose along the line between the eyes. 0 where it is as far from
    the middle as the eyes are from each other: a profile, whose eyes are too near each other to
    tell how large it is and which way it is turned, so it cannot be aligned.
    """
    left, top, right, bottom = patch.place
    points = (landmarks - (left, top)) / (right - left, bottom - top) * patch.shape
    line, nose = points[1] - points[0], points[2] - (points[0] + points[1]) / 2
    aside = float(nose @ line) / max(float(line @ line), _TINY)
    return max(0.0, 1.0 - abs(aside))


def sharpness(patch: FacePatch) -> float:
    """How much of the contrast is between neighbouring pixels, on a face of a usual size."""
    plane = patch.planes[0]
    brightness = plane if plane.ndim == 2 else plane[..., 1]
    size = (_SHARPNESS_SIDE, _SHARPNESS_SIDE)
    small = cv2.resize(brightness, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    edges = cv2.Laplacian(small, cv2.CV_32F)
    return float(edges.var() / max(float(small.var()), 1.0))
