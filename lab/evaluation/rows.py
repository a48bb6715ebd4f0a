"""Boxes with numbers, frame by frame: ground truth, detections and tracks, and where they lie.

Frames count from 0, boxes are [x1, y1, x2, y2] in pixels of the picture as shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from trackers.eval.box import box_ioa, box_iou

from apps.common.contracts.rows import DetectionRow, read_rows
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.common.names import track_number
from apps.common.screen_time import Edge
from apps.demo.encode import JSON_NAME, MOT_NAME
from apps.demo.scene import Transition
from lab.evaluation.mot import read_lines
from lab.scenes.library import ABOUT_NAME, PARTIAL_NAME

UNTRACKED = 0


@dataclass(frozen=True)
class Rows:
    """The boxes of one frame.

    Args:
        ids: shape (n,), int64; of identities or of tracks, `UNTRACKED` for a detection of none.
        boxes: shape (n, 4), float64.
        conf: shape (n,), float64, 0..1.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    conf: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, kept: NDArray[np.bool_]) -> Rows:
        return Rows(self.ids[kept], self.boxes[kept], self.conf[kept])

    @property
    def tracked(self) -> Rows:
        return self.where(self.ids != UNTRACKED)


NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
Frames = dict[int, Rows]


@dataclass(frozen=True)
class Marked:
    """Which frames somebody marked. A frame that is not marked says nothing of its faces.

    Args:
        step: one frame in so many, >= 1.
        first: the first marked one, >= 0.
        last: none after this one is marked; None where the whole video is.
    """

    step: int = 1
    first: int = 0
    last: int | None = None

    def __contains__(self, frame: int) -> bool:
        is_early_enough = self.last is None or frame <= self.last
        return frame >= self.first and (frame - self.first) % self.step == 0 and is_early_enough

    def __str__(self) -> str:
        step = "every frame" if self.step == 1 else f"one frame in {self.step}"
        first = "" if self.first == 0 and self.last is None else f" from frame {self.first}"
        return step + first + ("" if self.last is None else f" to frame {self.last}")

    @property
    def fitting_strides(self) -> list[int]:
        """Strides whose frames 0, stride, 2*stride, ... come upon a marked one, the densest ten."""
        fitting = (s for s in itertools.count(1) if self.first % math.gcd(s, self.step) == 0)
        return list(itertools.islice(fitting, 10))


EVERY_FRAME = Marked()


@dataclass(frozen=True)
class Truth:
    """What a perfect run would give.

    Args:
        rows: identities.
        ignored: faces of which too little shows; finding one is no mistake.
        cuts: first frames after hard cuts.
        transitions: dissolves and fades.
        frames: how many the video has.
        marked: the frames that `rows` and `ignored` tell of; cuts are known everywhere.
    """

    rows: Frames
    ignored: Frames
    cuts: tuple[int, ...]
    transitions: tuple[Transition, ...]
    frames: int
    marked: Marked = EVERY_FRAME

    def checked(self, frames: int, size: tuple[int, int]) -> Truth:
        """Itself, where its faces can be those of a video.

        Args:
            frames: how many the video has.
            size: width and height of its picture, pixels.

        Raises:
            InvalidInput: a face is in a frame, or at a place, that the video does not have.
        """
        hint = "Give the faces of this video; frames of a MOT file count from 1, of CVAT from 0."
        if (last := max((*self.rows, *self.ignored), default=0)) >= frames:
            raise InvalidInput(
                f"The marked faces go on to frame {last} (from 0), the video has {frames} frames.",
                hint=hint,
            )
        for faces in (self.rows, self.ignored):
            for frame, rows in faces.items():
                if not ((rows.boxes[:, 2:] > 0.0) & (rows.boxes[:, :2] < size)).all():
                    raise InvalidInput(
                        f"A marked face in frame {frame} (from 0) lies outside of the video's "
                        f"picture of {size[0]}x{size[1]}.",
                        hint=hint,
                    )
        return self

    def scored(self, sampled: Sequence[int]) -> tuple[int, ...]:
        """The sampled frames that are marked.

        Raises:
            InvalidInput: frames were sampled, and none of them is marked.
        """
        scored = tuple(frame for frame in sampled if frame in self.marked)
        if sampled and not scored:
            strides = ", ".join(map(str, self.marked.fitting_strides))
            raise InvalidInput(
                f"The ground truth marks {self.marked}, and no frame that was sampled.",
                hint=f"Strides that come upon a marked frame: {strides}, and so on.",
            )
        return scored


