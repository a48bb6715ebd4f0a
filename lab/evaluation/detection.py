"""What the detector alone finds, by the size of faces, its threshold and its picture's size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from apps.common.config import model_registry
from apps.common.options import PROVIDER_OF_DEVICE
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import DetectorRequest
from apps.pipeline.detect.centerface import CenterFace
from apps.pipeline.detect.suppress import suppress
from apps.pipeline.detect.weights import packaged_model
from apps.pipeline.types import Faces
from lab.evaluation.detection_cache import RememberingDetector, cache_name
from lab.evaluation.rows import NO_ROWS, Rows, Truth, covered, overlaps
from lab.evaluation.systems import options_for

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
HEIGHTS = (0, 16, 20, 24, 32, 48, 10_000)  # pixels of the detector's picture
NMS_OVERLAPS = (0.2, 0.3, 0.4, 0.5, 0.6)
_HARDLY_ANY = 0.9  # overlap at which next to nothing is suppressed
_LOWEST = 0.2
_EVERY = 5  # frames
_INSIDE = 0.5  # share of a box that must lie in a face of which too little shows


@dataclass(frozen=True)
class Looked:
    """What the detector said of some frames.

    Args:
        heights: shape (n,), of the true faces in pixels of the detector's picture.
        conf: shape (n,), of the box that was found for each, 0 where none was.
        false_conf: shape (m,), of boxes that are no face.
        seconds: CPU seconds of the detector.
        frames: number of them.
    """

    heights: NDArray[np.float64]
    conf: NDArray[np.float64]
    false_conf: NDArray[np.float64]
    seconds: float
    frames: int

    def recall(self, threshold: float, low: float = 0.0, high: float = np.inf) -> float:
        """The share of the faces with low <= height < high that were found; nan without any."""
        chosen = (self.heights >= low) & (self.heights < high)
        return float((self.conf[chosen] >= threshold).mean()) if chosen.any() else float("nan")

    def precision(self, threshold: float) -> float:
        hits, false = (self.conf >= threshold).sum(), (self.false_conf >= threshold).sum()
        return float(hits / max(1, hits + false))

    def faces(self, low: float = 0.0, high: float = np.inf) -> int:
        return int(((self.heights >= low) & (self.heights < high)).sum())

    @property
    def milliseconds(self) -> float:
        """CPU time of a frame."""
        return 1000 * self.seconds / max(1, self.frames)


@dataclass(frozen=True)
class _Seen:
    """Every fifth frame's faces.

    Args:
        faces: by the frame's number, in pixels of the detector's picture.
        scale: of that picture over the video's.
        seconds: CPU seconds of the detector.
    """

    faces: list[tuple[int, Faces]]
    scale: float
    seconds: float


def look_at(video: Path, ep_id: str, truth: Truth, det_size: int, cache: Path) -> Looked:
    """Lets the detector see every fifth frame, down to a confidence of 0.2.

    Args:
        det_size: long side of its picture, pixels.
        cache: folder for models and remembered faces.

    Raises:
        ScreenalyticsError: the video cannot be read.
    """
    nms_iou = model_registry().detectors["centerface"].nms_iou
    return _judged(truth, _seen(video, ep_id, det_size, nms_iou, cache))


def look_with_each_nms(video: Path, ep_id: str, truth: Truth, cache: Path) -> dict[float, Looked]:
    """The same with other overlaps from which two boxes are one face, from one inference a frame.

    Raises:
        ScreenalyticsError: the video cannot be read.
    """
    seen = _seen(video, ep_id, 640, _HARDLY_ANY, cache)
    found = {}
    for iou in NMS_OVERLAPS:
        faces = [
            (number, suppress(all_of_them, _LOWEST, iou)) for number, all_of_them in seen.faces
        ]
        found[iou] = _judged(truth, replace(seen, faces=faces))
    return found


def _seen(video: Path, ep_id: str, det_size: int, nms_iou: float, cache: Path) -> _Seen:
    options = options_for(1).model_copy(update={"det_size": det_size, "det_thresh": _LOWEST})
    config = model_registry().detectors["centerface"].model_copy(update={"nms_iou": nms_iou})
    with open_video(video, threads=1) as source:
        request = DetectorRequest(
            width=source.facts.width,
            height=source.facts.height,
            det_size=det_size,
            det_thresh=_LOWEST,
            provider=PROVIDER_OF_DEVICE["cpu"],
            threads=1,
            precision=options.precision,
        )
        inner = CenterFace(request, config, packaged_model(config), cache)
        name = f"{ep_id}-{cache_name(inner, options, _LOWEST)}-{nms_iou:g}.npz"
        detector = RememberingDetector(inner, cache / "detections" / name)
        frames = source.frames(_EVERY, inner.letterbox)
        faces = [(frame.index, detector.detect(frame.image)) for frame in frames]
        detector.save()
        scale = inner.letterbox.inner_height / source.facts.height
    return _Seen(faces, scale, detector.seconds())


def _judged(truth: Truth, seen: _Seen) -> Looked:
    found = []
    for frame, faces in seen.faces:
        boxes = faces.boxes.astype(np.float64) / seen.scale
        rows = Rows(np.arange(len(faces)), boxes, faces.conf.astype(np.float64))
        found.append(_matched(truth, frame, rows))
    heights, conf, false_conf = (np.concatenate(part) for part in zip(*found, strict=True))
    return Looked(heights * seen.scale, conf, false_conf, seen.seconds, len(found))


def _matched(truth: Truth, frame: int, found: Rows) -> tuple[NDArray[np.float64], ...]:
    """Heights of the true faces, confidence of what was found for each, and of what is false."""
    faces, ignored = truth.rows.get(frame, NO_ROWS), truth.ignored.get(frame, NO_ROWS)
    similarity = overlaps(faces, found)
    rows, columns = linear_sum_assignment(-similarity)
    good = similarity[rows, columns] >= 0.5
    conf = np.zeros(len(faces))
    conf[rows[good]] = found.conf[columns[good]]
    free = np.ones(len(found), bool)
    free[columns[good]] = False
    free &= ~(covered(found, ignored) >= _INSIDE).any(axis=1)
    return faces.boxes[:, 3] - faces.boxes[:, 1], conf, found.conf[free]


def together(parts: Iterable[Looked]) -> Looked:
    """Pools what was seen in several videos."""
    all_parts = list(parts)
    return Looked(
        np.concatenate([part.heights for part in all_parts]),
        np.concatenate([part.conf for part in all_parts]),
        np.concatenate([part.false_conf for part in all_parts]),
        sum(part.seconds for part in all_parts),
        sum(part.frames for part in all_parts),
    )


def bands(edges: Sequence[int] = HEIGHTS) -> Iterator[tuple[int, int]]:
    return pairwise(edges)
