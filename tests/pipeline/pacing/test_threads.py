from __future__ import annotations

from dataclasses import replace

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.pipeline.pacing.threads import (
    Costs,
    ThreadPlan,
    best_plan,
    frame_seconds,
    limited_pools,
    plans,
    single_thread_seconds,
    usual_plan,
    with_decoders,
)

seconds = st.floats(1e-4, 1.0)


@pytest.mark.parametrize(
    ("threads", "decode", "detect", "plan"),
    [
        (1, 0.02, 0.02, ThreadPlan(1, 1, 1)),
        (2, 0.02, 0.02, ThreadPlan(2, 1, 1)),
        (2, 0.001, 0.027, ThreadPlan(2, 1, 1)),
        (2, 0.08, 0.02, ThreadPlan(2, 1, 1)),
        (4, 0.02, 0.06, ThreadPlan(4, 1, 1)),
        (4, 0.06, 0.02, ThreadPlan(2, 2, 1)),  # decoding sets the pace, so the codec gets threads
        (8, 0.02, 0.03, ThreadPlan(5, 3, 1)),
    ],
)
def test_plans(threads: int, decode: float, detect: float, plan: ThreadPlan) -> None:
    assert best_plan(threads, Costs(decode, detect)) == plan


@pytest.mark.parametrize(
    ("threads", "decode", "detect", "plan"),
    [
        (1, 0.02, 0.02, ThreadPlan(1, 1, 1)),
        (2, 0.02, 0.02, ThreadPlan(2, 1, 1)),  # one decodes while the other detects
        (2, 0.001, 0.027, ThreadPlan(1, 1, 2)),  # decoding costs next to nothing: take turns
        (4, 0.02, 0.06, ThreadPlan(2, 1, 3)),
        (4, 0.08, 0.01, ThreadPlan(2, 2, 1)),
    ],
)
def test_plans_where_inferences_take_turns(
    threads: int, decode: float, detect: float, plan: ThreadPlan
) -> None:
    assert best_plan(threads, Costs(decode, detect), one_inference=True) == plan


@pytest.mark.parametrize(
    ("plan", "decode", "detect", "one_inference", "decoders"),
    [
        (ThreadPlan(2, 1, 1), 0.020, 0.005, False, 2),
        (ThreadPlan(2, 1, 1), 0.020, 0.009, False, 2),
        (ThreadPlan(2, 1, 1), 0.020, 0.019, False, 1),  # one decodes while the other detects
        (ThreadPlan(2, 1, 1), 0.020, 0.016, False, 1),  # it would gain too little
        (ThreadPlan(4, 1, 1), 0.020, 0.030, False, 2),
        (ThreadPlan(1, 1, 1), 0.020, 0.001, False, 1),
        (ThreadPlan(2, 2, 1), 0.060, 0.020, False, 1),  # the codec has threads
        (ThreadPlan(2, 1, 1), 0.020, 0.002, True, 2),
        (ThreadPlan(2, 1, 1), 0.002, 0.020, True, 1),
    ],
)
def test_a_second_decoder(
    plan: ThreadPlan, decode: float, detect: float, one_inference: bool, decoders: int
) -> None:
    found = with_decoders(plan, Costs(decode, detect), one_inference=one_inference)
    assert found == replace(plan, decoders=decoders)


@given(st.integers(1, 32), seconds, seconds, st.booleans())
def test_a_plan_never_uses_more_threads_than_it_has(
    threads: int, decode: float, detect: float, one_inference: bool
) -> None:
    usual = usual_plan(threads, one_inference=one_inference)
    best = best_plan(threads, Costs(decode, detect), one_inference=one_inference)
    for plan in (usual, best):
        of_the_codec = 0 if plan.decoder == 1 else plan.decoder
        if one_inference and plan.workers > 1:  # one detects, the others decode and scale
            working = plan.detector + plan.workers - 1
        else:
            working = plan.workers * plan.detector
        assert 1 <= working + of_the_codec <= threads


@given(st.integers(1, 32), seconds, seconds, st.booleans())
def test_the_best_plan_is_never_worse_than_another(
    threads: int, decode: float, detect: float, one_inference: bool
) -> None:
    costs = Costs(decode, detect)
    best = best_plan(threads, costs, one_inference=one_inference)
    usual = usual_plan(threads, one_inference=one_inference)
    all_of_them = plans(threads, one_inference=one_inference)
    assert best in all_of_them
    for plan in (usual, *all_of_them):
        took = frame_seconds(plan, costs, one_inference=one_inference)
        assert frame_seconds(best, costs, one_inference=one_inference) <= took


def test_seconds_of_one_thread() -> None:
    assert single_thread_seconds(0.02, 1) == pytest.approx(0.02)
    assert 0.03 < single_thread_seconds(0.02, 2) < 0.04


def test_pools_have_their_threads_back_when_the_block_fails() -> None:
    before = cv2.getNumThreads()

    def fail() -> None:
        with limited_pools(before + 1):
            assert cv2.getNumThreads() == before + 1
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert cv2.getNumThreads() == before
