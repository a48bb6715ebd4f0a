"""How long a job may take, part by part.

The last limit is the sum of the others, so none of them ends a job that the others allow.
"""

from __future__ import annotations

RUNS = 2  # a run whose process was killed from outside is tried once more
SAY_SECONDS = 600.0  # how long a job that has ended waits for a Redis that is away
_GRACE_SECONDS = 60.0  # for starting and ending processes


def longest_delivery_s(timeout_s: float) -> float:
    """Seconds after which a worker's process that still holds a job is killed: it hangs.

    Args:
        timeout_s: how long a job may wait for its episode, and again how long a run may take.
    """
    return timeout_s + RUNS * timeout_s + SAY_SECONDS + _GRACE_SECONDS
