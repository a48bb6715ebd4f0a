"""Grouping with one thing changed: what each part and number buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from apps.common.config import PeopleConfig, PipelineConfig, RecogniserConfig
from apps.common.contracts.manifest import ModelFacts
from apps.pipeline.arrays import FloatArray
from apps.pipeline.people.grouping import grouped
from apps.pipeline.people.stage import PeopleStage
from apps.pipeline.recognise import Recogniser
from apps.pipeline.recognise.base import FaceView
from apps.pipeline.types import Sighting
from lab.evaluation.systems import tracked_again

_NO_LIMIT = 1e6  # faces


@dataclass(frozen=True)
class Again:
    """What people are made of once more.

    Args:
        sightings: of the run, with patches.
        recogniser: the run's.
        config: of the run.
    """

    sightings: Sequence[Sighting]
    recogniser: Recogniser
    config: PipelineConfig

    def stage(self) -> PeopleStage:
        """What has described the faces of all tracks."""
        return _described(self, self.recogniser, self.config.people)


@dataclass(frozen=True)
class Judged:
    """A `Recogniser` for which likeness means something else."""

    inner: Recogniser
    likeness: RecogniserConfig

    @property
    def facts(self) -> ModelFacts:
        return self.inner.facts

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        return self.inner.embed(faces)


@dataclass(frozen=True)
class Ablation:
    """One change.

    Args:
        numbers: fields of `[people]` in config/pipeline.toml and their values in this change.
        likeness: the same of `[recognisers.dlib]` in config/models.toml.
        together: whether tracks that are seen in one frame may not be joined.
    """

    name: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    likeness: Mapping[str, Any] = field(default_factory=dict)
    together: bool = True

    def groups(self, again: Again) -> list[tuple[int, ...]]:
        """Numbers of the tracks of each group."""
        likeness = again.recogniser.likeness.model_copy(update=dict(self.likeness))
        numbers = again.config.people.model_copy(update=dict(self.numbers))
        stage = _described(again, Judged(again.recogniser, likeness), numbers)
        groups = stage.finish()
        if not self.together:
            never = np.zeros(0, np.int64)
            apart = [replace(track, frames=never) for track in stage.track_faces()]
            groups = grouped(apart, likeness.group_distance)
        return [group.tracks for group in groups]


def _described(again: Again, recogniser: Recogniser, config: PeopleConfig) -> PeopleStage:
    stage = PeopleStage(recogniser, config, again.config.track.lost_seconds)
    for item in tracked_again(again.sightings, again.config.track):
        stage.add(item)
    return stage


_ALL = {"first_faces": _NO_LIMIT}
ABLATIONS = (
    Ablation("as configured"),
    Ablation("as many faces as wanted", _ALL),
    Ablation("one face a track", {"max_faces": 1}),
    Ablation("three faces a track", {"max_faces": 3}),
    Ablation("nothing kept for tracks to come", {"kept_per_face": 0.0}),
    Ablation("all faces count alike", {"score_weight": 0.0}),
    Ablation("faces of others in the mean", likeness={"other_person": -1.0}),
    Ablation("seen together may be one", together=False),
    *(
        Ablation(f"group_distance {distance:g}", likeness={"group_distance": distance})
        for distance in (0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
    ),
)
