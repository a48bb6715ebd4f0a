"""Photos that installed packages bring, as pictures for a detector.

A model is quantised on one set and checked on another: mirrored, of other sizes, darker.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.geometry import Letterbox, fit_into

GROUP = ("insightface", "data/images/t1.jpg")  # six people
ASTRONAUT = ("skimage", "data/astronaut.png")
ROCKET = ("skimage", "data/rocket.jpg")  # nobody
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class _Shot:
    """One picture of a photo.

    Args:
        photo: package and file.
        part: what is cut out of the photo, [x1, y1, x2, y2] in 0..1.
        scale: share of the canvas that it may fill, 0..1.
        gain: brightness over the photo's.
    """

    photo: tuple[str, str]
    part: tuple[float, float, float, float] = _WHOLE
    scale: float = 1.0
    gain: float = 1.0


_CALIBRATION = (
    _Shot(GROUP),
    _Shot(GROUP, gain=1.3),
    _Shot(GROUP, scale=0.7, gain=0.6),
    _Shot(GROUP, part=(0.0, 0.1, 0.5, 0.9)),
    _Shot(GROUP, part=(0.5, 0.1, 1.0, 0.9)),
    _Shot(GROUP, part=(0.3, 0.2, 0.7, 0.7)),
    _Shot(ASTRONAUT),
    _Shot(ASTRONAUT, scale=0.6, gain=0.6),
)
_CHECK = (
    *(_Shot(GROUP, scale=s, gain=g) for s in (1.0, 0.85, 0.65) for g in (1.0, 0.8, 0.45)),
    *(_Shot(ASTRONAUT, scale=s, gain=g) for s in (1.0, 0.5) for g in (1.0, 0.45)),
    _Shot(GROUP, part=(0.05, 0.05, 0.55, 0.75)),
    _Shot(GROUP, part=(0.45, 0.2, 0.95, 0.95)),
    _Shot(GROUP, part=(0.2, 0.3, 0.8, 0.8)),
    _Shot(ROCKET),
    _Shot(ROCKET, gain=0.45),
)


def calibration_pictures(width: int, height: int) -> list[ByteArray]:
    """Pictures to find the range of every activation, shape (height, width, 3), BGR.

    Raises:
        ModelUnavailable: a photo is missing.
    """
    return [_picture(shot, width, height, mirrored=False) for shot in _CALIBRATION]


def check_pictures(width: int, height: int) -> list[ByteArray]:
    """Pictures to compare two models on; all mirrored, so that none was calibrated on.

    Raises:
        ModelUnavailable: a photo is missing.
    """
    return [_picture(shot, width, height, mirrored=True) for shot in _CHECK]


def _picture(shot: _Shot, width: int, height: int, *, mirrored: bool) -> ByteArray:
    photo = _photo(*shot.photo)
    h, w = photo.shape[:2]
    left, top, right, bottom = shot.part
    photo = photo[int(top * h) : int(bottom * h), int(left * w) : int(right * w)]
    if mirrored:
        photo = photo[:, ::-1]
    box = fit_into(
        photo.shape[1], photo.shape[0], int(width * shot.scale), int(height * shot.scale)
    )
    bright = np.clip(photo.astype(np.float32) * shot.gain, 0, 255).astype(np.uint8)
    return laid_in(bright, Letterbox(width, height, box.inner_width, box.inner_height))


def laid_in(image: ByteArray, box: Letterbox) -> ByteArray:
    """An image in the letterbox's canvas; the rest is black."""
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    size = (box.inner_width, box.inner_height)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas[: box.inner_height, : box.inner_width] = resized
    return canvas


def _photo(package: str, file: str) -> ByteArray:
    spec = importlib.util.find_spec(package)  # does not import it
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        image = cv2.imread(str(Path(folder) / file))
        if image is not None:
            return np.asarray(image, np.uint8)
    raise ModelUnavailable(
        f"Precision 'int8' needs the photo {Path(file).name} of the package {package!r}.",
        hint="Install the pinned requirements again (make setup), or use precision 'float32'.",
    )
