"""Which tracks of two runs are the same face: by place at the same moments. Pure, in one pass.

Runs may have processed different frames. Compared are the frames of the run with the larger stride.
Where the other one has not processed such a frame, a track's box is interpolated between its
sightings in the processed frames before and after, and where it is seen in one of these only, it
stays there until the other one is nearer: as seconds on the screen are counted.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from apps.common.boxes import Box, intersection_over_union
from apps.common.contracts.rows import DetectionRow

MIN_OVERLAP = 0.3  # detectors frame faces differently, and between samples a box is a guess
_MIN_SHARE = 0.5  # of the compared moments of the one of two tracks that has fewer

Pair = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """The faces of tracks in one frame.

    Args:
        seconds: on the player's clock.
        faces: box by track, parts of the picture's sides.
    """

    frame: int
    seconds: float
    faces: dict[str, Box]


@dataclass
class Matching:
    """What the moments of two runs have in common. Runs are 0 and 1.

    Args:
        every: frames from a compared moment to the next.
        compared: moments at which a track is there, a counter a run.
        together: moments at which two tracks are in one place, and the sum of their overlaps.
        alone: intervals in which only this run has faces, seconds, ascending.
    """

    every: int
    compared: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )
    together: dict[Pair, tuple[int, float]] = field(default_factory=dict)
    alone: tuple[list[tuple[float, float]], list[tuple[float, float]]] = field(
        default_factory=lambda: ([], [])
    )

    def links(self) -> list[Pair]:
        """Pairs of tracks that are one face for half of the time or more of the shorter one."""
        first, second = self.compared
        return [
            (a, b)
            for (a, b), (moments, _) in self.together.items()
            if moments >= _MIN_SHARE * min(first[a], second[b])
        ]

    def groups(self) -> list[tuple[list[str], list[str]]]:
        """Tracks of the one and the other run that links hold together; none is in two groups."""
        neighbours: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
        for a, b in self.links():
            neighbours[0, a].append((1, b))
            neighbours[1, b].append((0, a))
        seen: set[tuple[int, str]] = set()
        groups = []
        for start in sorted(neighbours):
            if start in seen:
                continue
            group, waiting = set[tuple[int, str]](), [start]
            while waiting:
                one = waiting.pop()
                if one not in group:
                    group.add(one)
                    waiting += neighbours[one]
            seen |= group
            first, second = ([name for side, name in sorted(group) if side == n] for n in (0, 1))
            groups.append((first, second))
        return groups


def match(
    a: Iterable[Moment], b: Iterable[Moment], strides: tuple[int, int], frames: int, fps: float
) -> Matching:
    """Compares two runs of one video.

    Memory depends on the number of tracks, not on that of faces.

    Args:
        a, b: processed frames that have faces, ascending.
        strides: of the two runs, >= 1.
        frames: how many the video has.
        fps: its mean frame rate, > 0.
    """
    every = max(strides)
    found = Matching(every)
    alone = _Alone(every, every / fps)
    moments = heapq.merge(
        ((moment.frame, 0, moment) for moment in _at_multiples(a, strides[0], every, fps)),
        ((moment.frame, 1, moment) for moment in _at_multiples(b, strides[1], every, fps)),
        key=lambda one: one[:2],
    )
    for frame, same in groupby(moments, key=lambda one: one[0]):
        if frame >= frames:
            continue  # between the last sample and the next one, which there is not
        seconds = 0.0
        faces: tuple[dict[str, Box], dict[str, Box]] = ({}, {})
        for _, side, moment in same:
            seconds = moment.seconds
            faces[side].update(moment.faces)
        for side in (0, 1):
            found.compared[side].update(faces[side].keys())
        for pair, overlap in pairs(*faces):
            count, total = found.together.get(pair, (0, 0.0))
            found.together[pair] = (count + 1, total + overlap)
        alone.see(frame, seconds, bool(faces[0]), bool(faces[1]))
    for side, intervals in enumerate(alone.end()):
        found.alone[side].extend(intervals)
    return found


def moments_of(rows: Iterable[DetectionRow]) -> Iterator[Moment]:
    """Frames with faces of tracks; of two faces of one track in a frame the first counts.

    Args:
        rows: ascending by frame.
    """
    for frame, faces in groupby(rows, key=attrgetter("frame_idx")):
        found: dict[str, Box] = {}
        seconds = 0.0
        for row in faces:
            seconds = row.ts_s
            if row.track_id is not None:
                found.setdefault(row.track_id, row.bbox)
        if found:
            yield Moment(frame, seconds, found)


def pairs(some: dict[str, Box], others: dict[str, Box]) -> list[tuple[Pair, float]]:
    """Boxes of the one and the other that belong together, the largest overlap first."""
    found = [
        (overlap, a, b)
        for a, box in some.items()
        for b, other in others.items()
        if box[0] < other[2]  # most are beside each other, and this is quick
        and other[0] < box[2]
        and (overlap := intersection_over_union(box, other)) >= MIN_OVERLAP
    ]
    if len(found) > 1:
        found.sort(key=lambda one: (-one[0], one[1], one[2]))
    taken_a, taken_b, chosen = set[str](), set[str](), []
    for overlap, a, b in found:
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            chosen.append(((a, b), overlap))
    return chosen


def _at_multiples(
    samples: Iterable[Moment], stride: int, every: int, fps: float
) -> Iterator[Moment]:
    """What a run has at the frames 0, every, 2 * every, …: its own, and those between its own."""
    before: Moment | None = None
    for sample in samples:
        if before is None or sample.frame - before.frame > stride:
            if before is not None:
                yield from _between(before, _nobody(before, stride, fps), every)
            before = _nobody(sample, -stride, fps)
        yield from _between(before, sample, every)
        if sample.frame % every == 0:
            yield sample
        before = sample
    if before is not None:
        yield from _between(before, _nobody(before, stride, fps), every)


def _nobody(beside: Moment, frames: int, fps: float) -> Moment:
    return Moment(beside.frame + frames, beside.seconds + frames / fps, {})


def _between(before: Moment, after: Moment, every: int) -> Iterator[Moment]:
    """Moments strictly between two neighbouring samples."""
    first = (before.frame // every + 1) * every
    for frame in range(max(0, first), after.frame, every):
        share = (frame - before.frame) / (after.frame - before.frame)
        faces = {
            track: _mixed(box, after.faces[track], share)
            for track, box in before.faces.items()
            if track in after.faces
        }
        nearer = before.faces if share < 0.5 else after.faces
        faces |= {track: box for track, box in nearer.items() if track not in faces}
        if faces:
            seconds = before.seconds + share * (after.seconds - before.seconds)
            yield Moment(frame, seconds, faces)


def _mixed(one: Box, other: Box, share: float) -> Box:
    left, top, right, bottom = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return (left, top, right, bottom)


class _Alone:
    """Joins neighbouring moments at which only one run has faces.

    Args:
        every: frames between neighbours.
        step_s: the same in seconds.
    """

    def __init__(self, every: int, step_s: float) -> None:
        self._every = every
        self._half_s = step_s / 2
        self._side: int | None = None
        self._frame = 0
        self._start_s = self._end_s = 0.0
        self._found: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])

    def see(self, frame: int, seconds: float, a: bool, b: bool) -> None:
        side = None if a == b else 0 if a else 1
        if side != self._side or frame - self._frame > self._every:
            self._close()
            self._start_s = seconds
        self._side, self._frame, self._end_s = side, frame, seconds

    def end(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        self._close()
        return self._found

    def _close(self) -> None:
        """Each moment stands for the time to where its neighbours are nearer."""
        if self._side is not None:
            start_s = max(0.0, self._start_s - self._half_s)
            interval = (round(start_s, 4), round(self._end_s + self._half_s, 4))
            self._found[self._side].append(interval)
        self._side = None
