"""The CPU budget, with a clock that the test turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import BudgetConfig
from apps.pipeline.pacing.budget import CpuBudget
from lab.benchmark.windows import Watched

CONFIG = BudgetConfig(
    burst_seconds=0.1, window_seconds=5.0, window_excess=0.07, max_sleep_seconds=0.25
)
PROMISED_EXCESS = 0.10  # over any window
TICK = 50e-6  # seconds; no system sleeps for less, whatever it is asked for


@dataclass
class Run:
    """A process that works and sleeps on a clock of its own."""

    percent: float | None
    cpu: float = 0.0
    now: float = 0.0
    naps: list[float] = field(default_factory=list)
    samples: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    busy_while_asleep: float = 0.0  # cores that other threads use during a nap

    def __post_init__(self) -> None:
        self.budget = CpuBudget(
            self.percent, lambda: self.cpu, lambda: self.now, self.sleep, CONFIG
        )

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += max(seconds, TICK)
        self.cpu += self.busy_while_asleep * seconds

    def work(self, cpu: float, wall: float) -> None:
        """A frame."""
        self.cpu += cpu
        self.now += wall
        self.sample()
        self.budget.pace()
        self.sample()

    def load(self, cpu: float, wall: float) -> None:
        """Something that is no frame."""
        self.cpu += cpu
        self.now += wall
        self.sample()
        self.budget.settle()
        self.sample()

    def sample(self) -> None:
        self.samples.append((self.now, self.cpu))

    @property
    def mean_percent(self) -> float:
        return 100 * self.cpu / self.now

    def highest_percent(self) -> float:
        """Of all windows, as `lab/budget_check.py` sees them from outside."""
        seconds, cpu_seconds = zip(*self.samples, strict=True)
        return Watched(seconds, cpu_seconds, ()).window_percents(CONFIG.window_seconds)[1]


steps = st.lists(
    st.tuples(st.floats(0, 0.5, width=32), st.floats(0.0009765625, 0.5, width=32)),
    min_size=1,
    max_size=60,
)


@given(steps, st.sampled_from([25, 100, 200, 250, 800]))
@settings(deadline=None)
def test_over_any_stretch_the_mean_is_within_the_budget(
    work: list[tuple[float, float]], percent: int
) -> None:
    run = Run(percent)
    marks = [(0.0, 0.0)]
    for cpu, wall in work:
        run.work(cpu, wall)
        marks.append((run.now, run.cpu))
    # After each pause, and counted from any earlier pause, no more than the burst is ahead.
    for i, (start, before) in enumerate(marks):
        for end, after in marks[i:]:
            assert after - before <= percent / 100 * (end - start + CONFIG.burst_seconds) + 1e-6


def test_a_run_within_its_budget_never_sleeps() -> None:
    run = Run(200)
    for _ in range(100):
        run.work(cpu=0.19, wall=0.1)
    assert run.naps == []


def test_a_hot_run_is_slowed_to_its_budget_and_no_further() -> None:
    run = Run(100)
    for _ in range(100):
        run.work(cpu=0.2, wall=0.1)
    assert run.cpu == pytest.approx(20)
    assert 100 * run.cpu / run.now == pytest.approx(100, abs=1)


def test_idle_time_gives_no_credit() -> None:
    run = Run(100)
    run.work(cpu=0.0, wall=60.0)  # a minute of waiting for the disk
    start, before = run.now, run.cpu
    for _ in range(20):
        run.work(cpu=0.4, wall=0.1)
    assert run.cpu - before <= run.now - start + CONFIG.burst_seconds + 1e-9


def test_what_the_start_up_overspent_is_paid_back() -> None:
    run = Run(100)
    run.load(cpu=5.0, wall=2.0)  # loading of a model on several cores
    assert sum(run.naps) == pytest.approx(3.0 - CONFIG.burst_seconds)
    assert run.now >= run.cpu - CONFIG.burst_seconds


def test_at_the_end_nothing_is_ahead() -> None:
    run = Run(100)
    for _ in range(10):
        run.work(cpu=0.2, wall=0.1)
    assert run.cpu > run.now
    run.budget.settle(fully=True)
    assert run.cpu == pytest.approx(run.now, abs=1e-3)


def test_long_pauses_are_paid_in_short_naps() -> None:
    run = Run(50)
    run.work(cpu=2.0, wall=0.5)
    assert len(run.naps) > 10
    assert max(run.naps) <= CONFIG.max_sleep_seconds


def test_none_never_sleeps() -> None:
    run = Run(None)
    for _ in range(10):
        run.work(cpu=100.0, wall=0.1)
    assert run.naps == []
    assert run.budget.slept_seconds == 0


def test_a_stop_ends_the_waiting() -> None:
    run = Run(10)
    run.cpu, run.now = 100.0, 1.0
    asked = []

    def keep_waiting() -> bool:
        asked.append(run.now)
        return len(asked) <= 3

    run.budget.pace(keep_waiting)
    assert len(run.naps) == 3
    run.naps.clear()
    run.budget.pace(lambda: False)
    assert run.naps == []


def test_work_that_other_threads_do_during_a_pause_counts() -> None:
    run = Run(100, busy_while_asleep=0.5)
    run.work(cpu=2.0, wall=0.5)
    assert run.cpu > 3.0  # 1.4 s of debt needs twice that time
    assert run.cpu <= run.now + CONFIG.burst_seconds + 1e-9


def test_a_nap_that_is_cut_short_is_taken_again() -> None:
    run = Run(100)
    lengths: list[float] = []

    def restless(seconds: float) -> None:
        lengths.append(seconds)
        run.now += max(seconds / 2, TICK)

    run.budget.sleep = restless
    run.work(cpu=1.0, wall=0.5)
    assert run.cpu <= run.now + CONFIG.burst_seconds + 1e-6
    assert sum(lengths) > 0.4


@pytest.mark.parametrize("percent", [50, 100, 150])
@pytest.mark.parametrize("frame", [0.01, 0.05, 0.1, 0.2])
def test_windows_and_the_run_hold_from_the_start(percent: int, frame: float) -> None:
    """Two cores; loading has used more than the budget gave."""
    run = Run(percent)
    run.load(cpu=2.0, wall=1.5)
    while run.now < 40:
        run.work(cpu=frame, wall=frame / 2)
    assert run.highest_percent() <= (1 + PROMISED_EXCESS) * percent
    assert run.mean_percent == pytest.approx(percent, rel=0.05)


frames = st.lists(st.floats(0.0078125, 0.25, width=32), min_size=30, max_size=120)


@given(frames, st.sampled_from([50, 100, 150]), st.floats(1, 2))
@settings(deadline=None, max_examples=50)
def test_no_window_is_far_above_the_budget(costs: list[float], percent: int, cores: float) -> None:
    """Frames that cost more than all before may come in a lump; one of them is not foreseen."""
    run = Run(percent)
    while run.now < 2 * CONFIG.window_seconds:
        for cpu in costs:
            run.work(cpu, cpu / cores)
    max_cpu_s = (1 + CONFIG.window_excess) * percent / 100 * CONFIG.window_seconds + max(costs)
    assert run.highest_percent() <= 100 * max_cpu_s / CONFIG.window_seconds + 1e-6


@pytest.mark.parametrize(("percent", "frame"), [(50, 0.5), (50, 0.3), (100, 1.0), (150, 1.5)])
def test_costly_frames_wait_until_they_fit_into_a_window(percent: int, frame: float) -> None:
    run = Run(percent)
    while run.now < 60:
        run.work(cpu=frame, wall=frame / 1.8)
    assert run.highest_percent() <= (1 + PROMISED_EXCESS) * percent
    assert run.mean_percent == pytest.approx(percent, rel=0.05)


def test_a_frame_that_costs_more_than_a_window_comes_alone() -> None:
    run = Run(20)
    for _ in range(5):
        run.work(cpu=2.0, wall=1.0)
    gaps = [after - before for (before, _), (after, _) in pairwise(run.samples) if after > before]
    assert max(gaps) < 2.0 / 0.2 + 1  # it goes on all the same
    assert run.mean_percent == pytest.approx(20, rel=0.05)


def test_a_rest_ends_though_helpers_go_on_working() -> None:
    """The meter and the reporter use a little CPU all the time, also while frames rest."""
    run = Run(20, busy_while_asleep=0.02)
    plain_sleep = run.budget.sleep

    def bounded_sleep(seconds: float) -> None:
        plain_sleep(seconds)
        assert run.now < 200, "it rests for ever"

    run.budget.sleep = bounded_sleep
    for _ in range(5):
        run.work(cpu=2.0, wall=1.0)
    assert run.mean_percent == pytest.approx(20, rel=0.1)


def test_the_budget_may_change_on_the_way() -> None:
    run = Run(200)
    while run.now < 20:
        run.work(cpu=0.1, wall=0.05)
    run.budget.max_cpu_percent = 175
    start, before = run.now, run.cpu
    while run.now < 60:
        run.work(cpu=0.1, wall=0.05)
    assert 100 * (run.cpu - before) / (run.now - start) == pytest.approx(175, rel=0.02)


def test_loading_is_not_taken_for_a_frame() -> None:
    """Else the first frame would wait until a window is free for another loading."""
    run = Run(100)
    run.load(cpu=3.0, wall=3.0)
    run.work(cpu=0.05, wall=0.05)
    assert run.now < 3.2
