"""Seconds on the screen against the truth: by hand, and of real runs of the demo episode."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lab.evaluation.rows import Found, Frames, FrameTable, Truth
from lab.evaluation.screen_time import (
    COLUMNS,
    HEAD,
    FrameTimes,
    ScreenScore,
    score_seconds,
    table_rows,
)
from lab.paths import CHECKOUT
from lab.processes.service import run_cli
from tests.support.demo import check_seconds

DEMO = "demo"
BOX = (10.0, 10.0, 50.0, 60.0)
OTHER = (200.0, 10.0, 240.0, 60.0)
Place = tuple[float, float, float, float]


def table(*visits: tuple[int, range, Place]) -> Frames:
    """Frames from (number, frames, box)."""
    result = FrameTable()
    for number, frames, box in visits:
        for frame in frames:
            result.add(frame, number, box, 0.9)
    return result.frames()


def times(durations: list[float]) -> FrameTimes:
    edges = np.concatenate([[0.0], np.cumsum(durations)])
    return FrameTimes(edges[:-1], float(edges[-1]))


def test_true_seconds_are_those_of_the_pictures() -> None:
    """Of a variable rate: pictures of 0.1 s and of 0.3 s."""
    clock = times([0.1] * 10 + [0.3] * 10)
    truth = Truth(table((1, range(5, 15), BOX)), table((-1, range(15, 17), BOX)), (), (), 20)
    found = Found(table((4, range(5, 15), BOX)), tuple(range(20)))
    score = score_seconds("one", truth, found, 1, clock)
    assert score.true_s == pytest.approx(5 * 0.1 + 5 * 0.3)
    assert score.partial_s == pytest.approx(0.6)
    assert score.found_s == pytest.approx(score.true_s)
    assert score.error_s == pytest.approx(0.0, abs=1e-9)
    assert (score.visits, score.sure) == (1, 1)


def test_tracks_that_share_a_face_are_no_whole_visit() -> None:
    truth = Truth(table((1, range(24), BOX), (2, range(24), OTHER)), {}, (), (), 24)
    rows = table((1, range(12), BOX), (2, range(12, 24), BOX), (3, range(12), OTHER))
    score = score_seconds("two", truth, Found(rows, tuple(range(24))), 1, times([1 / 24] * 24))
    assert score.found_s == pytest.approx(1.5)
    assert score.true_s == pytest.approx(2.0)
    assert (score.visits, score.sure) == (1, 0)  # of half the seconds, and sure of it


def test_rows_add_up_and_tell_the_samplings_part() -> None:
    scores = [
        ScreenScore("a", 6, 9.0, 10.0, 0.0, 0.3, 4, 3),
        ScreenScore("a", 1, 10.5, 10.0, 0.0, 0.0, 4, 2),
        ScreenScore("b", 6, 11.0, 10.0, 0.0, 0.4, 0, 0),
        ScreenScore("b", 1, 9.5, 10.0, 0.0, 0.0, 0, 0),
    ]
    one, six = table_rows(scores)
    assert len(one) == len(six) == len(HEAD)
    assert one == ("1", "2", "20.00", "20.00", "+0.0 %", "± 0.0 %", "+0.0 %", "4", "2 (50 %)")
    assert six == ("6", "2", "20.00", "20.00", "+0.0 %", "± 2.5 %", "+0.0 %", "4", "3 (75 %)")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, demo_episode: Path) -> Path:
    folder = tmp_path_factory.mktemp("seconds") / "data"
    shutil.copytree(demo_episode, folder / "videos" / DEMO)
    return folder


def test_the_command_line_explains_its_columns(root: Path) -> None:
    """In its help and below its tables."""
    given = [str(root / "videos" / DEMO), "--strides", "48", "--cache", str(root / "cache")]
    for arguments in (["--help"], given):
        done = subprocess.run(
            [sys.executable, "-m", "lab.evaluation.screen_time", *arguments],
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
            text=True,
            timeout=80,
        )
        for name in COLUMNS:
            assert re.search(rf"^{name}: [`a-z]", done.stdout, re.MULTILINE)


def test_seconds_of_the_demo_episode(root: Path) -> None:
    """Its visits last 50.83 s; from first to last sighting less is left. At stride 6 the tests of
    the demo ask the same of another run.
    """
    options = ("--stride", "12", "--run-id", "s12", "--detector", "centerface")
    done = run_cli(root, "--ep-id", DEMO, *options, "--profile", "balanced")
    assert done.returncode == 0, done.stderr
    check_seconds(root / "videos" / DEMO, root / "manifests" / DEMO / "runs" / "s12")
