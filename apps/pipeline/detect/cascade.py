"""A pair of detectors: a light one looks at every frame, a full one where it matters.

Light detectors miss faces in the dark and from near, and take hair and magazines for faces; but a
face that one has found needs no second opinion in the next sample. So the full detector is asked
about what is new, about what has vanished, and now and then about a whole picture:

- Of a light face that continues a track, nothing is asked.
- A light face that continues none, and the place where a track's face should be and is not, are
  looked at by the full detector, each cut out of the frame as one small picture.
- What that took for no face is not asked about for a while, each time for twice as long: a face
  that comes into sight is soon one, hair stays hair.
- The first picture of a shot, one every few seconds, and one with many such places is looked at as
  a whole.

What each is only half sure of is a face where both are: their mistakes lie in other places. Every
decision rests on the frames before and on nothing else, so that results do not depend on threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.common.config import CascadeConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.detect.base import Detector
from apps.pipeline.detect.mosaic import MosaicMaker
from apps.pipeline.types import Faces, Frame, in_frame

Asked = Literal["nothing", "places", "whole"]


@dataclass(frozen=True)
class LightFaces:
    """What the light detector saw in a frame, and how that follows on the tracks so far.

    Args:
        faces: from `doubt` on, in 0..1 of the frame.
        continuing: shape (n,), whether each continues a track.
        missed: shape (m, 4), where the faces of other tracks should be, in 0..1 of the frame.
        missed_s: shape (m,), for how long they have not been seen.
        shot: number of the frame's shot.
    """

    faces: Faces
    continuing: NDArray[np.bool_]
    missed: FloatArray
    missed_s: FloatArray
    shot: int


@dataclass(frozen=True)
class Settled:
    """The faces of a frame after the full detector was asked.

    Args:
        kept: numbers of the light detector's faces that are faces.
        conf: their confidences, of the surer of the two.
        found: those that the full one found, in 0..1 of the frame.
        asked: what it was asked about.
    """

    kept: NDArray[np.int64]
    conf: FloatArray
    found: Faces
    asked: Asked


@dataclass
class Denials:
    """What the full detector took for no face, and for how long it is not asked about again.

    Args:
        config: see `config/pipeline.toml`.
    """

    config: CascadeConfig
    _boxes: FloatArray = field(init=False)  # shape (n, 4), in 0..1 of the frame
    _since: NDArray[np.float64] = field(init=False)  # shape (n,), seconds
    _waits: NDArray[np.float64] = field(init=False)  # shape (n,), seconds

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._boxes = np.zeros((0, 4), np.float32)
        self._since = self._waits = np.zeros(0)

    def of(self, faces: Faces, now_s: float) -> NDArray[np.bool_]:
        """Which of these need not be asked about."""
        self._keep(self._since >= now_s - 2 * self.config.denied_seconds)
        waiting = self._since >= now_s - self._waits
        return _any_overlap(faces, self._boxes[waiting], self.config.same_face)

    def add(self, boxes: FloatArray, now_s: float) -> None:
        """Those that have waited and are denied once more wait twice as long."""
        same = overlaps(boxes, self._boxes) >= self.config.same_face
        before = np.where(same, self._waits, 0.0).max(axis=1, initial=0.0)
        waits = np.clip(2 * before, self.config.denied_from_seconds, self.config.denied_seconds)
        self._keep(np.asarray(~same.any(axis=0)))
        self._boxes = np.concatenate([self._boxes, boxes])
        self._since = np.concatenate([self._since, np.full(len(boxes), now_s)])
        self._waits = np.concatenate([self._waits, waits])

    def _keep(self, which: NDArray[np.bool_]) -> None:
        self._boxes, self._since = self._boxes[which], self._since[which]
        self._waits = self._waits[which]


@dataclass
class Cascade:
    """Asks the full detector. Frames come in order.

    Args:
        config: see `config/pipeline.toml`.
        threshold: least confidence of a face, 0..1.
        whole: the full detector for whole pictures, in the light one's letterbox.
        places: the same for one place of a frame.
        maker: cuts those out.
    """

    config: CascadeConfig
    threshold: float
    whole: Detector
    places: Detector
    maker: MosaicMaker
    _shot: int = field(init=False, default=-1)
    _whole_s: float = field(init=False, default=-np.inf)
    _denials: Denials = field(init=False)

    def __post_init__(self) -> None:
        self._denials = Denials(self.config)

    def settled(self, frame: Frame, light: LightFaces) -> Settled:
        """The faces of a frame."""
        if light.shot != self._shot:
            self._denials.clear()
        denied = self._denials.of(light.faces, frame.ts_s)
        doubtful = np.flatnonzero(~light.continuing & ~denied)
        missed = light.missed[self._is_missed(light)]
        places = np.concatenate([light.faces.boxes[doubtful], missed])
        if self._wants_whole(frame, light, places):
            settled = self._whole_look(frame, light)
        elif len(places) > 0:
            settled = self._look_at(frame, light, doubtful, places)
        else:
            kept = np.flatnonzero(light.continuing)
            settled = Settled(kept, light.faces.conf[kept], Faces.none(), "nothing")
        self._shot = light.shot
        return settled

    def _is_missed(self, light: LightFaces) -> NDArray[np.bool_]:
        centres = (light.missed[:, :2] + light.missed[:, 2:]) / 2
        inside = ((centres > 0) & (centres < 1)).all(axis=1)
        return np.asarray(inside & (light.missed_s <= self.config.gone_seconds))

    def _wants_whole(self, frame: Frame, light: LightFaces, places: FloatArray) -> bool:
        return (
            light.shot != self._shot
            or frame.ts_s >= self._whole_s + self.config.whole_seconds
            or len(places) > self.config.max_places
        )

    def _whole_look(self, frame: Frame, light: LightFaces) -> Settled:
        alike = self.config.same_face
        seen = in_frame(self.whole.detect(frame.image), frame.letterbox)
        found, half = seen[seen.conf >= self.threshold], seen[seen.conf >= self._confirming]
        faces = light.faces
        is_new = ~_any_overlap(faces, found.boxes, alike)
        both = _any_overlap(faces, half.boxes, alike) & (faces.conf >= self.threshold)
        is_face = is_new & both
        self._denials.add(faces.boxes[is_new & ~is_face], frame.ts_s)
        self._whole_s = frame.ts_s
        kept = np.flatnonzero(is_face)
        return Settled(kept, faces.conf[kept], found, "whole")

    def _look_at(
        self,
        frame: Frame,
        light: LightFaces,
        doubtful: NDArray[np.int64],
        places: FloatArray,
    ) -> Settled:
        """Looks at places: those of doubtful faces, in their order, and where one is missed."""
        is_face, conf, found = light.continuing.copy(), light.faces.conf.copy(), Faces.none()
        for turn, place in enumerate(places):
            there = self._seen_at(frame, place[None])
            if turn < len(doubtful):
                number = doubtful[turn]
                is_half_sure = light.faces.conf[number] >= self.threshold
                least = self._confirming if is_half_sure else self.threshold
                is_face[number] = (there.conf >= least).any()
                conf[number] = max([conf[number], *there.conf])
                if not is_face[number]:
                    self._denials.add(place[None], frame.ts_s)
                continue
            there = there[np.flatnonzero(there.conf >= self.threshold)[:1]]
            if not _any_overlap(there, found.boxes, self.config.same_face).any():
                found += there
        kept = np.flatnonzero(is_face)
        is_new = ~_any_overlap(found, light.faces.boxes[kept], self.config.same_face)
        return Settled(kept, conf[kept], found[is_new], "places")

    def _seen_at(self, frame: Frame, place: FloatArray) -> Faces:
        """What the full one sees there, best first, in 0..1 of the frame.

        Args:
            place: shape (1, 4), likewise.
        """
        mosaic = self.maker.of(frame, place, [0])
        there = mosaic.cells[0].faces_in_frame(self.places.detect(mosaic.image))
        return there[overlaps(there.boxes, place)[:, 0] >= self.config.same_face]

    @property
    def _confirming(self) -> float:
        return self.config.confirm * self.threshold


def _any_overlap(faces: Faces, boxes: FloatArray, iou: float) -> NDArray[np.bool_]:
    """Whether each face is one of the boxes."""
    if len(boxes) == 0:
        return np.zeros(len(faces), bool)
    return np.asarray((overlaps(faces.boxes, boxes) >= iou).any(axis=1))
