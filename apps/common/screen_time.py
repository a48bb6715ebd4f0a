"""Screen time: for how long faces were on the screen, from samples that lie apart. Pure.

A picture is shown from its own time until the next one's, the last one for a usual distance. So a
face that is on pictures a to b is on the screen from time a to time b + 1, and what changes between
two samples i and j changes when one of the pictures i + 1 to j comes. Which one is not known. In a
world that goes on evenly each has the chance of the time since the picture before it; the **edge**
between the samples lies at the mean of that. At a constant rate, pictures d apart and samples T,
that is (T + d) / 2 behind sample i: half a picture later than the middle, since the picture of
sample i stays for d. At stride 1 it is sample j itself, exactly.

A sighting stands for the time from the edge before it to the edge after it. Edges do not depend on
what is seen, and together the samples stand for the whole file, each moment once. A visit that
begins at any moment is therefore counted with its length on average: too long, too short, or, where
it falls between two samples, not at all. A cut lies between two samples like any other change, but
pictures between them that had to be decoded tell more exactly when, and encoders begin a shot with
a picture that needs no other one (`SampleEdges.cut`).

The standard error of an edge is the deviation of the same chances: sqrt((T^2 - d^2) / 12) at a
constant rate, that of a uniform distribution over equally many steps, near T / sqrt(12) for large
strides and 0 at stride 1. The two ends of a stretch change independently, so their squares add. The
file's first picture is a sample, and its beginning is exact. Behind the last sample there may be
pictures that nobody looks at; its sightings stand for them too, since as many faces leave there as
come, with the error of a change that is somewhere among them. What the detector misses or finds too
much is not in this error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SecondsArray = NDArray[np.float64]

_SAME_S = 1e-6  # seconds; times of one picture may differ by so much
_INTRA = 0.95  # chance that a cut is where an intra picture ends its span; docs/algorithm.md
_REMEMBERED = 8  # edges: a sample's are asked for by each of its faces


@dataclass(frozen=True, slots=True)
class Edge:
    """Between two samples: where a change lies on average, and how sure that is.

    Args:
        at_s: seconds, on the clock of the video's times.
        variance: square seconds.
    """

    at_s: float
    variance: float


@dataclass(frozen=True, slots=True)
class CutSpan:
    """Where a cut is.

    Args:
        after_s: time of the last picture that is known to be of the shot before.
        until_s: of the first one that is known to be of the shot behind it.
        ends_intra: that one was encoded without other pictures.
    """

    after_s: float
    until_s: float
    ends_intra: bool = False


class SampleEdges:
    """The edges around the samples of a video.

    Args:
        frame_s: shape (n,), when each picture is shown, n >= 1; none before the one before it.
        end_s: when the last picture ends.
        stride: pictures 0, stride, 2 * stride, ... are the samples; >= 1.
        cuts: edges of which more is known, by the sample behind each, which is not the first one.
    """

    def __init__(
        self,
        frame_s: SecondsArray,
        end_s: float,
        stride: int,
        cuts: Mapping[int, Edge] | None = None,
    ) -> None:
        self._frame_s = frame_s
        self._end_s = end_s
        self._stride = stride
        self._after = lru_cache(_REMEMBERED)(self._found_after)
        self._cuts = {} if cuts is None else dict(cuts)

    def cut(self, frame: int, span: CutSpan) -> Edge:
        """Between a sample and the one before it there is a cut, of which more is known.

        Args:
            frame: number of the first sampled picture of a shot, not 0.

        Returns:
            The edge between the two samples from now on.
        """
        after_s = max(span.after_s, float(self._frame_s[frame - self._stride]))
        until_s = span.until_s + _SAME_S
        low, high = np.searchsorted(self._frame_s, (after_s, until_s), side="right")
        changes = self._frame_s[low:high] - after_s
        if len(changes) > 0 and changes[-1] > 0.0:
            mean, variance = _mean_and_variance(changes, _INTRA if span.ends_intra else 0.0)
            self._cuts[frame] = Edge(after_s + mean, variance)
        return self.before(frame)

    def before(self, frame: int) -> Edge:
        """Between a sample and the one before it; the file's beginning for the first one.

        Args:
            frame: number of a sampled picture.
        """
        if frame == 0:
            return Edge(float(self._frame_s[0]), 0.0)
        return self.after(frame - self._stride)

    def after(self, frame: int) -> Edge:
        """Between a sample and the one that should follow it, even where that cannot be decoded.

        So what nobody has seen counts for nobody. The file's end for the last sample.
        """
        known = self._cuts.get(frame + self._stride)
        return self._after(frame) if known is None else known

    def _found_after(self, frame: int) -> Edge:
        following = frame + self._stride
        own_s = float(self._frame_s[frame])
        changes = self._frame_s[frame + 1 : following + 1] - own_s
        is_last = following >= len(self._frame_s)
        if is_last:
            changes = np.append(changes, self._end_s - own_s)
        mean, variance = _mean_and_variance(changes)
        return Edge(self._end_s if is_last else own_s + mean, variance)


def _mean_and_variance(changes: SecondsArray, last: float = 0.0) -> tuple[float, float]:
    """Of a change that is shown by one of several pictures.

    Args:
        changes: shape (n,), when each is shown, n >= 1; ascending, from the sample before it.
        last: chance that it is the last one, and nothing is said of the others, 0..1.
    """
    total = float(changes[-1])
    if total <= 0.0:  # pictures of one and the same time
        return 0.0, 0.0
    chances = np.concatenate([changes[:1], changes[1:] - changes[:-1]]) / total
    if last > 0.0:
        chances *= 1 - last
        chances[-1] += last
    mean = float(changes @ chances)
    return mean, float((changes - mean) ** 2 @ chances)


@dataclass
class Presence:
    """Adds up for how long one face was on the screen, sighting by sighting.

    An interruption of up to `missed_seconds` between two sightings counts: it is the detector that
    failed. A longer one does not, and its two edges add to the error. On the rendered episodes the
    face was there in 98 of 100 samples of interruptions below 0.15 s, in half of those of 0.15 to
    0.3 s, and in a sixth of those of longer ones.

    Args:
        missed_seconds: the longest interruption in which the face is taken to be there.
        stretches: from when to when it was there, seconds.
    """

    missed_seconds: float
    seconds: float = 0.0
    stretches: list[tuple[float, float]] = field(default_factory=list)
    _variance: float = 0.0  # of all edges but the last one
    _until: Edge | None = None

    def see(self, before: Edge, after: Edge) -> None:
        """Takes up a sighting.

        Args:
            before, after: edges of its sample; later than those of the last sighting.
        """
        until = self._until
        if until is not None and before.at_s - until.at_s <= self.missed_seconds:
            begins = until
            self.stretches[-1] = (self.stretches[-1][0], after.at_s)
        else:
            begins = before
            self.stretches.append((before.at_s, after.at_s))
            self._variance += before.variance + (0.0 if until is None else until.variance)
        self.seconds += after.at_s - begins.at_s
        self._until = after

    def end_at(self, edge: Edge) -> None:
        """Of the edge after the last sighting more is known now.

        Args:
            edge: in its place.
        """
        if self._until is not None:
            self.seconds += edge.at_s - self._until.at_s
            self.stretches[-1] = (self.stretches[-1][0], edge.at_s)
            self._until = edge

    @property
    def variance(self) -> float:
        """Of `seconds`, square seconds."""
        return self._variance + (0.0 if self._until is None else self._until.variance)

    @property
    def error_s(self) -> float:
        """Standard error of `seconds`."""
        return math.sqrt(self.variance)


class ScreenTotal:
    """Adds up tracks, of which those of one shot share its cuts.

    All tracks that end at a cut are wrong by the same time, and those that begin there by its
    opposite, so their errors add or cancel; all other edges are independent.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._variance = 0.0
        self._cuts: dict[Edge, int] = {}  # tracks that end there less those that begin there

    def add(self, presence: Presence, first: Edge | None, last: Edge | None) -> None:
        """Takes up a track.

        Args:
            first, last: its outer edges, if they are its shot's.
        """
        self.seconds += presence.seconds
        self._variance += presence.variance
        for edge, change in ((first, -1), (last, 1)):
            if edge is not None:
                self._variance -= edge.variance
                self._cuts[edge] = self._cuts.get(edge, 0) + change

    @property
    def error_s(self) -> float:
        """Standard error of `seconds`."""
        shared = sum(change**2 * edge.variance for edge, change in self._cuts.items())
        return math.sqrt(max(0.0, self._variance) + shared)
