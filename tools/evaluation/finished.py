"""A run that is there already, against faces and cuts that a person marked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from rich.table import Table

from apps.common.contracts import RunManifest, TrackMetrics, VideoFacts
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.common.layout import RunFiles
from tools.evaluation.errors import IdentityError, identity_errors
from tools.evaluation.ground_truth import GroundTruth
from tools.evaluation.real import CutResult, judge_cuts, true_of
from tools.evaluation.rows import Found, read_run
from tools.evaluation.scores import Scores, score, shown
from tools.evaluation.shot_truth import Shots


@dataclass(frozen=True)
class Judged:
    """A run's scores.

    Args:
        scores: of its tracks; None where no faces were marked.
        errors: of its tracks.
        cuts: None where no shots were marked.
    """

    scores: Scores | None
    errors: tuple[IdentityError, ...]
    cuts: CutResult | None


def judge_run(
    folder: Path,
    faces: GroundTruth | None,
    shots: Shots | None,
    iou: float,
    *,
    strict: bool = False,
) -> Judged:
    """Scores the run in `folder` (a run's folder under `manifests/`).

    Tracks across cuts stay 0 where no shots are given.

    Raises:
        InvalidInput: the folder holds no completed run, or what is marked does not fit it.
    """
    files = RunFiles(folder)
    video, stride = _video(files)
    found = Found(
        rows=read_run(files.detections, video.width, video.height),
        sampled=tuple(range(0, video.frames, stride)),
        cuts=None if shots is None else _cuts(files),
        video_seconds=video.duration_s,
    )
    truth = true_of(faces, shots, video.frames)
    return Judged(
        scores=None if faces is None else score(truth, found, iou=iou, strict=strict),
        errors=() if faces is None else identity_errors(truth, found, iou=iou),
        cuts=None if shots is None else judge_cuts(truth, found),
    )


def _video(files: RunFiles) -> tuple[VideoFacts, int]:
    """The video of a run, and its stride."""
    document = read_json(files.manifest)
    manifest = None if document is None else RunManifest.model_validate(document)
    if manifest is None or manifest.video is None or manifest.effective_stride is None:
        raise InvalidInput("There is no completed run.", hint="Give a folder with a run.json.")
    return manifest.video, manifest.effective_stride


def _cuts(files: RunFiles) -> tuple[int, ...]:
    document = read_json(files.metrics)
    if document is None:
        raise InvalidInput(f"The run has no {files.metrics.name}.", hint="Give a completed run.")
    return tuple(TrackMetrics.model_validate(document).scene_cuts)


def table(name: str, scores: Scores, iou: float, note: str) -> Table:
    title = f"{name}, boxes matched at IoU {iou:g}"
    result = Table("figure", "value", title=title, caption=note)
    for item in fields(scores):
        result.add_row(item.name, shown(getattr(scores, item.name)))
    return result
