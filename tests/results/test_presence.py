"""Seconds in which any face is in sight."""

from __future__ import annotations

import pytest

from apps.results.lanes import Samples
from apps.results.presence import seconds_with_faces

# Every 0.24 s; each stands for 0.1 s before it and 0.14 s after it.
SAMPLES = Samples.of(6, 25.0, 0.0, 10.0)


@pytest.mark.parametrize(
    ("seen_s", "missed_s", "expected"),
    [
        ([], 0.2, 0.0),
        ([1.2], 0.2, 0.24),
        ([0.0], 0.2, 0.14),  # nothing is before the video
        ([1.2, 1.44, 1.68], 0.2, 0.72),
        ([1.2, 1.68], 0.2, 0.48),
        ([1.2, 1.68], 0.25, 0.72),  # one that was missed
        ([1.2, 4.8], 0.25, 0.48),
        ([9.96], 0.2, 0.14),  # nor after it
    ],
)
def test_each_moment_counts_once(seen_s: list[float], missed_s: float, expected: float) -> None:
    assert seconds_with_faces(seen_s, SAMPLES, missed_s) == pytest.approx(expected)


def test_all_samples_together_are_the_whole_video() -> None:
    every = [0.24 * number for number in range(41)]
    for end_s in (9.74, 9.8):  # what comes after the last one is its own
        samples = Samples.of(6, 25.0, 0.0, end_s)
        assert seconds_with_faces(every, samples, 0.0) == pytest.approx(end_s)
