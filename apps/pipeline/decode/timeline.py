"""Times of a video's pictures on the player's clock, mended where the file's own are wrong. Pure.

A clock may be wrong in one place and right in all others: recordings are joined, receivers lose the
signal, a counter wraps, one time is missing. What is right stays as it is. What is not goes on from
the picture before by the usual distance, as players do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apps.pipeline.arrays import IntArray, SecondsArray

_LONGEST_OUTLIER = 8  # pictures in a row whose times are wrong while the clock is right
_TOLERANCE = 0.5  # of a usual distance: how exactly the clock is met again after them
_GAP_SECONDS = 1.0  # no usual distance; and many times the usual one:
_GAP_RATIO = 10.0
_ROUNDED = 1.01  # units: how far rounding may move a distance
_ALIKE = 0.1  # distances that differ by less are the same one
_REGULAR_SHARE = 0.8  # of all distances, that makes a frame rate
_IRREGULAR = 0.02  # spread of distances, relative to their median, that is "variable"


@dataclass(frozen=True)
class Timeline:
    """When each picture is shown, and what had to be mended for that.

    Args:
        seconds: shape (n,), when each picture is shown; never before the one before it.
        missing: how many pictures had no time.
        wrong: how many had a time that fits neither those before nor those after.
        jumps: pictures at which the clock goes back or leaps, for good.
        unit: one tick of the clock, seconds; times are rounded to it.
    """

    seconds: SecondsArray
    missing: int = 0
    wrong: int = 0
    jumps: tuple[int, ...] = ()
    unit: float = 0.0

    def without_first(self, count: int) -> Timeline:
        """Of the pictures behind the first ones."""
        jumps = tuple(place - count for place in self.jumps if place > count)
        return replace(self, seconds=self.seconds[count:], jumps=jumps)

    def rate(self) -> float | None:
        """Frames a second; None where no two pictures lie apart.

        Where most distances are alike it is theirs, so that gaps and dropped frames do not count.
        """
        steps = _usual_steps(self.seconds)
        if len(steps) == 0 or steps.sum() <= 0:
            return None
        middle = float(np.median(steps[steps > 0]))
        alike = steps[np.abs(steps - middle) <= max(_ALIKE * middle, _ROUNDED * self.unit)]
        counted = alike if len(alike) >= _REGULAR_SHARE * len(steps) else steps
        return float(len(counted) / counted.sum())

    def is_irregular(self) -> bool:
        """True where the frames' distances vary, as in screen recordings and phone videos."""
        steps = _usual_steps(self.seconds)
        if len(steps) < 2:
            return False
        middle = float(np.median(steps))
        off = np.maximum(np.abs(steps - middle) - _ROUNDED * self.unit, 0)
        return float(np.mean(off)) > _IRREGULAR * middle


def by_counting(count: int, fps: float) -> Timeline:
    """Of a file that stores no times."""
    return Timeline(np.arange(count, dtype=np.float64) / fps)


def by_slots(slots: IntArray, held_back: int, length: float) -> Timeline:
    """Of pictures that stand in slots of one length each, some of which are empty.

    A decoder that holds pictures back shows each when a later one comes, in that one's slot.

    Args:
        slots: shape (n,), in coding order.
        held_back: how many pictures the decoder holds back.
        length: seconds.
    """
    times = np.sort(slots)
    step = int(np.diff(times).min()) if len(times) > 1 else 1  # two, where fields have slots
    beyond = times[-1] + step * (1 + np.arange(held_back))
    shown = np.concatenate((times, beyond))[held_back:]
    return Timeline(shown * length)


def mended(
    seconds: SecondsArray, *, usual: float, longest_gap: float, unit: float = 0.0
) -> Timeline:
    """Mends times where they are missing, go back, or leap.

    Args:
        seconds: shape (n,), in display order, in any order of size; NaN where there is none.
        usual: distance of two pictures where the times do not tell it, seconds, > 0.
        longest_gap: a longer one is no pause but another clock, seconds.
        unit: one tick of the clock, seconds.
    """
    if len(seconds) == 0:
        return Timeline(seconds)
    missing = int(np.isnan(seconds).sum())
    clock = _Clock(seconds, usual, longest_gap)
    clock.run()
    filled = _filled(clock.mended, clock.distance)
    return Timeline(filled + 0.0, missing, clock.wrong, tuple(clock.jumps), unit)


