"""Reads `apps/config/*.toml`, the only place of run defaults, into frozen objects.

A file of the same name in the folder that `SCREENALYTICS_CONFIG_DIR` names is taken in its place.
"""

from __future__ import annotations

import logging
import os
import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from apps.common.options import model_of, options_by

CONFIG_DIR_VARIABLE = "SCREENALYTICS_CONFIG_DIR"
_log = logging.getLogger("screenalytics.config")

# Still read, with a warning, in a file of one's own.
_FORMER_NAMES: dict[str, dict[str, str]] = {
    "shots": {"calm_agreement": "stable_agreement"},
    "track": {
        "reach": "gate_distance",
        "first_reach_per_second": "first_gate_distance_per_second",
        "reach_per_second": "gate_distance_per_second",
        "most_reach": "max_gate_distance",
        "most_cost": "max_cost",
        "most_growth": "max_scale_change",
        "most_growth_claimed": "max_scale_change_claimed",
        "growth_weight": "scale_change_weight",
        "surprising_growth": "surprising_scale_change",
        "far_reach": "far_gate_distance",
        "far_growth": "far_scale_change",
        "look_weight": "appearance_weight",
        "look_seconds": "appearance_seconds",
        "surprising_look": "surprising_appearance",
        "far_unlike": "far_appearance_distance",
        "most_unlike": "max_appearance_distance",
        "most_unlike_hidden": "max_appearance_distance_hidden",
        "most_unlike_moving": "max_appearance_distance_moving",
    },
    "recognition": {"least_confidence": "min_confidence", "least_pixels": "min_pixels"},
    "thermal": {"least_percent": "min_percent"},
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Profile(model_of(options_by("profile"), optional=False)):  # type: ignore[misc]
    """What a run does that follows this preset."""

    summary: str


class Defaults(model_of(options_by("default"), optional=False)):  # type: ignore[misc]
    """What does not depend on the profile."""


class DetSize(_Frozen):
    default: int
    coreml: int


class RunDefaults(_Frozen):
    profiles: dict[str, Profile]
    profile_for_device: dict[str, str]
    device_aliases: dict[str, str]
    defaults: Defaults
    det_size: DetSize


class DetectorConfig(_Frozen):
    """A detector, and where its weights come from.

    Args:
        package, file: an installed package, and the file in it.
        pack: a pack of InsightFace, which downloads it.
        url, file: a download, and what it is called.
        light, full: a pair of detectors, which have their own.
        sha256: of the file; it tells whose weights a file is, and a download must have it.
    """

    summary: str
    licence: str
    det_thresh: float
    nms_iou: float
    package: str | None = None
    file: str | None = None
    pack: str | None = None
    url: str | None = Field(None, pattern=r"^https?://")
    light: str | None = None
    full: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        sources = [self.package, self.pack, self.url, self.light]
        if len(sources) - sources.count(None) != 1:
            raise ValueError("one of package, pack, url and light is needed")
        if self.pack is None and self.light is None and self.file is None:
            raise ValueError("file is missing")
        if (self.light is None) != (self.full is None):
            raise ValueError("light and full go together")
        if self.url is not None and self.sha256 is None:
            raise ValueError("a download needs its sha256")
        return self


class RecogniserConfig(_Frozen):
    """Where a recogniser's weights come from, and what likeness of two faces means with it."""

    summary: str
    licence: str
    package: str | None = None
    file: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    other_person: float = Field(ge=-1, le=1)
    same_person: float = Field(ge=-1, le=1)
    group_distance: float = Field(ge=0, le=2)


class ModelRegistry(_Frozen):
    recognisers: dict[str, RecogniserConfig]
    detectors: dict[str, DetectorConfig]


class ShotsConfig(_Frozen):
    same_agreement: float
    same_response: float
    same_features: int
    same_spread: float
    same_scale_change: float
    sure_agreement: float
    sure_features: int
    other_colours: float
    other_place: float
    other_place_per_second: float
    other_place_seconds: float
    flash_seconds: float
    doubt: float
    abrupt: float
    other_faces: float
    stable_agreement: float
    other_light: float
    gradual_seconds: float
    rest_seconds: float
    gradual_layout: float
    gradual_place: float
    gradual_residual: float
    flash_features: int


class TrackConfig(_Frozen):
    lost_seconds: float
    unseen_seconds: float
    activation_threshold: float
    high_confidence_threshold: float
    single_confidence: float
    gate_distance: float
    first_gate_distance_per_second: float
    gate_distance_per_second: float
    max_gate_distance: float
    max_cost: float
    max_scale_change: float
    scale_change_weight: float
    appearance_weight: float
    surprising_scale_change: float
    surprising_appearance: float
    max_surprise_hidden: float
    hidden_per_second: float
    max_appearance_distance_hidden: float
    max_surprise_left: float
    max_surprise_known: float
    max_surprise_new: float
    max_surprise_claimed: float
    max_scale_change_claimed: float
    claim_seconds: float
    claim_margin: float
    nearer: float
    far_gate_distance: float
    far_scale_change: float
    far_appearance_distance: float
    max_appearance_distance: float
    max_appearance_distance_moving: float
    velocity_seconds: float
    horizon_seconds: float
    appearance_seconds: float


class RecognitionConfig(_Frozen):
    every_frames: int = Field(ge=1)
    min_confidence: float
    min_pixels: int
    newer_share: float = Field(gt=0, le=1)


class PeopleConfig(_Frozen):
    min_confidence: float = Field(ge=0, le=1)
    min_pixels: int = Field(ge=1)
    enough_pixels: int = Field(ge=1)
    enough_sharpness: float = Field(gt=0)
    max_faces: int = Field(ge=1)
    first_part_seconds: float = Field(gt=0)
    first_faces: float = Field(ge=0)
    faces_per_frame: float = Field(gt=0)
    faces_per_decoded: float = Field(ge=0)
    kept_per_face: float = Field(ge=0)
    score_weight: float = Field(ge=0)
    max_waiting: int = Field(ge=1)
    suggest_factor: float = Field(gt=0)


class SecondLookConfig(_Frozen):
    doubt: float = Field(gt=0, lt=1)
    max_height: float = Field(gt=0)
    target_height: float = Field(gt=0)
    max_zoom: float = Field(ge=1)
    max_share: float = Field(gt=0, lt=1)
    cell: int = Field(ge=32)
    same_face: float = Field(gt=0, lt=1)


class DetectorCheckConfig(_Frozen):
    margin: float = Field(ge=0, lt=1)
    video_seconds: float = Field(gt=0)
    video_pictures: int = Field(ge=1)


class HardwareConfig(_Frozen):
    pictures: int = Field(ge=1)
    max_stride: int = Field(ge=1)
    max_difference: float = Field(ge=0)


class StillConfig(_Frozen):
    block: int = Field(ge=1)
    noise: float = Field(ge=0)
    noise_of_contrast: float = Field(ge=0)


class CascadeConfig(_Frozen):
    doubt: float = Field(gt=0, le=1)
    confirm: float = Field(gt=0, le=1)
    same_face: float = Field(gt=0, lt=1)
    whole_seconds: float = Field(gt=0)
    gone_seconds: float = Field(ge=0)
    denied_from_seconds: float = Field(ge=0)
    denied_seconds: float = Field(ge=0)
    max_places: int = Field(ge=1)
    cell: int = Field(ge=32, multiple_of=32)


class MetricsConfig(_Frozen):
    short_track_seconds: float
    missed_seconds: float = Field(ge=0)


class CropsConfig(_Frozen):
    margin: float
    jpeg_quality: int
    thumbs_per_track: int


class ThumbsConfig(_Frozen):
    long_side: int
    margin: float
    jpeg_quality: int
    clearly_better: float


class PreviewConfig(_Frozen):
    long_side: int
    crf: int


class PlayableConfig(_Frozen):
    long_side: int = Field(ge=16)
    crf: int = Field(ge=0, le=51)
    key_frame_s: float = Field(gt=0)
    clip_long_side: int = Field(ge=16)
    clip_crf: int = Field(ge=0, le=51)
    clip_max_s: float = Field(gt=0)
    clip_margin_s: float = Field(ge=0)
    max_gb: float = Field(gt=0)


class BudgetConfig(_Frozen):
    burst_seconds: float
    window_seconds: float
    window_excess: float
    max_sleep_seconds: float


class ThermalConfig(_Frozen):
    period_seconds: float = Field(gt=0)
    hot_celsius: float
    cool_celsius: float
    step_percent: float = Field(gt=0)
    min_percent: float = Field(gt=0)


class MeterConfig(_Frozen):
    interval_seconds: float
    peak_window_seconds: float


class PipelineConfig(_Frozen):
    shots: ShotsConfig
    track: TrackConfig
    second_look: SecondLookConfig
    detector_check: DetectorCheckConfig
    hardware: HardwareConfig
    still: StillConfig
    cascade: CascadeConfig
    recognition: RecognitionConfig
    people: PeopleConfig
    metrics: MetricsConfig
    crops: CropsConfig
    thumbs: ThumbsConfig
    preview: PreviewConfig
    playable: PlayableConfig
    budget: BudgetConfig
    thermal: ThermalConfig
    meter: MeterConfig


@cache
def run_defaults() -> RunDefaults:
    return RunDefaults.model_validate(_read("profiles.toml"))


@cache
def model_registry() -> ModelRegistry:
    return ModelRegistry.model_validate(_read("models.toml"))


@cache
def pipeline_config() -> PipelineConfig:
    return PipelineConfig.model_validate(_read("pipeline.toml"))


def config_files() -> tuple[Traversable, ...]:
    """The files that are in force, in the order of their names."""
    return tuple(_file(name) for name in ("models.toml", "pipeline.toml", "profiles.toml"))


def _read(name: str) -> dict[str, Any]:
    tables = tomllib.loads(_file(name).read_text(encoding="utf-8"))
    for table, names in _FORMER_NAMES.items():
        values = tables.get(table)
        if isinstance(values, dict):
            for former in names.keys() & values.keys():
                _log.warning("%s: %s.%s is %s now.", name, table, former, names[former])
                values.setdefault(names[former], values.pop(former))
    return tables


def _file(name: str) -> Traversable:
    own = os.environ.get(CONFIG_DIR_VARIABLE, "")
    if own and (found := Path(own) / name).is_file():
        return found
    return files("apps.config") / name
