"""A pair of detectors at work: between shots and tracks, frame by frame, in their order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from apps.common.contracts.manifest import ModelFacts
from apps.pipeline.detect.cascade import Asked, Cascade, LightFaces
from apps.pipeline.frame_analysis import FrameAnalyser, FrameAnalysis
from apps.pipeline.track.tracker import FaceTracker
from apps.pipeline.types import Scene, Sighting


@dataclass
class CascadeStage:
    """Gives each frame the faces that both detectors agree on, and counts what that took.

    Args:
        cascade: asks the full detector.
        analyser: has asked the light one, and keeps its frames.
        tracker: knows where faces should be.
    """

    cascade: Cascade
    analyser: FrameAnalyser
    tracker: FaceTracker
    _asked: Counter[Asked] = field(init=False, default_factory=Counter)  # frames

    def settled(self, analysis: FrameAnalysis, scene: Scene) -> FrameAnalysis:
        """The same frame with the faces that are faces."""
        if analysis.frame is None:
            raise ValueError("the frame cannot be looked at again: it was not kept")
        light = self._light_faces(analysis.in_scene(scene))
        with self.analyser.inference("full_look"):
            settled = self.cascade.settled(analysis.frame, light)
        self._asked[settled.asked] += 1
        return self.analyser.after_cascade(analysis, analysis.frame, settled)

    @property
    def counts(self) -> dict[str, int]:
        """Frames that the light detector saw, that the full one saw, and saw places of."""
        return {
            "frames_light": self._asked.total(),
            "frames_full": self._asked["whole"],
            "frames_places": self._asked["places"],
        }

    @property
    def full_model(self) -> ModelFacts:
        return self.cascade.whole.facts.model

    def _light_faces(self, sighting: Sighting) -> LightFaces:
        foreseen = self.tracker.foresee(sighting)
        continuing = np.zeros(len(sighting.faces), bool)
        continuing[list(foreseen.continuing)] = True
        return LightFaces(
            sighting.faces,
            continuing,
            foreseen.missed,
            foreseen.missed_s,
            sighting.scene.shot,
        )
