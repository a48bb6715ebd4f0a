"""The seam between the pipeline and any recogniser, and how faces are aligned for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from apps.common.config import RecogniserConfig
from apps.common.contracts.manifest import ModelFacts
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.yuv_crop import FacePatch

_MARGIN_SIDE = 192  # pixels of a face with its margin, before it is aligned
_TINY = 1e-6


class FaceView(NamedTuple):
    """A face to be described.

    Args:
        patch: the face with a margin.
        landmarks: shape (5, 2), x and y in 0..1 of the displayed frame.
        is_mirrored: it is to be seen turned left to right, once it is aligned.
    """

    patch: FacePatch
    landmarks: FloatArray
    is_mirrored: bool = False


class Recogniser(Protocol):
    """Describes a face so that descriptions of one person are alike."""

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def likeness(self) -> RecogniserConfig:
        """What likeness of two faces means with it."""
        ...

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        """Shape (n, k), each of length 1. Several at once cost less than one after the other.

        Args:
            faces: one or more.
        """
        ...


def aligned(face: FaceView, places: FloatArray, side: int) -> ByteArray:
    """Shape (side, side, 3), BGR: a face turned, scaled and moved so that its points are in place.

    What lies beyond the patch repeats its edge.

    Args:
        places: shape (5, 2), where eyes, nose and corners of the mouth are to be, pixels.
    """
    patch, landmarks, is_mirrored = face
    picture = patch.picture(_MARGIN_SIDE)
    left, top, right, bottom = patch.place
    within = (landmarks - (left, top)) / (right - left, bottom - top)
    height, width = picture.shape[:2]
    turn = _similarity(within * (width, height), places)
    found: ByteArray = cv2.warpAffine(picture, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return found[:, ::-1] if is_mirrored else found


def unit(values: FloatArray) -> FloatArray:
    """The same directions with length 1; shape (..., k)."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    directions: FloatArray = values / np.maximum(lengths, np.float32(_TINY))
    return directions


def _similarity(points: FloatArray, places: FloatArray) -> FloatArray:
    """Shape (2, 3): turns, scales and moves points so that they come nearest to places.

    Least squares, with points as complex numbers, of which a similarity is a linear function.

    Args:
        points, places: shape (n, 2).
    """
    p, q = points @ (1, 1j), places @ (1, 1j)
    apart = p - p.mean()
    factor = np.vdot(apart, q - q.mean()) / max(np.vdot(apart, apart).real, _TINY)
    shift = q.mean() - factor * p.mean()
    re, im = factor.real, factor.imag
    return np.array([(re, -im, shift.real), (im, re, shift.imag)], np.float32)
