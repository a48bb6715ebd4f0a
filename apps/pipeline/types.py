"""What travels through the pipeline. Frozen, and known to every stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apps.common.screen_time import CutSpan
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.geometry import Letterbox
from apps.pipeline.tone import Tone
from apps.pipeline.yuv_crop import FacePatch


class Picture(Protocol):
    """A decoded frame at full size, converted to pixels only where it is asked for."""

    @property
    def tone(self) -> Tone | None:
        """How its colours are to be mapped for people; None for an ordinary picture."""
        ...

    def crops(self, boxes: FloatArray, margin: float) -> list[ByteArray]:
        """The parts around boxes.

        Args:
            boxes: shape (n, 4), [x1, y1, x2, y2] in 0..1.
            margin: on each side, in parts of a box's long side.

        Returns:
            n images of shape (h, w, 3), BGR.
        """
        ...

    def face_patch(self, box: FloatArray, margin: float, long_side: int) -> FacePatch | None:
        """The part around one box, without converting the frame; None where that cannot be done.

        Args:
            box: shape (4,), as above.
            margin: as above.
            long_side: the longer side of the picture that is wanted, pixels.
        """
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled frame, ready for the detector.

    Args:
        index: number of the frame in display order, from 0.
        ts_s: its presentation time in seconds.
        image: shape (canvas_height, canvas_width, 3), uint8, BGR, 0..255.
        letterbox: where the frame lies in `image`.
        picture: the frame at full size, where it is wanted.
    """

    index: int
    ts_s: float
    image: ByteArray
    letterbox: Letterbox
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Faces:
    """Detections of one frame, best first.

    Args:
        boxes: shape (n, 4), [x1, y1, x2, y2].
        landmarks: shape (n, 5, 2), x and y of eyes, nose, mouth corners (left before right as
            seen in the picture).
        conf: shape (n,), confidence in 0..1.

    Coordinates are pixels of the detector's picture when they leave a detector and 0..1 of the
    displayed frame in every later stage.
    """

    boxes: FloatArray
    landmarks: FloatArray
    conf: FloatArray

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Faces:
        """Some of them, in the order that is asked for."""
        return Faces(self.boxes[which], self.landmarks[which], self.conf[which])

    def __add__(self, more: Faces) -> Faces:
        """These, and more of the same frame behind them."""
        return Faces(
            np.concatenate([self.boxes, more.boxes]),
            np.concatenate([self.landmarks, more.landmarks]),
            np.concatenate([self.conf, more.conf]),
        )

    @staticmethod
    def none() -> Faces:
        return Faces(
            np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
        )


def in_frame(faces: Faces, letterbox: Letterbox) -> Faces:
    """From pixels of the picture to 0..1 of the frame; boxes that lie in the margin go."""
    boxes = letterbox.normalise(faces.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Faces(
        boxes[inside],
        letterbox.normalise(faces.landmarks[inside]),
        faces.conf[inside],
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """How a processed frame follows on the one before.

    Args:
        shot: number of its shot, from 0.
        motion: shape (2, 3), takes points (x, y, 1), 0..1 of the frame before, to this frame;
            None where the camera stands still, or nothing is known.
        is_stable: most of the picture was found again.
        lighting_changed: the place was found again, in other light.
        since_s: only for the first frame of a shot that began gradually: since when more of the
            picture belongs to that shot, seconds.
        cut: only for the first frame of a shot that began with a cut, where that is known.
    """

    shot: int
    motion: FloatArray | None = None
    is_stable: bool = True
    lighting_changed: bool = False
    since_s: float | None = None
    cut: CutSpan | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """The faces of one processed frame, before tracking.

    Args:
        appearance: shape (n, 60), what each face looks like (`FrameFeatures.appearance`); None
            where that is not known.
        crops: a JPEG for each face, where crops are wanted.
        face_patches: for each face what its thumb is made of.
        decoded: pictures that were decoded since the processed frame before, this one included.
    """

    index: int
    ts_s: float
    faces: Faces
    scene: Scene
    appearance: FloatArray | None = None
    crops: tuple[bytes, ...] = ()
    face_patches: tuple[FacePatch, ...] = ()
    decoded: int = 1


@dataclass(frozen=True, slots=True)
class TrackedSighting:
    """A sighting whose track numbers are final; 0 stands for "no track"."""

    sighting: Sighting
    tracks: tuple[int, ...]
