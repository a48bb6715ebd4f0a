#!/usr/bin/env python3
"""What it costs to find small faces: `python -m lab.evaluation.small_faces`.

Recall by the height of faces, boxes that are no face, and CPU time of a frame: of larger pictures,
of overlapping tiles, of a second look at doubtful places (the option `small_faces`), and of other
detectors. On hand-marked videos where they are at hand, and on rendered ones.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from apps.common.config import pipeline_config
from apps.common.errors import ScreenalyticsError
from apps.demo.encode import VIDEO_NAME
from apps.pipeline.decode.decoder import Decoded
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.detect import Detector, DetectorRequest, make_detector
from apps.pipeline.detect.second_look import SecondLook, doubtful_from
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.session import CPU
from apps.pipeline.types import Faces, in_frame
from lab.arguments import MARKED_IOU, RENDERED_IOU
from lab.evaluation.real_clips import data_folder
from lab.evaluation.rows import NO_ROWS, Frames, FrameTable, Rows, covered, overlaps, read_truth
from lab.make_evaluation_set import render_missing
from lab.paths import EVALUATION_DATA
from lab.scenes.director import Director
from lab.scenes.evaluation_set import Recipe, Shots, make_episode, two_rows
from lab.scenes.library import Entry

MARKED = ("facenet_video", "short_hamilton_clip")
YUNET, SCRFD = "yunet_n_dynamic.onnx", "scrfd_500m_kps.onnx"  # in the test data's weights/
HEIGHTS = ((0, 16), (16, 24), (24, 32), (32, 10_000))  # pixels of a picture 640 wide
WIDTH = 640
HEADER = (
    "way",
    "< 16 px",
    "16 to 24",
    "24 to 32",
    "from 32",
    "false",
    "precision",
    "CPU ms",
    "times",
)
THRESHOLD = 0.5
_INSIDE = 0.5  # share of a box that must lie in an ignored face
_EVERY = 12  # frames of rendered videos
_TILE_ZOOM = 1.5  # two tiles of 1/1.5 of the width overlap by half of one
_TILE_NMS = 0.3
_NEAR = 64.0  # pixels of a picture 640 wide: a face of this height is in no wide shot
_AT_BORDER = 1.0  # pixels: a box that ends so near to a tile's inner border is cut off there
_DISTANT_WIDTHS = (0.022, 0.017, 0.013)  # of a face, as a share of the frame's width


def _distant(director: Director) -> Shots:
    """Faces of 10 to 20 pixels at a picture 640 wide, and one close-up."""
    shots, seconds = [], 4.0
    for width in _DISTANT_WIDTHS:
        shots.append(two_rows(director, seconds, width, (0.3, 0.65)))
    stage, [person] = director.stage(), director.cast(1)
    near = stage.standing(person, director.between(0.4, 0.6), 0.45, director.between(0.2, 0.25))
    return [*shots, director.shot(seconds, stage, [near])]


DISTANT = Recipe(
    "distant", "Faces of 10 to 20 pixels of 640, and a close-up.", _distant, 1920, 1080
)


@dataclass(frozen=True)
class Material:
    """A video whose faces are known.

    Args:
        faces: that are to be found, by frame.
        ignored: that count neither way.
        frames: those that the detectors get.
        iou: from which a box is a face's.
    """

    name: str
    video: Path
    faces: Frames
    ignored: Frames
    frames: frozenset[int]
    iou: float


@dataclass(frozen=True)
class Seen:
    """Faces in 0..1 of the frame, and CPU seconds."""

    faces: Faces
    seconds: float

    def sure(self, threshold: float) -> Faces:
        return self.faces[self.faces.conf >= threshold]


Passes = dict[str, Seen]
Way = Callable[[Passes], Seen]


@dataclass(frozen=True)
class Score:
    """What a way found in a material.

    Args:
        heights: shape (n,), of the true faces, pixels of a picture 640 wide.
        found: shape (n,), which of them were found.
        false: boxes that are no face.
        seconds: CPU seconds of a frame.
    """

    heights: NDArray[np.float64]
    found: NDArray[np.bool_]
    false: int
    seconds: float

    @property
    def precision(self) -> float:
        hits = int(self.found.sum())
        return hits / max(1, hits + self.false)

    def row(self, way: str, plain_seconds: float) -> list[str]:
        """The cells of its row in the table, as `HEADER` names them."""
        bands = []
        for low, high in HEIGHTS:
            chosen = (self.heights >= low) & (self.heights < high)
            there = int(chosen.sum())
            bands.append(f"{int(self.found[chosen].sum())} of {there}" if there else "")
        return [
            *(way, *bands, str(self.false), f"{self.precision:.3f}"),
            f"{1000 * self.seconds:.1f}",
            f"{self.seconds / plain_seconds:.2f}",
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(argv)
    cv2.setNumThreads(1)  # all work in this thread, whose CPU time is counted
    try:
        for material in materials(arguments.test_data, arguments.data):
            if arguments.only and material.name not in arguments.only:
                continue
            print(f"\n### {material.name}: {len(material.frames)} frames, IoU {material.iou:g}\n")
            lines = [
                HEADER,
                ["---"] * len(HEADER),
                *rows(material, arguments.test_data, arguments.data),
            ]
            print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


def rows(material: Material, test_data: Path, data: Path) -> list[list[str]]:
    """The table's rows, one for each way, as `HEADER` says.

    Args:
        test_data: folder whose `weights/` may hold other detectors.
        data: folder of the cache.

    Raises:
        ScreenalyticsError: the video cannot be read.
    """
    weights = test_data / "weights"
    ways = dict(_ways((weights / YUNET).is_file(), (weights / SCRFD).is_file()))
    passes = list(_passes(material, data / "cache", weights))
    scores = {name: _score(material, passes, way) for name, way in ways.items()}
    plain = next(iter(scores.values())).seconds
    return [score.row(name, plain) for name, score in scores.items()]


def materials(test_data: Path, data: Path) -> Iterator[Material]:
    """Hand-marked videos that are there, and rendered ones; missing ones of those are made."""
    for name in MARKED:
        video, marks = test_data / "videos" / f"{name}.mp4", test_data / "truth" / f"{name}.csv"
        if video.is_file() and marks.is_file():
            faces, ignored, frames = read_marks(marks)
            yield Material(name, video, faces, ignored, frames, MARKED_IOU)
    entries = [Entry(name, DISTANT, make_episode(name, DISTANT)) for name in ("tuning", "heldout")]
    render_missing(entries, data)
    for entry in entries:
        folder = entry.folder(data)
        truth = read_truth(folder)
        frames = frozenset(range(0, truth.frames, _EVERY))
        yield Material(
            *(folder.name, folder / VIDEO_NAME, truth.rows, truth.ignored, frames, RENDERED_IOU)
        )


def read_marks(path: Path) -> tuple[Frames, Frames, frozenset[int]]:
    """Faces, ignored ones, and the marked frames of a CSV with a column for each of these."""
    faces, ignored = FrameTable(), FrameTable()
    frames = set()
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            table = ignored if row["ignore"] == "1" else faces
            box = [float(row[side]) for side in ("x1", "y1", "x2", "y2")]
            table.add(int(row["frame"]), int(row["identity"]), box, 1.0)
            frames.add(int(row["frame"]))
    return faces.frames(), ignored.frames(), frozenset(frames)


# --- detector passes ----------------------------------------------------------------------------


def _passes(material: Material, cache: Path, weights: Path) -> Iterator[tuple[int, Passes]]:
    """The number of every frame that counts, and all detector passes over it, by name."""
    with open_video(material.video, threads=1) as video:
        width, height = video.facts.width, video.facts.height

        def load(size: int, detector: str = "centerface", model: Path | None = None) -> Detector:
            lowest = doubtful_from(THRESHOLD, pipeline_config().second_look)
            request = DetectorRequest(width, height, size, lowest, CPU, 1)
            path = None if model is None else str(model)
            return make_detector(detector, request, cache=cache, given=path)

        sized = {size: load(size) for size in (640, 960, 1280)}
        scrfd = load(640, "retinaface", weights / SCRFD) if (weights / SCRFD).is_file() else None
        yunet = load(640, "yunet", weights / YUNET) if (weights / YUNET).is_file() else None
        for decoded in video.decoded():
            if decoded.index not in material.frames:
                continue
            passes: Passes = {}
            for size, detector in sized.items():
                passes[f"{size}"] = _detector_pass(video, decoded, detector)
            for size in (640, 960):
                passes[f"{size} again"] = _again(video, decoded, sized[size], passes[f"{size}"])
            passes["tiles"] = _tiles(decoded, video, sized[640])
            if scrfd is not None:
                passes["scrfd"] = _detector_pass(video, decoded, scrfd)
                passes["scrfd again"] = _again(video, decoded, scrfd, passes["scrfd"])
            if yunet is not None:
                passes["yunet"] = _detector_pass(video, decoded, yunet)
            yield decoded.index, passes


def _detector_pass(video: Video, decoded: Decoded, detector: Detector) -> Seen:
    start = time.thread_time()
    frame = video.scaled(decoded, detector.letterbox)
    faces = in_frame(detector.detect(frame.image), frame.letterbox)
    return Seen(faces, time.thread_time() - start)


def _again(video: Video, decoded: Decoded, detector: Detector, first: Seen) -> Seen:
    """As the product does it; the seconds are those beside the first pass."""
    frame = video.scaled(decoded, detector.letterbox)
    second = SecondLook(pipeline_config().second_look, THRESHOLD, detector.letterbox)
    start = time.thread_time()
    mosaic = second.mosaic(frame, first.faces)
    found = Faces.none() if mosaic is None else detector.detect(mosaic.image)
    faces = second.settled(first.faces, mosaic, found)
    return Seen(faces, time.thread_time() - start)


def _tiles(decoded: Decoded, video: Video, detector: Detector) -> Seen:
    """Small faces in four overlapping parts of the enlarged frame; without those cut off inside."""
    start = time.thread_time()
    plain = detector.letterbox
    width = max(plain.canvas_width, round(plain.inner_width * _TILE_ZOOM))
    height = max(plain.canvas_height, round(plain.inner_height * _TILE_ZOOM))
    inner = round(plain.inner_width * _TILE_ZOOM), round(plain.inner_height * _TILE_ZOOM)
    frame = video.scaled(decoded, Letterbox(width, height, *inner))
    parts = []
    for top in {0, height - plain.canvas_height}:
        for left in {0, width - plain.canvas_width}:
            tile = frame.image[top:, left:][: plain.canvas_height, : plain.canvas_width]
            faces = detector.detect(np.ascontiguousarray(tile))
            corner = np.array([left, top], np.float32)
            inside = ((faces.boxes[:, :2] > _AT_BORDER) | (corner == 0)).all(axis=1)
            end = np.array([plain.canvas_width, plain.canvas_height], np.float32)
            is_last = corner + end >= np.array([width, height])
            inside &= ((faces.boxes[:, 2:] < end - _AT_BORDER) | is_last).all(axis=1)
            moved = Faces(faces.boxes + np.tile(corner, 2), faces.landmarks + corner, faces.conf)
            inside &= faces.conf >= THRESHOLD  # a doubtful part must not hide the whole face
            parts.append(in_frame(moved[inside], frame.letterbox))
    return Seen(_merged(parts), time.thread_time() - start)


# --- ways ---------------------------------------------------------------------------------------


def _ways(has_yunet: bool, has_scrfd: bool) -> Iterator[tuple[str, Way]]:
    """By name; the first is what all others are compared with."""
    yield "640 (the default)", lambda passes: _only(passes["640"])
    yield "640, threshold 0.4", lambda passes: _only(passes["640"], 0.4)
    yield "640, threshold 0.3", lambda passes: _only(passes["640"], 0.3)
    yield "det_size 960", lambda passes: _only(passes["960"])
    yield "det_size 960, threshold 0.4", lambda passes: _only(passes["960"], 0.4)
    yield "det_size 1280", lambda passes: _only(passes["1280"])
    yield "640 and four tiles", lambda passes: _tiled(passes, always=True)
    yield "640, tiles on wide shots", lambda passes: _tiled(passes, always=False)
    yield "**640, second look**", lambda passes: _twice(passes, "640")
    yield "960, second look", lambda passes: _twice(passes, "960")
    if has_yunet:
        for threshold in (0.6, 0.7, 0.8):
            yield f"YuNet n, {threshold:g}", _yunet_from(threshold)
        yield "640, doubts confirmed by YuNet", _confirmed_by_yunet
    if has_scrfd:
        yield "SCRFD 500M", lambda passes: _only(passes["scrfd"])
        yield "SCRFD 500M, second look", lambda passes: _twice(passes, "scrfd")


def _only(seen: Seen, threshold: float = THRESHOLD) -> Seen:
    return Seen(seen.sure(threshold), seen.seconds)


def _twice(passes: Passes, name: str) -> Seen:
    again = passes[f"{name} again"]
    return Seen(again.faces, passes[name].seconds + again.seconds)


def _tiled(passes: Passes, *, always: bool) -> Seen:
    """Tiles add small faces; a shot is wide where the first pass found no larger ones."""
    plain, tiles = passes["640"], passes["tiles"]
    sure, limit = plain.sure(THRESHOLD), pipeline_config().second_look.max_height
    if not always and (_heights(sure) >= _NEAR).any():
        return Seen(sure, plain.seconds)
    small = tiles.faces[_heights(tiles.faces) < limit]
    return Seen(_merged([sure, small]), plain.seconds + tiles.seconds)


def _yunet_from(threshold: float) -> Way:
    return lambda passes: _only(passes["yunet"], threshold)


def _confirmed_by_yunet(passes: Passes) -> Seen:
    plain, other = passes["640"], passes["yunet"]
    alike = overlaps(_as_rows(plain.faces, 1, 1), _as_rows(other.sure(THRESHOLD), 1, 1))
    is_small = _heights(plain.faces) < pipeline_config().second_look.max_height
    good = (plain.faces.conf >= THRESHOLD) | (is_small & (alike >= _TILE_NMS).any(axis=1))
    return Seen(plain.faces[good], plain.seconds + other.seconds)


def _heights(faces: Faces) -> NDArray[np.float64]:
    """Pixels of a picture 640 wide, of a frame of 16:9."""
    return np.asarray(faces.boxes[:, 3] - faces.boxes[:, 1], np.float64) * WIDTH * 9 / 16


def _merged(parts: Sequence[Faces]) -> Faces:
    """All of the first, and of the others what overlaps none that was there before."""
    kept = parts[0]
    for part in parts[1:]:
        for number in range(len(part)):
            one = part[np.array([number])]
            if not (overlaps(_as_rows(kept, 1, 1), _as_rows(one, 1, 1)) >= _TILE_NMS).any():
                kept += one
    return kept


# --- judging ------------------------------------------------------------------------------------


def _score(material: Material, passes: list[tuple[int, Passes]], way: Way) -> Score:
    with open_video(material.video, threads=1) as video:
        width, height = video.facts.width, video.facts.height
    heights, found, false, seconds = [], [], 0, 0.0
    for frame, seen in passes:
        answer = way(seen)
        seconds += answer.seconds
        boxes = _as_rows(answer.faces, width, height)
        hits, wrong = judged(material, frame, boxes)
        true = material.faces.get(frame, NO_ROWS)
        heights.append((true.boxes[:, 3] - true.boxes[:, 1]) * WIDTH / max(width, height))
        found.append(hits)
        false += wrong
    return Score(
        np.concatenate(heights), np.concatenate(found), false, seconds / max(1, len(passes))
    )


def judged(material: Material, frame: int, boxes: Rows) -> tuple[NDArray[np.bool_], int]:
    """Which of a frame's faces were found, and how many boxes are no face.

    Args:
        boxes: in pixels of the video.
    """
    true = material.faces.get(frame, NO_ROWS)
    ignored = material.ignored.get(frame, NO_ROWS)
    alike = overlaps(true, boxes)
    faces, places = linear_sum_assignment(-alike)
    good = alike[faces, places] >= material.iou
    hits = np.zeros(len(true), bool)
    hits[faces[good]] = True
    free = np.ones(len(boxes), bool)
    free[places[good]] = False
    free &= ~(overlaps(boxes, ignored) >= material.iou).any(axis=1)
    free &= ~(covered(boxes, ignored) >= _INSIDE).any(axis=1)
    return hits, int(free.sum())


def _as_rows(faces: Faces, width: int, height: int) -> Rows:
    boxes = faces.boxes.astype(np.float64) * np.array([width, height] * 2)
    return Rows(np.arange(len(faces)), boxes, faces.conf.astype(np.float64))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--test-data", type=Path, default=data_folder(), help="hand-marked videos, other weights")
    add("--data", type=Path, default=EVALUATION_DATA, help="rendered episodes and caches")
    add("--only", action="append", default=[], metavar="NAME", help="this video; repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())
