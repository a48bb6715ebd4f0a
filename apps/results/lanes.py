"""Tracks against time: the stretch that each stands for, and rows in which none overlap. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

_TINY = 1e-6  # seconds
_ROUNDING = 1e-3  # seconds, of times that were written


@dataclass(frozen=True)
class Samples:
    """How far samples stand for the video around them, as seconds on the screen are counted.

    Something new that sample j shows began, on average, `before_s` before it; what sample i shows
    last ended `after_s` after it. With pictures d apart and samples T, that is (T - d) / 2 and
    (T + d) / 2: exactly j and i + d where every picture is a sample. The last sample stands for all
    that comes after it.

    Args:
        before_s, after_s: seconds; 0 where the run does not tell.
        begin_s, end_s: of the video, on the clock of its pictures.
    """

    before_s: float = 0.0
    after_s: float = 0.0
    begin_s: float = 0.0
    end_s: float = inf

    @classmethod
    def of(cls, stride: int, fps: float, begin_s: float = 0.0, end_s: float = inf) -> Samples:
        """The samples of a video at this stride.

        Args:
            stride: >= 1.
            fps: mean frame rate of the video, > 0.
            begin_s, end_s: of the video.
        """
        return cls((stride - 1) / (2 * fps), (stride + 1) / (2 * fps), begin_s, end_s)

    def cut(self, first_s: float, told_s: float | None = None) -> float:
        """Where the cut lies before the first sample of a shot.

        Args:
            told_s: when the run says that it is; not believed where it lies before another sample.
        """
        if told_s is not None and 0 <= first_s - told_s < self.before_s + self.after_s:
            return max(self.begin_s, told_s)
        return max(self.begin_s, first_s - self.before_s)

    def until(self, last_s: float) -> float:
        """Where ends what this sample is the last one to show."""
        is_last = last_s + self.before_s + self.after_s > self.end_s - _TINY
        return self.end_s if is_last else min(self.end_s, last_s + self.after_s)

    def stretch(
        self, first_s: float, last_s: float, cuts_s: Sequence[float]
    ) -> tuple[float, float]:
        """What a track stands for; to a cut that lies before its first or behind its last sample.

        Args:
            first_s, last_s: its first and last sighting.
            cuts_s: where the cuts lie, as the run or `cut` says, seconds, ascending.
        """
        start_s, end_s = self.cut(first_s), self.until(last_s)
        before, after = bisect_right(cuts_s, first_s), bisect_right(cuts_s, last_s)
        step_s = self.before_s + self.after_s
        if before > 0 and first_s - cuts_s[before - 1] < step_s - _ROUNDING:
            start_s = cuts_s[before - 1]
        if after < len(cuts_s) and cuts_s[after] - last_s < step_s + _ROUNDING:
            end_s = cuts_s[after]
        return start_s, max(last_s, end_s)


def lanes(spans: Iterable[tuple[float, float]]) -> list[int]:
    """Puts spans into as few rows as can be, so that none overlap in a row.

    Args:
        spans: (start, end) in seconds, ordered by start.

    Returns:
        A row for each, from 0.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    rows = []
    for start, end in spans:
        while busy and busy[0][0] < start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, row))
        rows.append(row)
    return rows