class _Clock:
    """Follows the known times from the first to the last.

    Attributes:
        mended: NaN where the file's time is missing or wrong.
        distance: usual one, seconds.
    """

    def __init__(self, seconds: SecondsArray, usual: float, longest_gap: float) -> None:
        self._known = np.flatnonzero(~np.isnan(seconds))
        self._times = seconds[self._known].tolist()
        steps = np.diff(seconds[self._known]) / np.maximum(1, np.diff(self._known))
        forward = steps[steps > 0]
        self.distance = float(np.median(forward)) if len(forward) else usual
        self._longest_gap = max(longest_gap, _GAP_RATIO * self.distance)
        # Between these, for so many pictures, the clock is met again. One rate: nearly a point.
        near = forward[forward <= _GAP_RATIO * self.distance]
        low, high = np.percentile(near, (10, 90)) if len(near) else (usual, usual)
        self._low, self._high = float(low), float(high)
        self.mended = np.full(len(seconds), np.nan)
        self.jumps: list[int] = []
        self.wrong = 0

    def run(self) -> None:
        offset, place, good = 0.0, 0, list[int]()  # places among the known times
        while place < len(self._times):
            if good and not self._follows(self._times[place] - self._times[good[-1]]):
                before = self._outliers_before(good, place)
                after = self._outliers_after(good, place)
                if before is None and after is None and self._is_beginning(good, place):
                    before = place
                if before is not None and (after is None or before <= after):
                    for wrong in good[-before:]:
                        self.mended[self._known[wrong]] = np.nan
                    self.wrong += before
                    del good[-before:]
                elif after is not None:
                    self.wrong += after
                    place += after
                    continue
                else:
                    offset = self._continued(good[-1], place) - self._times[place]
                    self.jumps.append(int(self._known[place]))
            self.mended[self._known[place]] = self._times[place] + offset
            good.append(place)
            del good[: -_LONGEST_OUTLIER - 1]
            place += 1

    def _follows(self, step: float) -> bool:
        return 0 <= step <= self._longest_gap

    def _continued(self, before: int, place: int) -> float:
        pictures = int(self._known[place] - self._known[before])
        return float(self.mended[self._known[before]]) + pictures * self.distance

    def _outliers_before(self, good: list[int], place: int) -> int | None:
        """How many of the last times are wrong, if this one goes on from those before them."""
        for count in range(1, min(_LONGEST_OUTLIER, len(good) - 1) + 1):
            if self._meets(good[-1 - count], place):
                return count
        return None

    def _is_beginning(self, good: list[int], place: int) -> bool:
        """Whether all times so far are few, so that they are wrong rather than all that come."""
        is_first = len(good) == place and not self.jumps
        return is_first and place <= min(_LONGEST_OUTLIER, len(self._times) - place - 1)

    def _outliers_after(self, good: list[int], place: int) -> int | None:
        """How many times from this one on are wrong, if one after them goes on from the last."""
        for count in range(1, _LONGEST_OUTLIER + 1):
            if place + count < len(self._times) and self._meets(good[-1], place + count):
                return count
        return None

    def _meets(self, earlier: int, later: int) -> bool:
        if self._is_jump_between(earlier, later):
            return False
        pictures = int(self._known[later] - self._known[earlier])
        slack = _TOLERANCE * self.distance
        step = self._times[later] - self._times[earlier]
        minimum = max(0.0, pictures * self._low - slack)
        return bool(minimum <= step < pictures * self._high + slack)

    def _is_jump_between(self, earlier: int, later: int) -> bool:
        """Times on two sides of a jump are of two clocks."""
        return bool(self.jumps) and self._known[earlier] < self.jumps[-1] <= self._known[later]


def _filled(seconds: SecondsArray, distance: float) -> SecondsArray:
    """Times for those that have none: even steps between their neighbours, but no long ones."""
    known = np.flatnonzero(~np.isnan(seconds))
    numbers = np.arange(len(seconds))
    if len(known) == 0:
        return numbers.astype(np.float64) * distance
    filled: SecondsArray = np.interp(numbers, known, seconds[known])
    first, last = known[0], known[-1]
    filled[:first] = seconds[first] - (first - numbers[:first]) * distance
    filled[last:] = seconds[last] + (numbers[last:] - last) * distance
    gaps = np.flatnonzero(
        (np.diff(known) > 1) & (np.diff(seconds[known]) > 2 * distance * np.diff(known))
    )
    for gap in gaps.tolist():
        start, end = known[gap], known[gap + 1]
        filled[start:end] = seconds[start] + (numbers[start:end] - start) * distance
    return filled


def _usual_steps(seconds: SecondsArray) -> SecondsArray:
    """Distances of neighbouring pictures, without gaps."""
    steps = np.diff(seconds)
    forward = steps[steps > 0]
    if len(forward) == 0:
        return steps[:0]
    return steps[steps <= max(_GAP_SECONDS, _GAP_RATIO * float(np.median(forward)))]
