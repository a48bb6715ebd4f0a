"""What came out: speed, fairness, waiting, what was lost or done twice, and what it cost Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from apps.common.batch_schemas import Priority
from apps.jobs.store import JobStore, QueueJob
from lab.scale.ledger import Ledger, Story
from lab.scale.redis_watch import RedisFigures


@dataclass(frozen=True)
class Wait:
    """From asking to the first beginning, seconds."""

    jobs: int
    median: float
    ninety_five_percent: float
    longest: float


@dataclass(frozen=True)
class Figures:
    """Of one simulation.

    Args:
        asked_per_second: jobs of seasons that were submitted, before any worker was there.
        ideal_s: the work of all episodes over the workers; none ever waits.
        own_cpu_percent: of the process that simulates all workers and the API; near 100 it
            measures itself.
        overtakings: seasons' episodes that began while a single one waited; median of these.
        lost: jobs that did not end well.
        ended_twice: jobs whose end was said more than once.
        worked_twice: jobs whose whole work was done more than once.
        at_once: works on an episode beside another one of the same.
        begun_again: tries beyond the first of a job.
    """

    jobs: int
    seconds: float
    asked_per_second: float
    ideal_s: float
    jobs_per_second: float
    own_cpu_percent: float
    single: Wait
    season: Wait
    overtakings: float
    deaths: dict[str, int]
    lost: int
    ended_twice: int
    worked_twice: int
    at_once: int
    begun_again: int
    left_in_redis: dict[str, int]
    redis: RedisFigures

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures_of(
    ledger: Ledger,
    store: JobStore,
    redis: RedisFigures,
    *,
    took_s: float,
    ideal_s: float,
    asked_s: float,
    own_cpu_percent: float,
) -> Figures:
    """What a simulation that is over has yielded."""
    stories = list(ledger.jobs.values())
    records = store.read_all(list(ledger.jobs))
    good = [one for one in records.values() if isinstance(one, QueueJob) and one.state == "success"]
    left = store.queue_figures()
    return Figures(
        jobs=len(stories),
        seconds=round(took_s, 1),
        asked_per_second=round(sum(one.priority == "low" for one in stories) / asked_s, 1),
        ideal_s=round(ideal_s, 1),
        jobs_per_second=round(len(good) / took_s, 2),
        own_cpu_percent=round(own_cpu_percent, 1),
        single=_wait(stories, "normal"),
        season=_wait(stories, "low"),
        overtakings=_overtakings(stories),
        deaths=dict(ledger.deaths),
        lost=len(stories) - len(good),
        ended_twice=ledger.second_endings,
        worked_twice=sum(one.done > 1 for one in stories),
        at_once=ledger.at_once,
        begun_again=sum(max(0, len(one.begun) - 1) for one in stories),
        left_in_redis={"waiting": left.waiting, "running": left.running},
        redis=redis,
    )


def _wait(stories: Sequence[Story], priority: Priority) -> Wait:
    waits = sorted(
        one.begun[0] - one.submitted for one in stories if one.priority == priority and one.begun
    )
    if len(waits) < 2:
        waits = [*waits, *waits] or [0.0, 0.0]
    share = quantiles(waits, n=20, method="inclusive")
    return Wait(len(waits), round(share[9], 3), round(share[18], 3), round(waits[-1], 3))


def _overtakings(stories: Sequence[Story]) -> float:
    """How many episodes of seasons began between a single one's asking and its begin.

    The median of all: of one whose worker died, all others go before.
    """
    begins = sorted(one.begun[0] for one in stories if one.priority == "low" and one.begun)
    singles = [one for one in stories if one.priority == "normal" and one.begun]
    if not singles:
        return 0.0
    return median(sum(one.submitted < at < one.begun[0] for at in begins) for one in singles)
