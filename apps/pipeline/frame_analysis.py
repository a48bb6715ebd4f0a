"""Analyse: what is done with one frame whatever the others show, by any worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import cv2
import numpy as np

from apps.common.config import CropsConfig, ThumbsConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.artifacts.thumbs import face_patches
from apps.pipeline.decode.decoder import Decoded
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector
from apps.pipeline.detect.cascade import Settled
from apps.pipeline.detect.second_look import SecondLook
from apps.pipeline.frame_features import FrameFeatures, Glimpse
from apps.pipeline.stage_clock import StageClock
from apps.pipeline.types import Faces, Frame, Scene, Sighting, in_frame
from apps.pipeline.yuv_crop import FacePatch


@dataclass(frozen=True, slots=True)
class FrameAnalysis:
    """A frame's faces, and what tells how it follows on the frame before.

    Args:
        view: features of the frame, by which cuts are found.
        appearance: shape (n, 60), see `FrameFeatures.appearance`.
        glimpses: one of each frame decoded since the one before, this one last.
        crops, face_patches: see `Sighting`.
        looked_again: there was a second look at it.
        frame: what was looked at, where it may be looked at again.
    """

    index: int
    ts_s: float
    faces: Faces
    view: FrameFeatures
    appearance: FloatArray
    glimpses: tuple[Glimpse, ...]
    crops: tuple[bytes, ...]
    face_patches: tuple[FacePatch, ...]
    looked_again: bool
    frame: Frame | None = None

    def in_scene(self, scene: Scene) -> Sighting:
        return Sighting(
            self.index,
            self.ts_s,
            self.faces,
            scene,
            self.appearance,
            self.crops,
            self.face_patches,
            decoded=len(self.glimpses),
        )


@dataclass(frozen=True, slots=True)
class RepeatedFrame:
    """A frame that shows what another one showed, which was analysed.

    Args:
        glimpses: see `FrameAnalysis`.
    """

    index: int
    ts_s: float
    glimpses: tuple[Glimpse, ...]

    def like(self, analysis: FrameAnalysis | None) -> FrameAnalysis:
        """With that one's faces and their pictures.

        Raises:
            ValueError: there was none before it.
        """
        if analysis is None:
            raise ValueError("the first frame of a video repeats nothing")
        return replace(
            analysis,
            index=self.index,
            ts_s=self.ts_s,
            glimpses=self.glimpses,
            looked_again=False,
        )


class FrameAnalyser:
    """Does with a frame what needs no other frame.

    Args:
        video: the one whose frames are analysed.
        detector: made for it.
        second_look: where one is wanted; the detector then reports its doubts too.
        clock: measures the time of each stage.
        thumbs: size and margin with which faces are cut out.
        crops: writes pictures of faces, where they are wanted.
        one_inference: inferences take turns.
        keep_frames: frames may be looked at again.
    """

    def __init__(
        self,
        video: Video,
        detector: Detector,
        second_look: SecondLook | None,
        clock: StageClock,
        thumbs: ThumbsConfig,
        crops: CropsConfig | None,
        *,
        one_inference: bool,
        keep_frames: bool = False,
    ) -> None:
        self._video = video
        self._detector = detector
        self._second_look = second_look
        self._clock = clock
        self._thumbs = thumbs
        self._crops = crops
        self._turn = threading.Lock() if one_inference else nullcontext()
        self._keep_frames = keep_frames

    def analyse(self, decoded: Decoded) -> FrameAnalysis | RepeatedFrame:
        """May be called by several threads at once."""
        measure, is_intra = self._clock.measure, decoded.picture.is_intra
        if decoded.repeats and decoded.seen is not None:
            glimpses = (*decoded.passed, Glimpse(decoded.ts_s, decoded.seen, is_intra))
            return RepeatedFrame(decoded.index, decoded.ts_s, glimpses)
        with measure("scale"):
            frame = self._video.scaled(decoded, self._detector.letterbox)
        with self.inference("detect"):
            faces = in_frame(self._detector.detect(frame.image), frame.letterbox)
        faces, looked_again = self._settled(frame, faces)
        with measure("look"):
            view = FrameFeatures.of(frame)
            appearance = view.appearance(faces.boxes)
            seen = decoded.seen or decoded.picture.glimpse()
            glimpse = Glimpse(decoded.ts_s, view if seen is None else seen, is_intra)
        with measure("crops"):
            crops = self._cropped(frame, faces)
            cut_out = face_patches(frame, faces, self._thumbs)
        return FrameAnalysis(
            frame.index,
            frame.ts_s,
            faces,
            view,
            appearance,
            (*decoded.passed, glimpse),
            crops,
            cut_out,
            looked_again,
            frame if self._keep_frames else None,
        )

    @contextmanager
    def inference(self, stage: str) -> Iterator[None]:
        """Its turn to infer, where inferences take turns; the time counts as this stage's."""
        with self._turn, self._clock.measure(stage):
            yield

    def after_cascade(
        self, analysis: FrameAnalysis, frame: Frame, settled: Settled
    ) -> FrameAnalysis:
        """The same frame with the faces that are faces, best first.

        Args:
            frame: what was looked at.
            settled: what the full detector made of it.
        """
        kept, found = settled.kept, settled.found
        old = analysis.faces[kept]
        faces = Faces(old.boxes, old.landmarks, settled.conf) + found
        with self._clock.measure("look"):
            appearance = [analysis.appearance[kept], analysis.view.appearance(found.boxes)]
        with self._clock.measure("crops"):
            crops = [
                *(analysis.crops[i] for i in kept if analysis.crops),
                *self._cropped(frame, found),
            ]
            patches = [
                *(analysis.face_patches[i] for i in kept),
                *face_patches(frame, found, self._thumbs),
            ]
        order = np.argsort(-faces.conf, kind="stable")
        return replace(
            analysis,
            faces=faces[order],
            appearance=np.concatenate(appearance)[order],
            crops=tuple(crops[i] for i in order if crops),
            face_patches=tuple(patches[i] for i in order),
            frame=None,
        )

    def _settled(self, frame: Frame, faces: Faces) -> tuple[Faces, bool]:
        """The faces after the second look, where one is wanted, and whether it took place."""
        if self._second_look is None:
            return faces, False
        with self._clock.measure("second_look"):
            mosaic, found = self._second_look.mosaic(frame, faces), Faces.none()
        if mosaic is not None:
            with self.inference("second_look"):
                found = self._detector.detect(mosaic.image)
        return self._second_look.settled(faces, mosaic, found), mosaic is not None

    def _cropped(self, frame: Frame, faces: Faces) -> tuple[bytes, ...]:
        if frame.picture is None or self._crops is None:
            return ()
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._crops.jpeg_quality]
        crops = frame.picture.crops(faces.boxes, self._crops.margin)
        return tuple(cv2.imencode(".jpg", crop, quality)[1].tobytes() for crop in crops)
