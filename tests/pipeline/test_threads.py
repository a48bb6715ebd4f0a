from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.pipeline.threads import (
    Costs,
    ThreadPlan,
    best_plan,
    frame_seconds,
    single_thread_seconds,
    usual_plan,
)

seconds = st.floats(1e-4, 1.0)


@pytest.mark.parametrize(
    ("threads", "decode", "detect", "plan"),
    [
        (1, 0.02, 0.02, ThreadPlan(1, 1, overlap=False)),
        (2, 0.02, 0.02, ThreadPlan(1, 1, overlap=True)),
        (2, 0.04, 0.02, ThreadPlan(1, 1, overlap=True)),
        (2, 0.001, 0.027, ThreadPlan(1, 2, overlap=False)),  # decoding costs next to nothing
        (4, 0.02, 0.06, ThreadPlan(1, 3, overlap=True)),
        (4, 0.06, 0.02, ThreadPlan(3, 1, overlap=True)),
        (8, 0.02, 0.02, ThreadPlan(4, 4, overlap=True)),
        (8, 0.001, 0.04, ThreadPlan(1, 7, overlap=True)),
    ],
)
def test_plans(threads: int, decode: float, detect: float, plan: ThreadPlan) -> None:
    assert best_plan(threads, Costs(decode, detect)) == plan


@given(st.integers(1, 64), seconds, seconds)
def test_a_plan_never_uses_more_threads_than_it_has(
    threads: int, decode: float, detect: float
) -> None:
    for plan in (usual_plan(threads), best_plan(threads, Costs(decode, detect))):
        together = plan.decoder + plan.detector if plan.overlap else plan.detector
        assert 1 <= plan.codec_threads <= plan.decoder
        assert plan.detector >= 1
        assert together == threads
        assert plan.overlap == (plan.detector < threads)


@given(st.integers(1, 64), seconds, seconds)
def test_the_best_plan_is_never_worse_than_the_usual_one(
    threads: int, decode: float, detect: float
) -> None:
    costs = Costs(decode, detect)
    best, usual = best_plan(threads, costs), usual_plan(threads)
    assert frame_seconds(best, costs) <= frame_seconds(usual, costs)


def test_seconds_of_one_thread() -> None:
    assert single_thread_seconds(0.02, 1) == pytest.approx(0.02)
    assert 0.03 < single_thread_seconds(0.02, 2) < 0.04
