"""Real videos: the product's pipeline at several strides against what a person marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.evaluation.errors import IdentityError, identity_errors
from lab.evaluation.evaluate_episodes import LIBRARY, PRODUCT
from lab.evaluation.ground_truth import GroundTruth
from lab.evaluation.rows import Found, Truth
from lab.evaluation.scores import CutErrors, CutScores, Scores, cut_errors, score, score_cuts
from lab.evaluation.sheet import Sheet
from lab.evaluation.shot_truth import Shots
from lab.evaluation.systems import ProductRun, run_library, run_product
from lab.evaluation.variant import USUAL, Variant

_NO_FACES = GroundTruth({}, {})
_MAX_NAME = 60  # characters of a file's name that its remembered faces are kept under


@dataclass(frozen=True)
class Clip:
    """A real video.

    Args:
        faces, shots: what is true of it; None where nobody marked them.
    """

    name: str
    video: Path
    faces: GroundTruth | None
    shots: Shots | None


@dataclass(frozen=True)
class CutResult:
    """The product's cuts at one stride."""

    scores: CutScores
    errors: CutErrors

    def to_dict(self) -> dict[str, Any]:
        scores = self.scores
        shares = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
        return asdict(scores) | shares | asdict(self.errors)


@dataclass(frozen=True)
class ClipResult:
    """A clip at one stride.

    Args:
        size: width and height of the video's picture, pixels.
        truth, found: what was compared; `found` is the product's.
        scores: how well the tracks fit, by the system's name; empty where no faces were marked.
        errors: where tracks and identities part, by the system's name.
        cuts: how well the product's cuts do; None where no shots were marked.
    """

    name: str
    stride: int
    video: Path
    size: tuple[int, int]
    truth: Truth
    found: Found
    scores: Mapping[str, Scores]
    errors: Mapping[str, tuple[IdentityError, ...]]
    cuts: CutResult | None

    def sheet(self, *, with_pictures: bool) -> Sheet:
        """The product's identity errors, to be drawn.

        Args:
            with_pictures: draw on the video's frames; else on an empty ground.
        """
        return Sheet(
            title=f"{self.name}, stride {self.stride}",
            video=self.video if with_pictures else None,
            size=self.size,
            stride=self.stride,
            truth=self.truth,
            found=self.found,
            errors=self.errors.get(PRODUCT, ()),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "stride": self.stride,
            "scores": {system: asdict(scores) for system, scores in self.scores.items()},
            "errors": {
                system: [asdict(error) for error in errors]
                for system, errors in self.errors.items()
            },
            "cuts": None if self.cuts is None else self.cuts.to_dict(),
        }


def evaluate_clip(
    clip: Clip,
    strides: Sequence[int],
    iou: float,
    cache: Path,
    *,
    strict: bool = False,
    variant: Variant = USUAL,
) -> list[ClipResult]:
    """Evaluates a clip at all strides, the densest first: it fills the detection cache.

    Args:
        iou, strict: see `lab.evaluation.scores.score`.
        cache: folder of prepared models and of detections.
        variant: how the product is run.

    Raises:
        ScreenalyticsError: a run failed, or what is said to be true is of another video.
    """
    name = _episode_id(clip.video)
    return [
        _judged(clip, stride, run_product(clip.video, name, stride, cache, variant), iou, strict)
        for stride in sorted(strides)
    ]


def _judged(clip: Clip, stride: int, run: ProductRun, iou: float, strict: bool) -> ClipResult:
    truth, product = true_of(clip.faces, clip.shots, run.frames, run.size), run.found
    found: dict[str, Found] = {}
    if clip.faces is not None:
        library = run_library(product.rows, product.sampled)
        found[PRODUCT] = product
        found[LIBRARY] = replace(library, video_seconds=product.video_seconds)
    return ClipResult(
        name=clip.name,
        stride=stride,
        video=clip.video,
        size=run.size,
        truth=truth,
        found=product,
        scores={
            system: score(truth, result, iou=iou, strict=strict) for system, result in found.items()
        },
        errors={
            system: identity_errors(truth, result, iou=iou) for system, result in found.items()
        },
        cuts=None if clip.shots is None else judge_cuts(truth, product),
    )


def true_of(
    faces: GroundTruth | None, shots: Shots | None, frames: int, size: tuple[int, int]
) -> Truth:
    """What is true of a video.

    Args:
        frames: how many the video has.
        size: width and height of its picture, pixels.

    Raises:
        InvalidInput: the faces or the shots are of another one.
    """
    known = _NO_FACES if faces is None else faces
    checked = Shots() if shots is None else shots.checked(frames)
    truth = Truth(
        known.faces, known.ignored, checked.cuts, checked.transitions, frames, known.marked
    )
    return truth.checked(frames, size)


def judge_cuts(truth: Truth, found: Found) -> CutResult:
    return CutResult(score_cuts(truth, found), cut_errors(truth, found))


def _episode_id(video: Path) -> str:
    """A name for what is remembered of a video, in the grammar of episode ids."""
    return "video-" + re.sub(r"[^A-Za-z0-9]+", "-", video.stem)[:_MAX_NAME]
