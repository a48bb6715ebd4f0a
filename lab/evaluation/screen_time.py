#!/usr/bin/env python3
"""How right are the seconds on the screen? `python -m lab.evaluation.screen_time FOLDER...`.

Each folder holds a generated episode with its ground truth. What the detector found in a picture is
remembered in `--cache`, as by `lab.evaluate`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from apps.common.config import pipeline_config
from apps.common.errors import ScreenalyticsError
from apps.common.screen_time import Presence, SampleEdges, ScreenTotal
from apps.demo.encode import VIDEO_NAME
from apps.pipeline.decode.video import open_video
from lab import arguments as values
from lab.evaluation.rows import NO_ROWS, Found, Frames, Truth, overlaps, read_truth
from lab.evaluation.systems import run_product
from lab.paths import EVALUATION_DATA

STRIDES = (1, 3, 6, 12, 24)
COLUMNS = {
    "found, s": "`screen_s`, summed over all tracks",
    "true, s": "the time for which half of a face or more shows, summed over all faces",
    "half hidden, s": (
        "the time for which less than half of a face shows; where it is found all the same, it is "
        "in what was found and not in what is true"
    ),
    "difference": "of what was found to what is true",
    "stated error": (
        "the standard error that the product states for the sum (`screen_error_s`), in percent of "
        "what is true; it is that of sampling alone, mistakes of the detector are not in it"
    ),
    "by sampling": (
        "the difference to what was found at the densest stride, which has the same mistakes of "
        "the detector: what sampling alone did"
    ),
    "whole visits": "tracks that have a face for themselves and are its only one",
    "within 2 errors": (
        "of those, the tracks whose seconds are off by no more than twice the standard error that "
        "the product states for them; 95 % would be right if the detector made no mistakes"
    ),
}
HEAD = (
    *("stride", "episodes", "found, s", "true, s", "difference", "stated error", "by sampling"),
    *("whole visits", "within 2 errors"),
)
_EPISODE_HEAD = (
    *("episode", "stride", "found, s", "true, s", "half hidden, s", "difference", "stated error"),
    *("whole visits", "within 2 errors"),
)
_IOU = 0.5  # a sighting is of the face that it overlaps so much
_SURE = 2.0  # standard errors
_ROUNDING = 2e-4  # seconds, of times of cuts as they are written


@dataclass(frozen=True)
class FrameTimes:
    """When the pictures of a video are shown.

    Args:
        frame_s: shape (n,), seconds.
        end_s: when the last one ends.
    """

    frame_s: NDArray[np.float64]
    end_s: float

    def durations(self) -> NDArray[np.float64]:
        """How long each picture is shown; shape (n,), seconds."""
        return np.diff(self.frame_s, append=self.end_s)


@dataclass(frozen=True)
class ScreenScore:
    """One episode at one stride. Seconds.

    Args:
        true_s: all identities together; a face of which less than half shows is not there.
        partial_s: faces of which less than half shows; a detector may find them.
        error_s: the standard error that the product states for the sum.
        visits: tracks that are an identity's only one and no other's.
        sure: how many of the visits are right within two of their standard errors.
    """

    name: str
    stride: int
    found_s: float
    true_s: float
    partial_s: float
    error_s: float
    visits: int
    sure: int


def frame_times(video: Path) -> FrameTimes:
    """When each frame of a video is shown.

    Raises:
        VideoUnreadable: it is no video.
    """
    with open_video(video, threads=1) as opened:
        return FrameTimes(opened.index.timeline.seconds, opened.index.end_s)


def score_seconds(
    name: str, truth: Truth, found: Found, stride: int, times: FrameTimes
) -> ScreenScore:
    """Compares the product's seconds with the truth; adds them up as the product does.

    Args:
        found: by the product, at this stride, with its cuts.
    """
    edges = SampleEdges(times.frame_s, times.end_s, stride, found.cut_edges)
    tracks = _tracks(found.rows, edges)
    total = _total(tracks, found, edges)
    durations = times.durations()
    true_s = _seconds_by_identity(truth.rows, durations)
    visits = list(_whole_visits(truth, found))
    return ScreenScore(
        name=name,
        stride=stride,
        found_s=total.seconds,
        true_s=sum(true_s.values()),
        partial_s=sum(_seconds_by_identity(truth.ignored, durations).values()),
        error_s=total.error_s,
        visits=len(visits),
        sure=sum(
            abs(tracks[track].presence.seconds - true_s[identity])
            <= _SURE * tracks[track].presence.error_s + _ROUNDING
            for track, identity in visits
        ),
    )


@dataclass
class _Track:
    first: int
    last: int
    presence: Presence


def _tracks(rows: Frames, edges: SampleEdges) -> dict[int, _Track]:
    missed_seconds = pipeline_config().metrics.missed_seconds
    tracks: dict[int, _Track] = {}
    for frame in sorted(rows):
        for number in rows[frame].tracked.ids.tolist():
            track = tracks.setdefault(number, _Track(frame, frame, Presence(missed_seconds)))
            track.last = frame
            track.presence.see(edges.before(frame), edges.after(frame))
    return tracks


def _total(tracks: dict[int, _Track], found: Found, edges: SampleEdges) -> ScreenTotal:
    cuts = () if found.cuts is None else found.cuts
    begins = {found.sampled[0], *cuts}
    ends = {found.sampled[-1], *(last for last, cut in pairwise(found.sampled) if cut in cuts)}
    total = ScreenTotal()
    for track in tracks.values():
        total.add(
            track.presence,
            first=edges.before(track.first) if track.first in begins else None,
            last=edges.after(track.last) if track.last in ends else None,
        )
    return total


def _seconds_by_identity(rows: Frames, durations: NDArray[np.float64]) -> dict[int, float]:
    seconds: dict[int, float] = defaultdict(float)
    for frame, faces in rows.items():
        for identity in faces.ids.tolist():
            seconds[identity] += float(durations[frame])
    return seconds


def _whole_visits(truth: Truth, found: Found) -> Iterator[tuple[int, int]]:
    """Tracks and identities that have each other and nobody else."""
    pairs: Counter[tuple[int, int]] = Counter()
    for frame, rows in found.rows.items():
        tracked, faces = rows.tracked, truth.rows.get(frame, NO_ROWS)
        shared = overlaps(tracked, faces)
        for row, column in np.argwhere(shared >= _IOU).tolist():
            pairs[int(tracked.ids[row]), int(faces.ids[column])] += 1
    tracks = Counter(track for track, _ in pairs)
    identities = Counter(identity for _, identity in pairs)
    for track, identity in pairs:
        if tracks[track] == identities[identity] == 1:
            yield track, identity


def table_rows(scores: Sequence[ScreenScore]) -> list[tuple[str, ...]]:
    """Sums over the episodes, a row a stride; cells in the order of `HEAD`.

    The sampling's part is against what was found at the densest stride, which has the same faults
    of detector and tracker.
    """
    rows: list[tuple[str, ...]] = []
    by_stride = sorted(scores, key=lambda score: score.stride)
    densest: dict[str, float] = {}
    for stride, group in groupby(by_stride, key=lambda score: score.stride):
        chosen = list(group)
        if not densest:
            densest = {score.name: score.found_s for score in chosen}
        found, true = sum(s.found_s for s in chosen), sum(s.true_s for s in chosen)
        reference = sum(densest.get(score.name, 0.0) for score in chosen)
        error = float(np.sqrt(sum(score.error_s**2 for score in chosen)))
        visits, sure = sum(s.visits for s in chosen), sum(s.sure for s in chosen)
        rows.append(
            (
                *(str(stride), str(len(chosen)), f"{found:.2f}", f"{true:.2f}"),
                *(_percent(found, true), f"± {_share(error, true):.1f} %"),
                *(_percent(found, reference), str(visits), _part(sure, visits)),
            )
        )
    return rows


def _percent(found: float, true: float) -> str:
    return f"{_share(found - true, true):+.1f} %"


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else 0.0


def _part(part: int, whole: int) -> str:
    return "–" if whole == 0 else f"{part} ({100 * part / whole:.0f} %)"


def _episode_table(scores: Sequence[ScreenScore]) -> Table:
    table = Table(*_EPISODE_HEAD)
    for score in scores:
        table.add_row(
            *(score.name, str(score.stride), f"{score.found_s:.2f}", f"{score.true_s:.2f}"),
            *(f"{score.partial_s:.2f}", _percent(score.found_s, score.true_s)),
            *(f"± {_share(score.error_s, score.true_s):.1f} %", str(score.visits)),
            _part(score.sure, score.visits),
        )
    return table


def explained(head: Sequence[str]) -> list[str]:
    """A sentence for each column that has one."""
    return [f"{name}: {COLUMNS[name]}." for name in head if name in COLUMNS]


def measure_seconds(folder: Path, strides: Sequence[int], cache: Path) -> list[ScreenScore]:
    """Runs the product on a generated episode, the densest stride first.

    Raises:
        ScreenalyticsError: a run failed, or there is no ground truth of this episode.
    """
    truth, video = read_truth(folder), folder / VIDEO_NAME
    times = frame_times(video)
    scores = []
    for stride in sorted(strides):
        run = run_product(video, folder.name, stride, cache)
        truth.checked(run.frames, run.size)
        scores.append(score_seconds(folder.name, truth, run.found, stride, times))
    return scores


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        scores = [
            score
            for folder in arguments.folders
            for score in measure_seconds(folder, arguments.strides, arguments.cache)
        ]
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    console.print(_episode_table(scores))
    together = Table(*HEAD, title="All together")
    for row in table_rows(scores):
        together.add_row(*row)
    console.print(together)
    console.print("\n".join(explained(tuple(COLUMNS))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nColumns:\n\n" + "\n".join(explained(tuple(COLUMNS))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="a generated episode")
    add("--strides", type=values.strides, default=STRIDES, help="default: 1,3,6,12,24")
    add("--cache", type=Path, default=EVALUATION_DATA / "cache", help="for remembered faces")
    return parser


if __name__ == "__main__":
    sys.exit(main())
