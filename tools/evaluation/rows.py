"""Boxes with numbers, frame by frame: ground truth, detections and tracks, and where they lie.

Frames count from 0, boxes are [x1, y1, x2, y2] in pixels of the picture as shown.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from trackers.eval.box import box_ioa, box_iou
from trackers.io.mot import load_mot_file

from apps.common.contracts import DetectionRow
from apps.common.errors import InvalidInput
from apps.common.files import read_json
from apps.runs.rows import read_rows
from tools.synth.encode import JSON_NAME, MOT_NAME
from tools.synth.library import ABOUT_NAME, PARTIAL_NAME
from tools.synth.scene import Transition

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
        frames: of the video.
        marked: the frames that `rows` and `ignored` tell of; cuts are known everywhere.
    """

    rows: Frames
    ignored: Frames
    cuts: tuple[int, ...]
    transitions: tuple[Transition, ...]
    frames: int
    marked: Marked = EVERY_FRAME

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
        InvalidInput: it is missing, or not a MOT file.
    """
    if path.is_file() and path.stat().st_size == 0:
        return {}, {}
    try:
        data = load_mot_file(path)
        if not all(np.isfinite(rows.boxes).all() for rows in data.values()):
            raise ValueError("a place is no number")
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise InvalidInput(
            f"{path.name} is not a MOT file: {type(error).__name__}.",
            hint="Give lines of frame,id,left,top,width,height,confidence.",
        ) from error
    counted, ignored = {}, {}
    for frame, rows in data.items():
        corners = np.concatenate([rows.boxes[:, :2], rows.boxes[:, :2] + rows.boxes[:, 2:]], axis=1)
        every = Rows(rows.ids.astype(np.int64), corners, rows.confidences)
        flagged = every.conf != 0.0
        counted[frame - 1] = every.where(flagged)
        ignored[frame - 1] = every.where(~flagged)
    return counted, ignored


def read_truth(folder: Path) -> Truth:
    """The ground truth of a generated episode, the demo's or an evaluation episode's.

    Raises:
        InvalidInput: the folder holds none.
    """
    facts = read_json(folder / JSON_NAME)
    if facts is None:
        raise InvalidInput(
            f"{folder.name} has no {JSON_NAME}.",
            hint="Render it first: tools/make_evaluation_set.py or tools/make_demo_episode.py.",
        )
    rows, _ = read_mot(folder / MOT_NAME)
    partial = folder / PARTIAL_NAME
    about = read_json(folder / ABOUT_NAME)
    return Truth(
        rows=rows,
        ignored=read_mot(partial)[1] if partial.is_file() else {},
        cuts=tuple(facts["cuts"]),
        transitions=()
        if about is None
        else tuple(Transition(**item) for item in about["transitions"]),
        frames=facts["frames"],
    )


def read_run(detections: Path, width: int, height: int) -> Frames:
    """The rows of a run's `detections.jsonl`, in pixels of a picture of this size."""
    table, size = FrameTable(), np.array([width, height] * 2)
    for row in read_rows(detections, DetectionRow):
        if row is None:
            continue
        number = UNTRACKED if row.track_id is None else int(row.track_id.rpartition("-")[2])
        table.add(row.frame_idx, number, np.array(row.bbox) * size, row.conf)
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
