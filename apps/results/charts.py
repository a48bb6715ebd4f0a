"""Figures of a run's detections for a page to draw. Pure: rows in, figures out, one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from apps.common.contracts.manifest import VideoFacts
from apps.common.contracts.rows import DetectionRow, TrackRow
from apps.common.options import sampled_count
from apps.common.schemas import FacesBin, HistogramBin, RunCharts
from apps.results.frame_times import FrameTimes

_CONFIDENCE_BINS = 20
_SIZE_BINS = 20  # at most about so many
_ROUND_STEPS = (1, 2, 5)  # times a power of ten, pixels


def chart_run(
    video: VideoFacts,
    stride: int,
    cuts: Iterable[int],
    detections: Iterable[DetectionRow | None],
    tracks: Iterable[TrackRow | None],
    bins: int,
) -> RunCharts:
    """Counts faces by time, confidence and size.

    Memory depends on `bins`, the number of cuts and the video's height, not on the rows.

    Args:
        video: facts; frames >= 1, fps > 0.
        stride: frames 0, stride, 2 * stride, ... were processed; >= 1.
        cuts: index of the first processed frame of every shot but the first.
        detections: in the file's order; None for a line that cannot be read.
        tracks: likewise.
        bins: most stretches of time, >= 1.
    """
    stretches = _Stretches(video.frames, stride, bins)
    wanted_cuts = sorted({cut for cut in cuts if 0 < cut < video.frames})
    times = _SomeTimes(video.fps, wanted_cuts)
    faces = [0] * stretches.count
    confidence: Counter[int] = Counter()
    heights: Counter[int] = Counter()
    unreadable = 0
    for row in detections:
        if row is None or row.frame_idx >= video.frames or not is_upright(row):
            unreadable += 1
            continue
        stretch = stretches.of(row.frame_idx)
        times.see(row.frame_idx, row.ts_s, stretch)
        faces[stretch] += 1
        confidence[min(_CONFIDENCE_BINS - 1, int(row.conf * _CONFIDENCE_BINS))] += 1
        heights[int((row.bbox[3] - row.bbox[1]) * video.height)] += 1
    seen, unreadable_tracks = _tracks_seen(tracks, stretches, video.frames)
    return RunCharts(
        duration_s=video.duration_s,
        bin_seconds=round(stretches.width / video.fps, 4),
        faces=[
            FacesBin(
                start_s=times.of(stretches.start(number)),
                faces_per_frame=round(faces[number] / stretches.processed(number), 4),
                tracks=seen[number],
            )
            for number in range(stretches.count)
        ],
        confidence=_confidence_bins(confidence),
        face_size=size_bins(heights),
        cuts_s=[times.of(cut) for cut in wanted_cuts],
        unreadable_rows=unreadable + unreadable_tracks,
    )


class _Stretches:
    """Stretches of equally many processed frames: counted in frames, each count is exact.

    Attributes:
        width: frames of the video in one stretch; the last one may be shorter.
        count: how many stretches there are.
    """

    def __init__(self, frames: int, stride: int, limit: int) -> None:
        self._frames = frames
        self._stride = stride
        self.width = stride * -(-sampled_count(frames, stride) // limit)
        self.count = sampled_count(frames, self.width)

    def of(self, frame: int) -> int:
        return frame // self.width

    def start(self, number: int) -> int:
        """Its first frame."""
        return number * self.width

    def processed(self, number: int) -> int:
        """How many of its frames were processed, >= 1."""
        frames = min(self.width, self._frames - self.start(number))
        return sampled_count(frames, self._stride)


class _SomeTimes(FrameTimes):
    """Of the rows of the cuts, and of the first row of each stretch: the others are forgotten."""

    def __init__(self, fps: float, cuts: Sequence[int]) -> None:
        super().__init__(fps)
        self._cuts = frozenset(cuts)
        self._stretch = -1

    def see(self, frame: int, ts_s: float, stretch: int) -> None:
        """A row's time."""
        if (stretch != self._stretch or frame in self._cuts) and self.add(frame, ts_s):
            self._stretch = stretch


def _tracks_seen(
    tracks: Iterable[TrackRow | None], stretches: _Stretches, frames: int
) -> tuple[list[int], int]:
    """Tracks by stretch, and how many lines could not be read."""
    changes = [0] * (stretches.count + 1)
    unreadable = 0
    for row in tracks:
        span = None if row is None else row.frame_span
        if span is None or not span[0] <= span[1] < frames:
            unreadable += 1
            continue
        first, last = span
        changes[stretches.of(first)] += 1
        changes[stretches.of(last) + 1] -= 1
    return list(accumulate(changes[:-1])), unreadable


def _confidence_bins(counts: Counter[int]) -> list[HistogramBin]:
    edges = [round(number / _CONFIDENCE_BINS, 2) for number in range(_CONFIDENCE_BINS + 1)]
    return [
        HistogramBin(low=edges[number], high=edges[number + 1], count=counts[number])
        for number in range(_CONFIDENCE_BINS)
    ]


def size_bins(heights: Counter[int]) -> list[HistogramBin]:
    """Groups face heights, counted by whole pixels, into about 20 bins with round edges.

    Returns:
        Bins without a gap from the smallest to the largest face; none without faces.
    """
    if not heights:
        return []
    smallest, largest = min(heights), max(heights)
    width = _round_width((largest + 1 - smallest) / _SIZE_BINS)
    first, last = smallest // width, largest // width
    counts: Counter[int] = Counter()
    for height, count in heights.items():
        counts[height // width] += count
    return [
        HistogramBin(low=number * width, high=(number + 1) * width, count=counts[number])
        for number in range(first, last + 1)
    ]


def _round_width(minimum: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power = 10 ** max(0, math.floor(math.log10(minimum))) if minimum > 1 else 1
    candidates = [step * power for step in (*_ROUND_STEPS, 10)]
    return next(width for width in candidates if width >= minimum)


def is_upright(row: DetectionRow) -> bool:
    """Whether its box ends where it begins or after that, in both directions."""
    left, top, right, bottom = row.bbox
    return left <= right and top <= bottom
