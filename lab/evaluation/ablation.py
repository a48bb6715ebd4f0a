"""The product's tracker without one of its parts, or with another number: what each buys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from apps.common.config import pipeline_config
from apps.pipeline.types import Sighting
from lab.evaluation.rows import Found
from lab.evaluation.systems import ProductRun, track_again


def _unchanged(sighting: Sighting) -> Sighting:
    return sighting


@dataclass(frozen=True)
class Ablation:
    """One change.

    Args:
        name: what is missing or different.
        numbers: fields of `[track]` in config/pipeline.toml and their values in this change.
        strip: takes something away from what the tracker is given.
    """

    name: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    strip: Callable[[Sighting], Sighting] = _unchanged

    def apply(self, run: ProductRun) -> Found:
        config = pipeline_config().track.model_copy(update=dict(self.numbers))
        return track_again(run, config, map(self.strip, run.sightings))


def _one_shot(sighting: Sighting) -> Sighting:
    return replace(sighting, scene=replace(sighting.scene, shot=0))


def _no_motion(sighting: Sighting) -> Sighting:
    return replace(sighting, scene=replace(sighting.scene, motion=None))


def _no_appearance(sighting: Sighting) -> Sighting:
    return replace(sighting, appearance=None)


def _no_flashes(sighting: Sighting) -> Sighting:
    return replace(sighting, scene=replace(sighting.scene, lighting_changed=False))


ABLATIONS = (
    Ablation("as configured"),
    Ablation("no cuts", strip=_one_shot),
    Ablation("no camera motion", strip=_no_motion),
    Ablation("no appearance", strip=_no_appearance),
    Ablation("flashes not known", strip=_no_flashes),
    Ablation("no prediction", {"horizon_seconds": 0.0}),
    Ablation("single sightings dropped", {"single_confidence": 2.0}),
    Ablation("one round of pairing", {"high_confidence_threshold": 0.0}),
    Ablation("first_gate_distance_per_second 7", {"first_gate_distance_per_second": 7.0}),
    Ablation("gate_distance_per_second 3", {"gate_distance_per_second": 3.0}),
    Ablation("max_gate_distance 3", {"max_gate_distance": 3.0}),
    Ablation("max_scale_change 1.8", {"max_scale_change": 1.8}),
    Ablation("scale_change_weight 1.5", {"scale_change_weight": 1.5}),
    Ablation("appearance_weight 0", {"appearance_weight": 0.0}),
    Ablation("appearance_weight 0.2", {"appearance_weight": 0.2}),
    Ablation("max_cost 9", {"max_cost": 9.0}),
    Ablation(
        "hidden faces believed",
        {"max_surprise_hidden": np.inf, "max_appearance_distance_hidden": np.inf},
    ),
    Ablation("hidden_per_second 0", {"hidden_per_second": 0.0}),
    Ablation("max_surprise_known 4", {"max_surprise_known": 4.0}),
    Ablation("max_surprise_new 9", {"max_surprise_new": 9.0}),
    Ablation("nothing decided later", {"max_surprise_claimed": -np.inf}),
    Ablation("no far passers", {"far_gate_distance": 0.0}),
    Ablation("max_appearance_distance 9", {"max_appearance_distance": 9.0}),
    Ablation("max_appearance_distance_moving 7", {"max_appearance_distance_moving": 7.0}),
    Ablation("velocity_seconds 1", {"velocity_seconds": 1.0}),
    Ablation("appearance_seconds 0.1", {"appearance_seconds": 0.1}),
    Ablation("lost_seconds 0.75", {"lost_seconds": 0.75}),
)
