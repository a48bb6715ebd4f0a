"""Threads for the meter to count: `python -m tests.pipeline.pacing.busy_threads NAME [NUMBER]`.

It prints how many the meter found. A process of its own, whose main thread has done nothing yet.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable

from apps.common.config import MeterConfig
from apps.common.repeater import Repeater
from apps.pipeline.ordered_parallel_map import ordered_parallel_map
from apps.pipeline.pacing.meter import CpuMeter

CONFIG = MeterConfig(interval_seconds=0.02, peak_window_seconds=1.0)
_BLOCK = bytes(1_000_000)
WORK_S = 0.5  # of CPU: many ticks of the kernel's clock, and a share of what imports cost


def burn(cpu_seconds: float = WORK_S) -> None:
    """As libraries do, without the interpreter's lock: the meter need not wait for its turn."""
    start = time.thread_time()
    while time.thread_time() - start < cpu_seconds:
        hashlib.sha256(_BLOCK)


def in_threads(number: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def an_ordered_parallel_map(threads: int) -> int:
    items = iter(range(5 * threads))
    with (
        CpuMeter(CONFIG) as meter,
        ordered_parallel_map(
            [items], lambda _: burn(0.1), threads=threads, depth=9, name="worker"
        ) as results,
    ):
        assert sum(1 for _ in results) == 5 * threads
        return meter.busy_threads()


def a_library_with_three_threads() -> int:
    with CpuMeter(CONFIG) as meter:
        in_threads(3, burn)
        burn(0.1)
        return meter.busy_threads()


def helpers_that_cost_as_much_as_the_work() -> int:
    helped = threading.Event()

    def help_out() -> None:
        burn()
        helped.set()

    with CpuMeter(CONFIG) as meter, Repeater("progress", 0.01, help_out):
        burn()
        assert helped.wait(60)
        time.sleep(0.1)
        return meter.busy_threads()


def threads_that_follow_each_other() -> int:
    with CpuMeter(CONFIG) as meter:
        for _ in range(3):
            in_threads(1, burn)
            time.sleep(0.1)
        return meter.busy_threads()


WORK: dict[str, Callable[..., int]] = {
    work.__name__: work
    for work in (
        an_ordered_parallel_map,
        a_library_with_three_threads,
        helpers_that_cost_as_much_as_the_work,
        threads_that_follow_each_other,
    )
}

if __name__ == "__main__":
    print(WORK[sys.argv[1]](*map(int, sys.argv[2:])))
