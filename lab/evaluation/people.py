"""Evaluates people: rendered episodes in which they come back in other photos, and marked clips."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apps.common.config import pipeline_config
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.common.names import track_number
from apps.demo.encode import JSON_NAME, VIDEO_NAME
from apps.pipeline.recognise import Recogniser
from lab.arguments import MARKED_IOU, RENDERED_IOU
from lab.evaluation.embedding_cache import RememberingRecogniser
from lab.evaluation.ground_truth import read_ground_truth
from lab.evaluation.people_ablation import ABLATIONS, Again
from lab.evaluation.people_names import RunPeople, seen_people
from lab.evaluation.people_scores import (
    BCubed,
    KnownPeople,
    PeopleScore,
    score_people,
    seconds_on,
)
from lab.evaluation.people_sheet import Picked, failures
from lab.evaluation.real_clips import SOURCES
from lab.evaluation.rows import Truth, read_truth
from lab.evaluation.screen_time import frame_times
from lab.evaluation.systems import run_product
from lab.scenes.recurring import (
    SETS,
    packaged_portraits,
    read_portraits,
    recurring_episode,
    render_missing,
)

PHOTOS = "people"  # in the folder of test data
CLIPS = "marked clips"  # the name of their set


@dataclass(frozen=True)
class PeopleVideo:
    """What to evaluate.

    Args:
        folder: of an episode that was rendered; None for a clip.
        source: name of a clip in `SOURCES`; None for an episode.
    """

    set_name: str
    name: str
    video: Path
    folder: Path | None = None
    source: str | None = None

    @property
    def iou(self) -> float:
        return RENDERED_IOU if self.source is None else MARKED_IOU

    def known(self, data: Path) -> KnownPeople:
        """Who is on the screen.

        Args:
            data: folder of test data.

        Raises:
            InvalidInput: what is true of it is missing or broken.
        """
        times = frame_times(self.video)
        if self.folder is not None:
            return KnownPeople(read_truth(self.folder), _rendered_names(self.folder), times)
        [source] = [each for each in SOURCES if each.name == self.source]
        faces = read_ground_truth(data / str(source.faces))
        frames = len(times.frame_s)
        truth = Truth(faces.faces, faces.ignored, (), (), frames, faces.marked)
        return KnownPeople(truth, _marked_names(data / f"truth/{self.source}.csv"), times)


@dataclass(frozen=True)
class PeopleMeasure:
    """How to evaluate.

    Args:
        data: folder of test data.
        cache: folder of models, and of what was found and described.
        ablated_sets: those that are grouped again with one thing changed.
    """

    strides: tuple[int, ...]
    data: Path
    cache: Path
    ablated_sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class PeopleResult:
    """One video at one stride.

    Args:
        ablations: by the change's name.
        picked: faces of the tracks that were grouped wrongly.
        seen: who was found, for names from other episodes.
    """

    set_name: str
    name: str
    stride: int
    score: PeopleScore
    ablations: Mapping[str, BCubed]
    picked: tuple[Picked, ...]
    seen: RunPeople

    @property
    def label(self) -> str:
        return f"{self.name}, stride {self.stride}"

    def to_dict(self) -> dict[str, Any]:
        score = asdict(self.score)
        score["b_cubed"]["f1"] = self.score.b_cubed.f1
        return {"set": self.set_name, "name": self.name, "stride": self.stride, **score}


def people_videos(
    sets: Sequence[str], takes: Sequence[int], data: Path, root: Path
) -> Iterator[PeopleVideo]:
    """Episodes, which are rendered where they are missing, and those clips that are there.

    Args:
        sets: of `SETS`.
        data: folder of test data.
        root: folder of the evaluation episodes.
    """
    has_photos = (data / PHOTOS / "people.csv").is_file()
    portraits = (
        read_portraits(data / PHOTOS, root / "cache") if has_photos else packaged_portraits()
    )
    for set_name in (name for name in SETS if name in sets):
        for take in takes:
            folder = render_missing(recurring_episode(set_name, portraits, take), root)
            yield PeopleVideo(set_name, f"{set_name} {take}", folder / VIDEO_NAME, folder=folder)
    for source in SOURCES:
        video = data / source.video
        has_names = (data / f"truth/{source.name}.csv").is_file()
        if source.faces is not None and has_names and video.is_file():
            yield PeopleVideo(CLIPS, source.name, video, source=source.name)


def evaluate_people(video: PeopleVideo, measure: PeopleMeasure) -> list[PeopleResult]:
    """Evaluates a video at all strides, the densest first: it fills the detection cache.

    Raises:
        ScreenalyticsError: a run failed, or what is true of it is missing.
    """
    known = video.known(measure.data)
    return [_at_stride(video, known, stride, measure) for stride in sorted(measure.strides)]


def _at_stride(
    video: PeopleVideo, known: KnownPeople, stride: int, measure: PeopleMeasure
) -> PeopleResult:
    name = f"people-{video.name.replace(' ', '-').replace('_', '-')}"
    wrapped: list[RememberingRecogniser] = []

    def remember(inner: Recogniser) -> Recogniser:
        wrapped.append(RememberingRecogniser(inner, measure.cache / "embeddings", name))
        return wrapped[-1]

    run = run_product(video.video, name, stride, measure.cache, wrap_recogniser=remember)
    known.truth.checked(run.frames, run.size)
    [recogniser] = wrapped
    groups = [[track_number(track) for track in row.track_ids] for row in run.people]
    judge = partial(score_people, known, run.found, iou=video.iou)
    score = judge(groups, [row.screen_seconds for row in run.people])
    is_ablated = video.set_name in measure.ablated_sets
    again = Again(run.sightings, recogniser, pipeline_config())
    ablations = {
        ablation.name: judge(changed, [0.0] * len(changed)).b_cubed
        for ablation in (ABLATIONS if is_ablated else ())
        for changed in [ablation.groups(again)]
    }
    described = again.stage()
    described.finish()
    faces, on = described.track_faces(), seconds_on(known, run.found, video.iou)
    seen = RunPeople(
        seen_people(run.people, faces, on),
        recogniser.likeness.group_distance,
        stride * known.times.end_s / known.truth.frames,
    )
    recogniser.save()
    return PeopleResult(
        video.set_name,
        video.name,
        stride,
        score,
        ablations,
        tuple(failures(run, known, groups, video.iou)),
        seen,
    )


def _rendered_names(folder: Path) -> dict[int, str]:
    facts = read_json(folder / JSON_NAME) or {}
    return {each["id"]: each["person"] for each in facts["identities"]}


def _marked_names(path: Path) -> dict[int, str]:
    """The person of each identity, as the columns `identity` and `person` of a table say.

    Raises:
        InvalidInput: it has no such columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {int(row["identity"]): row["person"] for row in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(f"{path.name!r} does not say whose faces are marked.") from error
