"""One number of threads for the run, divided among its pools, and what really ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import psutil
from threadpoolctl import threadpool_info, threadpool_limits


@dataclass(frozen=True)
class ThreadPlan:
    """Compute threads of each pool; together they are `cpu_threads`.

    Args:
        decoder: threads of the decoder; with `overlap` they work beside the detector.
        detector: ONNX Runtime's intra-op threads; OpenCV and BLAS get the same number, since they
            work between two inferences.
        overlap: decode in a thread of its own. With one thread everything takes turns.
    """

    decoder: int
    detector: int
    overlap: bool


def plan_threads(cpu_threads: int) -> ThreadPlan:
    """Divides `cpu_threads` >= 1; inference costs more than decoding, so it gets more."""
    if cpu_threads == 1:
        return ThreadPlan(decoder=1, detector=1, overlap=False)
    decoder = max(1, cpu_threads // 4)
    return ThreadPlan(decoder=decoder, detector=cpu_threads - decoder, overlap=True)


@contextmanager
def limited_pools(threads: int) -> Iterator[None]:
    """Bounds the pools that libraries loaded already, for the time of the block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    with threadpool_limits(threads):
        yield
    cv2.setNumThreads(before)


def observed() -> dict[str, Any]:
    """What the process's pools say of themselves."""
    return {
        "opencv": cv2.getNumThreads(),
        "blas": max((pool["num_threads"] for pool in threadpool_info()), default=1),
        "alive": psutil.Process().num_threads(),
    }
