"""One number of threads for the run, divided among its pools, and what really ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import psutil
from threadpoolctl import threadpool_info, threadpool_limits

# Shares of the work, measured on 1080p H.264 and CenterFace.
_SCALING = 0.06  # of decoding: done beside the decoder of the next frame
_DETECTION_IN_STEP = 0.08  # of detection: what more threads do not speed up
_USUAL_WORKERS = 4  # each keeps a network's intermediate results
_WORTH_A_DECODER = 1.1  # times as fast; it takes 100 MB at 1080p


@dataclass(frozen=True)
class ThreadPlan:
    """Compute threads of each pool; together they never are more than `cpu_threads`.

    Args:
        workers: threads that take the next frame from the decoder, one at a time, and work on it
            beside each other.
        decoder: threads of the codec; 1 is the worker that asks for the frame, more are its own.
        detector: intra-op threads of each inference; OpenCV gets the same number.
        decoders: that take turns, where the video allows it: as many workers then decode at once.
    """

    workers: int
    decoder: int
    detector: int
    decoders: int = 1


@dataclass(frozen=True)
class Costs:
    """What the first frames cost, seconds of one thread for each processed frame."""

    decode: float
    detect: float

    def milliseconds(self) -> dict[str, float]:
        """For the run's report."""
        return {
            "decode_ms": round(1000 * self.decode, 2),
            "detect_ms": round(1000 * self.detect, 2),
        }


def plans(cpu_threads: int, *, one_inference: bool) -> list[ThreadPlan]:
    """All that are within a number of threads.

    Args:
        cpu_threads: >= 1.
        one_inference: inferences take turns, as on an accelerator; else workers do them beside
            each other.
    """
    found = [ThreadPlan(1, 1, cpu_threads)]
    for decoder in range(1, cpu_threads):
        left = cpu_threads if decoder == 1 else cpu_threads - decoder
        if one_inference:
            found += [ThreadPlan(2, decoder, left - 1)] if left > 1 else []
        else:
            found += [ThreadPlan(n, decoder, left // n) for n in range(2, left + 1)]
    return found


def usual_plan(cpu_threads: int, *, one_inference: bool = False) -> ThreadPlan:
    """For a run that is too short to be measured.

    Args:
        cpu_threads, one_inference: as in `plans`.
    """
    if cpu_threads == 1 or one_inference:
        return ThreadPlan(min(2, cpu_threads), 1, max(1, cpu_threads - 1))
    workers = min(cpu_threads, _USUAL_WORKERS)
    return ThreadPlan(workers, 1, cpu_threads // workers)


def best_plan(cpu_threads: int, costs: Costs, *, one_inference: bool = False) -> ThreadPlan:
    """Divides the threads so that a processed frame takes least time, with few of them.

    Args:
        cpu_threads, one_inference: as in `plans`.
    """
    return min(
        plans(cpu_threads, one_inference=one_inference),
        key=lambda plan: (
            frame_seconds(plan, costs, one_inference=one_inference),
            plan.detector,
            plan.workers,
            plan.decoder,
        ),
    )


def with_decoders(plan: ThreadPlan, costs: Costs, *, one_inference: bool = False) -> ThreadPlan:
    """The plan with a second decoder, where workers would wait for the one.

    Args:
        one_inference: as in `plans`.
    """
    if plan.workers == 1 or plan.decoder > 1:
        return plan
    more = replace(plan, decoders=2)
    before, then = (frame_seconds(p, costs, one_inference=one_inference) for p in (plan, more))
    return more if before >= _WORTH_A_DECODER * then else plan


def frame_seconds(plan: ThreadPlan, costs: Costs, *, one_inference: bool = False) -> float:
    """What a processed frame is expected to take, seconds: the narrowest of what it passes."""
    decode = (1 - _SCALING) * costs.decode / plan.decoder
    detect = costs.detect / _detection_speed(plan.detector)
    together = (decode + _SCALING * costs.decode + detect) / plan.workers
    return max(decode / plan.decoders, together, detect if one_inference else 0.0)


def single_thread_seconds(seconds: float, threads: int) -> float:
    """Of an inference that took `seconds` with so many threads."""
    return seconds * _detection_speed(threads)


def _detection_speed(threads: int) -> float:
    """How much faster than one thread (Amdahl, 1967)."""
    return 1 / (_DETECTION_IN_STEP + (1 - _DETECTION_IN_STEP) / threads)


@contextmanager
def limited_pools(threads: int) -> Iterator[None]:
    """Bounds the pools that libraries loaded already, for the time of the block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        with threadpool_limits({"openmp": threads, "blas": 1}):
            yield
    finally:
        cv2.setNumThreads(before)


def observed() -> dict[str, Any]:
    """What the process's pools say of themselves."""
    return {
        "opencv": cv2.getNumThreads(),
        "blas": max((pool["num_threads"] for pool in threadpool_info()), default=1),
        "alive": psutil.Process().num_threads(),
    }
