"""The trackers alone, on detections that are given: no video, no detector, no shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from apps.common.errors import InvalidInput
from lab.evaluation.ground_truth import read_ground_truth
from lab.evaluation.rows import Frames, Truth, read_mot
from lab.evaluation.scores import Scores, score, shown
from lab.evaluation.systems import DEFAULTS, library_variants, run_library, run_product_tracker

_SHOWN = (
    ("HOTA", "hota"),
    ("DetA", "det_a"),
    ("AssA", "ass_a"),
    ("MOTA", "mota"),
    ("IDF1", "idf1"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("IDsw", "id_switches"),
    ("frag", "fragmentations"),
    ("takeovers", "takeovers"),
    ("splits", "splits"),
    ("tracks", "tracks"),
)


# Whole people are taller than wide, turn less and have other confidences than faces. Chosen on
# TUD-Campus itself at strides 1 and 4, as the library's best settings are (`library_variants`).
_FOR_PEOPLE = {
    "activation_threshold": 0.9,
    "single_confidence": 2.0,
    "gate_distance": 0.9,
    "max_gate_distance": 1.5,
    "scale_change_weight": 1.0,
    "max_scale_change": 2.2,
    "max_cost": 2.0,
    "velocity_seconds": 1.0,
    "horizon_seconds": 1.0,
    "lost_seconds": 2.5,
}
_PRODUCTS: dict[str, dict[str, float]] = {"product": {}, "product, for people": _FOR_PEOPLE}


_MAX_FRAMES = 1_000_000  # 65 trackers look at each; 9 hours of video


@dataclass(frozen=True)
class Given:
    """Detections in MOT format and ground truth in MOT format or CVAT's.

    Args:
        fps: frames a second of the video that they come from; > 0.
        size: width and height of its picture, pixels; None takes the farthest edges of boxes.
        marked_every: see `read_ground_truth`.
    """

    detections: Path
    truth: Path
    fps: float
    size: tuple[int, int] | None
    marked_every: int | None = None


@dataclass(frozen=True)
class Row:
    """One tracker; `settings` are the library's where they are not its defaults."""

    name: str
    scores: Scores
    settings: str = ""


@dataclass(frozen=True)
class Contest:
    """One stride: the product, and the library at its defaults and at its best settings.

    Args:
        rows: the product first.
        note: which frames are scored, where that is not all that were sampled.
    """

    stride: int
    rows: tuple[Row, ...]
    note: str = ""


def contests(given: Given, strides: Sequence[int], iou: float) -> Iterator[Contest]:
    """What each tracker makes of the same detections, at each stride.

    Raises:
        InvalidInput: a file is missing or of another format, the ground truth is empty, or it
            is not that of such a video.
    """
    detections, _ = read_mot(given.detections)
    known = read_ground_truth(given.truth, given.marked_every)
    if not known.faces:
        raise InvalidInput("The ground truth is empty.", hint="Give a file with at least one row.")
    frames = max((*known.faces, *known.ignored)) + 1
    truth = Truth(known.faces, known.ignored, (), (), frames, known.marked)
    if frames > _MAX_FRAMES:
        raise InvalidInput(
            f"The ground truth goes on to frame {frames - 1} (from 0); trackers alone are run on "
            f"{_MAX_FRAMES} frames at most.",
            hint="Give a part of it, and the detections of that part.",
        )
    size = given.size
    if size is None:
        size = _extent(detections)
    else:
        truth.checked(frames, size)
    for stride in strides:
        sampled = tuple(range(0, truth.frames, stride))
        products = [
            Row(name, score(truth, found, iou=iou))
            for name, settings in _PRODUCTS.items()
            for found in [run_product_tracker(detections, sampled, given.fps, size, settings)]
        ]
        variants = {
            name: score(truth, run_library(detections, sampled, make), iou=iou)
            for name, make in library_variants(given.fps, stride).items()
        }
        yield Contest(stride, (*products, *_shown_variants(variants)), known.note)


def _shown_variants(variants: dict[str, Scores]) -> Iterator[Row]:
    """The defaults, and the best by HOTA and by IDF1."""
    yield Row("library, defaults", variants[DEFAULTS])
    for title, key in (("HOTA", _hota), ("IDF1", _idf1)):
        best = max(variants, key=lambda name, key=key: key(variants[name]))  # type: ignore[misc]
        yield Row(f"library, best {title}", variants[best], best)


def _hota(scores: Scores) -> float:
    return scores.hota


def _idf1(scores: Scores) -> float:
    return scores.idf1


def _extent(detections: Frames) -> tuple[int, int]:
    boxes = [rows.boxes for rows in detections.values() if len(rows) > 0]
    if not boxes:
        raise InvalidInput("There are no detections.", hint="Give a file with at least one row.")
    right = max(float(frame[:, 2].max()) for frame in boxes)
    bottom = max(float(frame[:, 3].max()) for frame in boxes)
    return max(1, round(right)), max(1, round(bottom))


def table(contest: Contest, iou: float) -> Table:
    settings = [f"{row.name}: {row.settings}" for row in contest.rows if row.settings]
    result = Table(
        title=f"Trackers alone, stride {contest.stride}, boxes matched at IoU {iou:g}",
        caption="\n".join([contest.note, *settings] if contest.note else settings),
    )
    result.add_column("tracker", no_wrap=True)
    for title, _ in _SHOWN:
        result.add_column(title, justify="right")
    for row in contest.rows:
        result.add_row(row.name, *(shown(getattr(row.scores, field)) for _, field in _SHOWN))
    return result
