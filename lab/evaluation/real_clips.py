"""The real videos of docs/quality.md, and what the product and others make of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenedetect import AdaptiveDetector, ContentDetector, detect

from lab.arguments import MARKED_IOU
from lab.evaluation.ground_truth import read_ground_truth
from lab.evaluation.real import Clip, ClipResult, CutResult, evaluate_clip, judge_cuts
from lab.evaluation.rows import Found, Truth
from lab.evaluation.shot_truth import Shots, read_shots
from lab.paths import SHARED_DATA

CUT_STRIDES = (1, 6, 12)
TRACK_STRIDES = (1, 3, 6, 12, 24)
_OTHERS = {"AdaptiveDetector": AdaptiveDetector, "ContentDetector": ContentDetector}


@dataclass(frozen=True)
class Source:
    """A real video and where what is true of it lies, in the folder of test data.

    Args:
        faces: file of marked faces; None where nobody marked them.
        shots: file of marked shots, or the shots; None where nobody marked them.
    """

    name: str
    video: str
    faces: str | None
    shots: str | Shots | None

    def clip(self, data: Path) -> Clip:
        """The clip, with what is true of it.

        Args:
            data: folder of test data.

        Raises:
            InvalidInput: a file of what is true is missing or broken.
        """
        shots = read_shots(data / self.shots) if isinstance(self.shots, str) else self.shots
        faces = None if self.faces is None else read_ground_truth(data / self.faces)
        return Clip(self.name, data / self.video, faces, shots)

    @property
    def strides(self) -> tuple[int, ...]:
        tracks = () if self.faces is None else TRACK_STRIDES
        return tuple(sorted({*tracks, *(() if self.shots is None else CUT_STRIDES)}))


SOURCES = (
    Source(
        "music_video_half",
        "videos/music_video_half.mp4",
        faces=None,
        shots="truth/music_video_half.shots.csv",
    ),
    Source(
        "short_hamilton_clip",
        "videos/short_hamilton_clip.mp4",
        faces="truth/short_hamilton_clip.mot.txt",
        shots=Shots((20, 82, 211)),
    ),
    Source(
        "facenet_video",
        "videos/facenet_video.mp4",
        faces="truth/facenet_video.mot.txt",
        shots=None,
    ),
)


@dataclass(frozen=True)
class Real:
    """What the real videos gave.

    Args:
        results: one for each clip and stride, clip by clip.
        others: cuts of other programs on every frame, by the clip's name and theirs.
        missing: names of clips that are not on this machine.
    """

    results: Sequence[ClipResult]
    others: Mapping[str, Mapping[str, CutResult]]
    missing: tuple[str, ...]


def data_folder() -> Path:
    """The folder of real videos, which is no part of the product; it may be missing."""
    named = os.environ.get("SCREENALYTICS_TEST_DATA")
    return Path(named) if named else SHARED_DATA


def measure_real(data: Path, cache: Path) -> Real:
    """Evaluates the clips that are there.

    Args:
        data: folder of test data.
        cache: folder for models and remembered faces.

    Raises:
        ScreenalyticsError: a run failed, or what is true of a clip cannot be read.
    """
    there = [source for source in SOURCES if (data / source.video).is_file()]
    results: list[ClipResult] = []
    others: dict[str, dict[str, CutResult]] = {}
    for source in there:
        clip = source.clip(data)
        of_clip = evaluate_clip(clip, source.strides, MARKED_IOU, cache)
        if clip.shots is not None:
            others[source.name] = cuts_of_others(clip.video, of_clip[0].truth)
        results += of_clip
    names = {source.name for source in there}
    return Real(
        results, others, tuple(source.name for source in SOURCES if source.name not in names)
    )


def cuts_of_others(video: Path, truth: Truth) -> dict[str, CutResult]:
    """Cuts of PySceneDetect's detectors with their defaults, on every frame, by their names."""
    every_frame = tuple(range(truth.frames))
    judged = {}
    for name, make in _OTHERS.items():
        scenes = detect(str(video), make())
        cuts = tuple(start.frame_num for start, _ in scenes[1:])
        judged[name] = judge_cuts(truth, Found({}, every_frame, cuts))
    return judged
