"""Stretches of time in which somebody is on the screen. Pure, and without NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OnScreen:
    """When the faces of some tracks are on the screen.

    Args:
        stretches: from when to when, seconds; ascending, apart from each other.
        seconds, error_s: together, and the standard error of that.
    """

    stretches: tuple[tuple[float, float], ...]
    seconds: float
    error_s: float

    def figures(self, video_s: float) -> dict[str, Any]:
        """The fields of a `PersonRow` that tell it.

        Args:
            video_s: duration of the video, seconds; where it is not known, 0.
        """
        share = min(1.0, max(0.0, self.seconds / video_s)) if video_s > 0 else 0.0
        return {
            "appearances": [(round(begin, 4), round(end, 4)) for begin, end in self.stretches],
            "screen_seconds": round(self.seconds, 4),
            "screen_error_seconds": round(self.error_s, 4),
            "share": round(share, 5),
        }


def merged(stretches: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Stretches of time that touch or overlap, as one; ascending."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def longest_together(
    one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> float:
    """Seconds of the longest stretch that two have in common; 0 where there is none.

    Args:
        one, other: each ascending, its stretches apart from each other.
    """
    longest, i, j = 0.0, 0, 0
    while i < len(one) and j < len(other):
        longest = max(longest, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return longest
