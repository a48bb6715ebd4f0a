"""A run that is there already, against faces and cuts that a person marked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from rich.table import Table

from apps.common.contracts.manifest import RunManifest, TrackMetrics, VideoFacts
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.common.layout import Layout, RunFiles
from apps.pipeline.decode.video import open_video
from apps.runs.episodes import find_video
from lab.evaluation.errors import IdentityError, identity_errors
from lab.evaluation.ground_truth import GroundTruth
from lab.evaluation.mot import MAX_FRAMES
from lab.evaluation.real import CutResult, judge_cuts, true_of
from lab.evaluation.real_report import COUNTED
from lab.evaluation.rows import Found, Truth, read_run
from lab.evaluation.scores import Scores, score, shown
from lab.evaluation.sheet import Sheet
from lab.evaluation.shot_truth import Shots

M = TypeVar("M", bound=BaseModel)
_TO_ROOT = "../../../.."  # a run's folder below the data root is manifests/EPISODE/runs/RUN
_HINT = "Give the folder of a completed run, with all its files."


@dataclass(frozen=True)
class ExistingRun:
    """A completed run.

    Args:
        ep_id: name of the episode that was run, as its manifest has it.
        video: facts of the video as it was then.
        stride: every n-th frame was processed; >= 1.
        found: its boxes in pixels, tracked or not, and its cuts.
    """

    folder: Path
    ep_id: str
    video: VideoFacts
    stride: int
    found: Found

    @property
    def tracks(self) -> int:
        """How many it has, scored or not."""
        return len({int(i) for rows in self.found.rows.values() for i in rows.tracked.ids})


@dataclass(frozen=True)
class Judged:
    """A run's scores.

    Args:
        scores: how well its tracks fit the marked faces; None where no faces were marked.
        errors: where its tracks and the marked identities part, in the order of frames.
        cuts: how well its cuts fit the marked shots; None where no shots were marked.
    """

    run: ExistingRun
    truth: Truth
    scores: Scores | None
    errors: tuple[IdentityError, ...]
    cuts: CutResult | None

    def sheet(self, video: Path | None) -> Sheet:
        """The identity errors, to be drawn.

        Args:
            video: whose frames they are drawn on; None draws on an empty ground.
        """
        facts = self.run.video
        return Sheet(
            title=self.run.folder.name,
            video=video,
            stream=facts.stream,
            size=(facts.width, facts.height),
            stride=self.run.stride,
            truth=self.truth,
            found=self.run.found,
            errors=self.errors,
        )


def read_existing(folder: Path) -> ExistingRun:
    """Reads a run's folder (below `manifests/`).

    Raises:
        InvalidInput: it holds no completed run, or a file of it is missing or damaged.
    """
    files = RunFiles(folder)
    manifest = _read(files.manifest, RunManifest)
    if manifest.status != "completed":
        raise InvalidInput(f"The run is {manifest.status}, not completed.", hint=_HINT)
    video, stride = manifest.video, manifest.effective_stride
    if video is None or stride is None:
        raise InvalidInput(f"{files.manifest.name} has no video or no stride.", hint=_HINT)
    _check_range(files.manifest, "frames", video.frames, MAX_FRAMES)
    _check_range(files.manifest, "effective_stride", stride, MAX_FRAMES)
    for name, side in (("width", video.width), ("height", video.height)):
        _check_range(files.manifest, name, side, 1_000_000)
    sampled = range(0, video.frames, stride)
    cuts = _read(files.metrics, TrackMetrics).scene_cuts
    rows = read_run(files.detections, (video.width, video.height))
    for path, frames in ((files.metrics, cuts), (files.detections, rows)):
        if strays := sorted(frame for frame in frames if frame not in sampled):
            raise InvalidInput(
                f"{path.name} tells of frame {strays[0]}, which the run did not process.",
                hint=_HINT,
            )
    found = Found(rows, tuple(sampled), tuple(cuts), video_seconds=video.duration_s)
    return ExistingRun(folder, manifest.ep_id, video, stride, found)


def judge_run(
    run: ExistingRun,
    faces: GroundTruth | None,
    shots: Shots | None,
    iou: float,
    *,
    strict: bool = False,
) -> Judged:
    """Scores a run. Tracks across cuts stay 0 where no shots are given.

    Raises:
        InvalidInput: what is marked does not fit the run.
    """
    truth = true_of(faces, shots, run.video.frames, (run.video.width, run.video.height))
    return Judged(
        run,
        truth,
        scores=None if faces is None else score(truth, run.found, iou=iou, strict=strict),
        errors=() if faces is None else identity_errors(truth, run.found, iou=iou),
        cuts=None if shots is None else judge_cuts(truth, run.found),
    )


def video_of(run: ExistingRun) -> Path:
    """The video of a run's episode, where the run's folder lies in a data root.

    Raises:
        ScreenalyticsError: it is not there, or not the one that was run.
    """
    root = (run.folder.resolve() / _TO_ROOT).resolve()
    return checked_video(run, find_video(Layout(root), run.ep_id))


def checked_video(run: ExistingRun, video: Path) -> Path:
    """Itself, where it has the size and the frames of the one that was run.

    Raises:
        InvalidInput: it is another one.
        VideoUnreadable: it is none.
    """
    with open_video(video, threads=1, stream=run.video.stream) as opened:
        facts = opened.facts
    here, there = ((one.width, one.height, one.frames) for one in (facts, run.video))
    if here != there:
        raise InvalidInput(
            f"The run's video had {there[2]} frames of {there[0]}x{there[1]}, {video.name!r} has "
            f"{here[2]} of {here[0]}x{here[1]}.",
            hint="Give the video that was run with --video FILE.",
        )
    return video


def _read(path: Path, model: type[M]) -> M:
    document = read_json(path)
    if document is None:
        raise InvalidInput(f"The run has no {path.name} that can be read.", hint=_HINT)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{path.name} is none of a run: {place[:100]}: {first['msg'][:100]}.", hint=_HINT
        ) from error


def _check_range(path: Path, name: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise InvalidInput(f"{path.name} has {name} {value}, not 1 to {limit}.", hint=_HINT)


def table(judged: Judged, iou: float) -> Table:
    """The scores of the tracks, a row for each figure; they must be there."""
    scores = judged.scores
    assert scores is not None
    title = f"{judged.run.folder.name}\nboxes matched at IoU {iou:g}"
    result = Table("figure", "value", title=title)
    for item in fields(scores):
        result.add_row(item.name, shown(getattr(scores, item.name)))
    return result


def counted(judged: Judged) -> str:
    """Says for people what the scores are of; they must be there."""
    assert judged.scores is not None
    return f"{judged.scores.tracks} of the run's {judged.run.tracks} tracks are counted. {COUNTED}"
