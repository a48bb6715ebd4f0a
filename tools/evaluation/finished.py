"""A run that is there already, against ground truth in MOT format or CVAT's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from rich.table import Table

from apps.common.contracts import RunManifest
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.common.layout import RunFiles
from tools.evaluation.ground_truth import read_ground_truth
from tools.evaluation.rows import Found, Truth, read_run
from tools.evaluation.scores import Scores, score


def score_run(folder: Path, truth: Path, iou: float) -> Scores:
    """Scores the run in `folder` (a run's folder under `manifests/`).

    Tracks across cuts stay 0: such a file says nothing of cuts.

    Raises:
        InvalidInput: the folder holds no completed run, or the file is no ground truth.
    """
    files = RunFiles(folder)
    document = read_json(files.manifest)
    manifest = None if document is None else RunManifest.model_validate(document)
    if manifest is None or manifest.video is None or manifest.effective_stride is None:
        raise InvalidInput("There is no completed run.", hint="Give a folder with a run.json.")
    video = manifest.video
    rows, ignored = read_ground_truth(truth)
    found = Found(
        read_run(files.detections, video.width, video.height),
        tuple(range(0, video.frames, manifest.effective_stride)),
    )
    return score(Truth(rows, ignored, (), (), video.frames), found, iou=iou)


def table(name: str, scores: Scores, iou: float) -> Table:
    result = Table("figure", "value", title=f"{name}, boxes matched at IoU {iou:g}")
    for item in fields(scores):
        value = getattr(scores, item.name)
        result.add_row(item.name, f"{value:.3f}" if isinstance(value, float) else str(value))
    return result
