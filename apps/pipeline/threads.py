"""One number of threads for the run, divided among its pools, and what really ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import psutil
from threadpoolctl import threadpool_info, threadpool_limits

# Shares of the work, measured on 1080p H.264 and CenterFace.
_SCALING = 0.25  # of decoding: done by one thread, beside those of the codec where it has its own
_DETECTION_IN_STEP = 0.08  # of detection: what more threads do not speed up


@dataclass(frozen=True)
class ThreadPlan:
    """Compute threads of each pool; together they are `cpu_threads`.

    Args:
        decoder: threads of decoding: one that decodes and scales, or one that scales and the rest
            for the codec. With `overlap` they work beside the detector.
        detector: ONNX Runtime's intra-op threads; OpenCV and BLAS get the same number, since they
            work between two inferences.
        overlap: decode in a thread of its own. Without it decoder and detector take turns.
    """

    decoder: int
    detector: int
    overlap: bool

    @property
    def codec_threads(self) -> int:
        return max(1, self.decoder - 1)


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


def usual_plan(cpu_threads: int) -> ThreadPlan:
    """For a run that is too short to be measured: a decoder beside the detector."""
    if cpu_threads == 1:
        return ThreadPlan(decoder=1, detector=1, overlap=False)
    return ThreadPlan(decoder=1, detector=cpu_threads - 1, overlap=True)


def best_plan(cpu_threads: int, costs: Costs) -> ThreadPlan:
    """Divides the threads so that a processed frame takes least time.

    Either decoder and detector work beside each other, and the slower one sets the pace; or, where
    decoding costs next to nothing, they take turns and the detector has all threads.

    Args:
        cpu_threads: >= 1.
    """
    plans = [ThreadPlan(1, cpu_threads, overlap=False)]
    # Two threads for decoding would be one that scales and one for the codec: no faster than one.
    beside = [n for n in range(1, cpu_threads) if n != 2]
    plans += [ThreadPlan(n, cpu_threads - n, overlap=True) for n in beside]
    return min(plans, key=lambda plan: frame_seconds(plan, costs))


def frame_seconds(plan: ThreadPlan, costs: Costs) -> float:
    """What a processed frame is expected to take, seconds."""
    decode = costs.decode
    if plan.decoder > 1:
        decode *= max(_SCALING, (1 - _SCALING) / plan.codec_threads)
    detect = costs.detect / _detection_speed(plan.detector)
    return max(decode, detect) if plan.overlap else decode + detect


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