@dataclass(frozen=True)
class Found:
    """What a system gave for one video at one stride.

    Args:
        rows: the boxes of the sampled frames, tracked or not.
        sampled: the frames that were looked at.
        cuts: first sampled frame of every shot but the first; None where it looks for none.
        cut_edges: of cuts, when they are, as far as it tells.
        detector_seconds: CPU seconds that the detector takes for these frames.
        tracker_seconds: wall-clock seconds of tracking.
        video_seconds: length of the video.
    """

    rows: Frames
    sampled: tuple[int, ...]
    cuts: tuple[int, ...] | None = None
    detector_seconds: float = 0.0
    tracker_seconds: float = 0.0
    video_seconds: float = 0.0
    cut_edges: Mapping[int, Edge] = field(default_factory=dict)


@dataclass
class FrameTable:
    """Collects boxes one by one."""

    _lists: dict[int, list[tuple[int, float, float, float, float, float]]] = field(
        default_factory=dict
    )

    def add(self, frame: int, number: int, box: Iterable[float], conf: float) -> None:
        x1, y1, x2, y2 = box
        self._lists.setdefault(frame, []).append((number, x1, y1, x2, y2, conf))

    def frames(self) -> Frames:
        return {frame: _rows(np.array(lines)) for frame, lines in self._lists.items()}


def _rows(table: NDArray[np.float64]) -> Rows:
    return Rows(table[:, 0].astype(np.int64), table[:, 1:5], table[:, 5])


def read_mot(path: Path) -> tuple[Frames, Frames]:
    """Reads a MOT file. Returns its rows, and those whose flag (column 7) is 0.

    Raises:
        InvalidInput: it is missing, or a line of it is none of a MOT file.
    """
    counted, ignored = FrameTable(), FrameTable()
    for line in read_lines(path):
        table = ignored if line.conf == 0.0 else counted
        table.add(*line)
    return counted.frames(), ignored.frames()


def read_truth(folder: Path) -> Truth:
    """The ground truth of a generated episode, the demo's or an evaluation episode's.

    Raises:
        InvalidInput: the folder holds none.
    """
    facts = read_json(folder / JSON_NAME)
    if facts is None:
        raise InvalidInput(
            f"{folder.name} has no {JSON_NAME}.",
            hint="Render it first: lab/make_evaluation_set.py or apps/demo/episode.py.",
        )
    rows, _ = read_mot(folder / MOT_NAME)
    partial = folder / PARTIAL_NAME
    about = read_json(folder / ABOUT_NAME)
    try:
        return Truth(
            rows=rows,
            ignored=read_mot(partial)[1] if partial.is_file() else {},
            cuts=tuple(facts["cuts"]),
            transitions=()
            if about is None
            else tuple(Transition(**item) for item in about["transitions"]),
            frames=facts["frames"],
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(
            f"{folder.name} has a {JSON_NAME} or {ABOUT_NAME} that no episode was rendered with.",
            hint="Render it again: lab/make_evaluation_set.py or apps/demo/episode.py.",
        ) from error


def read_run(detections: Path, size: tuple[int, int]) -> Frames:
    """The rows of a run's `detections.jsonl`, in pixels of a picture of this size.

    Raises:
        InvalidInput: it is missing, or a line of it cannot be read.
    """
    if not detections.is_file():
        raise InvalidInput(f"The run has no {detections.name}.", hint="Give a completed run.")
    table, sides = FrameTable(), np.array([*size, *size])
    for place, row in enumerate(read_rows(detections, DetectionRow), 1):
        if row is None:
            raise InvalidInput(
                f"Row {place} of {detections.name} cannot be read.",
                hint="The run is damaged; run the episode again.",
            )
        number = UNTRACKED if row.track_id is None else track_number(row.track_id)
        table.add(row.frame_idx, number, np.array(row.bbox) * sides, row.conf)
    return table.frames()


def overlaps(first: Rows, second: Rows) -> NDArray[np.float64]:
    """IoU of all pairs, shape (n, m)."""
    if len(first) == 0 or len(second) == 0:
        return np.zeros((len(first), len(second)))
    return np.asarray(box_iou(first.boxes, second.boxes), np.float64)


def covered(first: Rows, second: Rows) -> NDArray[np.float64]:
    """Share of each first box that lies in each second one, shape (n, m)."""
    if len(first) == 0 or len(second) == 0:
        return np.zeros((len(first), len(second)))
    return np.asarray(box_ioa(first.boxes, second.boxes), np.float64)
