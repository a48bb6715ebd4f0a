"""The budget, counted from outside: the arithmetic of windows, and a real run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from apps.common.errors import RunFailed
from lab.benchmark.windows import Watched, watch
from lab.budget_check import (
    RUN_TOLERANCE,
    WINDOW_SECONDS,
    WINDOW_TOLERANCE,
    Row,
    line,
    options,
    row_of,
)
from lab.processes.service import add_episode, cli_command


def watched(*samples: tuple[float, float], output: tuple[str, ...] = ()) -> Watched:
    seconds, cpu_seconds = zip((0.0, 0.0), *samples, strict=True)
    return Watched(seconds, cpu_seconds, output)


@pytest.mark.parametrize(
    ("samples", "lowest", "highest"),
    [
        ([(10, 10)], 100, 100),
        ([(4, 2)], 50, 50),  # shorter than a window: the mean
        ([(3, 3), (10, 3)], 0, 60),  # windows begin and end between looks
        ([(2, 0), (5, 6), (10, 6)], 0, 120),
        ([(4, 0), (9, 10), (12, 10)], 40, 200),
    ],
)
def test_windows(samples: list[tuple[float, float]], lowest: float, highest: float) -> None:
    assert watched(*samples).window_percents(5.0) == pytest.approx((lowest, highest))


@pytest.mark.parametrize(
    ("mean", "highest", "verdict"),
    [
        (100, 104, "held"),
        (94, 104, "held, but below it"),
        (100, 111, "a window is too high"),
        (106, 109, "the run is too high"),
    ],
)
def test_verdicts(mean: float, highest: float, verdict: str) -> None:
    row = Row(100.0, 60.0, 60.0, mean, 90.0, highest, 600, 10.0, 10.0)
    assert row.verdict() == verdict
    assert line(row).endswith(verdict)


def test_throughput_is_over_the_budget_or_over_what_was_used() -> None:
    seen = watched((20, 30), output=("{}", '{"frames_done": 300}'))
    assert row_of(50.0, seen).frames_per_core_second == 30.0
    free = row_of(None, seen)
    assert (free.frames_per_second, free.frames_per_core_second) == (15.0, 10.0)
    assert free.verdict() == ""


def test_the_options_that_a_run_gets() -> None:
    assert options(None, preview=False) == ()
    assert options(50.0, preview=True) == ("--max-cpu-percent", "50", "--save-preview")


def test_children_count_while_they_live_and_after() -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    tree = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    seen = watch([sys.executable, "-c", tree], "python")
    assert 0.6 <= seen.cpu_seconds[-1] < 3
    assert sum(cpu < 0.5 for cpu in seen.cpu_seconds) > 1  # it was seen while it worked


def test_a_failed_command_is_reported_with_its_last_line() -> None:
    with pytest.raises(RunFailed, match="python failed: no luck"):
        watch([sys.executable, "-c", "raise SystemExit('error: no luck')"], "python")


@pytest.mark.alone
@pytest.mark.trap(37)
def test_a_real_run_holds_its_budget_over_every_window(tmp_path: Path, test_data: Path) -> None:
    root = tmp_path / "data"
    add_episode(root, "long", test_data / "videos" / "facenet_video.mp4")
    words = ("--ep-id", "long", "--stride", "1", "--max-cpu-percent", "50", "--events", "ndjson")
    seen = watch(cli_command(root, *words, "--fps", "100", "--device", "cpu"), "episode_run.py")
    assert seen.seconds[-1] > WINDOW_SECONDS
    _, highest = seen.window_percents(WINDOW_SECONDS)
    assert highest <= 50 * (1 + WINDOW_TOLERANCE)
    assert seen.mean_percent <= 50 * (1 + RUN_TOLERANCE)
