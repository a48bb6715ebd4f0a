"""Threads are counted by what they do at once: real threads, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment


@pytest.mark.parametrize(
    ("work", "found"),
    [
        ("an_ordered_parallel_map 1", 1),
        ("an_ordered_parallel_map 2", 2),
        ("a_library_with_three_threads", 4),
        # As on a machine where others take the CPU, or with a budget of a few percent.
        ("helpers_that_cost_as_much_as_the_work", 1),
        # As those of a decoder that is opened again; the main thread has loaded this before.
        ("threads_that_follow_each_other", 2),
    ],
)
def test_busy_threads(work: str, found: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.pacing.busy_threads", *work.split()],
        cwd=CHECKOUT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{found}\n"), done.stderr
