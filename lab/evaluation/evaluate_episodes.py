"""Evaluates episodes, several at a time, each in a process of its own with one thread."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from apps.demo.encode import VIDEO_NAME
from lab.evaluation.ablation import ABLATIONS
from lab.evaluation.errors import IdentityError, identity_errors
from lab.evaluation.rows import Found, Truth, read_truth
from lab.evaluation.scores import CutScores, Scores, add_cuts, score, score_cuts
from lab.evaluation.screen_time import ScreenScore, frame_times, score_seconds
from lab.evaluation.sheet import Sheet, write_sheet
from lab.evaluation.systems import run_library, run_product
from lab.evaluation.variant import USUAL, Variant
from lab.scenes.library import Entry

Item = TypeVar("Item")
Answer = TypeVar("Answer")

PRODUCT, LIBRARY = "product", "library"


@dataclass(frozen=True)
class Episode:
    """What to evaluate.

    Args:
        set_name: it is shown and averaged with the others of this name.
        folder: holds the video and its ground truth.
        take: which one of its recipe in the set.
    """

    set_name: str
    name: str
    folder: Path
    take: int = 1

    @staticmethod
    def of(entry: Entry, root: Path) -> Episode:
        """The episode of an entry of the set.

        Args:
            root: folder of the evaluation episodes.
        """
        return Episode(entry.set_name, entry.recipe.name, entry.folder(root), entry.take)


@dataclass(frozen=True)
class Measure:
    """How to evaluate; see `lab.evaluation.scores.score`.

    Args:
        ablated_sets: those that are also evaluated without each part of the tracker.
        sheets: folder for pictures of identity errors; None draws none.
        variant: how the product is run.
    """

    strides: tuple[int, ...]
    iou: float
    is_strict: bool
    cache: Path
    ablated_sets: tuple[str, ...] = ()
    sheets: Path | None = None
    variant: Variant = USUAL


@dataclass(frozen=True)
class Result:
    """One episode at one stride.

    Args:
        scores: how well the tracks fit what is true, by the system's name.
        cuts: how well the product's cuts do; the library looks for none.
        detector_seconds: CPU seconds of the detector, which both systems share.
        video_seconds: length of the video.
        tracker_ms: wall-clock milliseconds for a processed frame, by system.
        ablations: scores of the product without one of its parts, where they were wanted.
        errors: where the product's tracks and the identities part.
        screen: seconds of the product's tracks and of the identities.
    """

    set_name: str
    name: str
    stride: int
    scores: Mapping[str, Scores]
    cuts: CutScores
    detector_seconds: float
    video_seconds: float
    tracker_ms: Mapping[str, float]
    ablations: Mapping[str, Scores]
    errors: tuple[IdentityError, ...]
    screen: ScreenScore
    take: int = 1

    @property
    def label(self) -> str:
        """The episode's name and take, for tables of one set."""
        return self.name if self.take == 1 else f"{self.name} {self.take}"

    def to_dict(self) -> dict[str, Any]:
        cuts = {**asdict(self.cuts), "precision": self.cuts.precision}
        return asdict(self) | {"cuts": {**cuts, "recall": self.cuts.recall, "f1": self.cuts.f1}}


def evaluate(episode: Episode, measure: Measure) -> list[Result]:
    """Evaluates one episode at all strides, the densest first: it fills the detection cache.

    Raises:
        ScreenalyticsError: a run failed, or there is no ground truth.
    """
    truth = read_truth(episode.folder)
    return [_at_stride(episode, truth, stride, measure) for stride in sorted(measure.strides)]


def _at_stride(episode: Episode, truth: Truth, stride: int, measure: Measure) -> Result:
    video = episode.folder / VIDEO_NAME
    run = run_product(video, episode.folder.name, stride, measure.cache, measure.variant)
    truth.checked(run.frames, run.size)
    product = run.found
    errors = identity_errors(truth, product, iou=measure.iou)
    if measure.sheets is not None:
        name = f"{episode.folder.name}-stride-{stride}"
        sheet = Sheet(name, video, run.size, stride, truth, product, errors)
        write_sheet([sheet], measure.sheets / f"errors-{name}.png")
    found = {PRODUCT: product, LIBRARY: run_library(product.rows, product.sampled)}
    return Result(
        set_name=episode.set_name,
        name=episode.name,
        stride=stride,
        scores={
            system: score(truth, result, iou=measure.iou, strict=measure.is_strict)
            for system, result in found.items()
        },
        cuts=score_cuts(truth, product),
        screen=score_seconds(episode.folder.name, truth, product, stride, frame_times(video)),
        detector_seconds=product.detector_seconds,
        video_seconds=product.video_seconds,
        tracker_ms={system: _milliseconds(result) for system, result in found.items()},
        ablations={
            ablation.name: score(truth, ablation.apply(run), iou=measure.iou)
            for ablation in (ABLATIONS if episode.set_name in measure.ablated_sets else ())
        },
        errors=errors,
        take=episode.take,
    )


def _milliseconds(found: Found) -> float:
    return 1000.0 * found.tracker_seconds / max(1, len(found.sampled))


def evaluate_all(
    episodes: Sequence[Episode], measure: Measure, processes: int
) -> Iterator[list[Result]]:
    """Yields each episode's results when they are there.

    Raises:
        ScreenalyticsError: one of them failed.
    """
    return in_processes(partial(evaluate, measure=measure), episodes, processes)


def in_processes(
    function: Callable[[Item], Answer], items: Sequence[Item], processes: int
) -> Iterator[Answer]:
    """Yields what a function of a module gives for each item, when it is there.

    Raises:
        ScreenalyticsError: one of them failed.
    """
    if processes == 1 or len(items) == 1:
        yield from map(function, items)
        return
    # Spawned: a fork would copy the progress bar's thread in the middle of something.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_order(episodes: Sequence[Episode], results: Iterable[Result]) -> list[Result]:
    """Sorts results as the episodes were asked for, not as they came."""
    places = {(e.set_name, e.name, e.take): place for place, e in enumerate(episodes)}
    return sorted(results, key=lambda result: places[result.set_name, result.name, result.take])


def mean_score(results: Sequence[Result], system: str, name: str) -> float:
    """The mean of one figure over episodes."""
    values = [float(getattr(result.scores[system], name)) for result in results]
    return sum(values) / len(values)


def total_score(results: Sequence[Result], system: str, name: str) -> int:
    return sum(int(getattr(result.scores[system], name)) for result in results)


def total_cuts(results: Sequence[Result]) -> CutScores:
    return add_cuts(result.cuts for result in results)
