"""The busiest stretch of a run, from its samples."""

from __future__ import annotations

import time

import psutil
import pytest

from apps.common.process_cpu import PeakWindow, age_seconds


def window(*samples: tuple[float, float]) -> PeakWindow:
    """One of a second's length, that starts at 10 s."""
    made = PeakWindow(1.0, 10.0)
    for now, cpu in samples:
        made.add(now, cpu)
    return made


@pytest.mark.parametrize(
    ("samples", "peak", "current"),
    [
        ([], 0, 0),
        ([(10.5, 0.5)], 0, 100),  # shorter than a stretch: no peak of its own
        ([(11.0, 2.0)], 200, 200),
        ([(11.0, 2.0), (12.0, 2.5)], 200, 50),
        ([(10.5, 0.0), (11.0, 0.5), (11.5, 2.5), (12.0, 2.5)], 250, 200),
        ([(11.0, 2.0), (12.0, 1.0)], 200, 0),  # never negative
    ],
)
def test_peak_and_current(samples: list[tuple[float, float]], peak: float, current: float) -> None:
    made = window(*samples)
    assert made.peak_percent == pytest.approx(peak)
    assert made.current_percent() == pytest.approx(current)


@pytest.mark.slow
def test_age_of_another_process() -> None:
    with psutil.Popen(["sleep", "30"]) as process:
        time.sleep(0.3)
        assert 0.25 < age_seconds(psutil.Process(process.pid)) < 2
        process.kill()
