"""All of it together: asks for the mix, lets workers die, and looks until every job has ended."""

from __future__ import annotations

import random
import resource
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from apps.api.active_runs import WaitingJobs
from apps.common.batch_schemas import BatchRequest
from apps.common.repeater import Repeater
from apps.common.settings import Settings
from apps.jobs.batches import BatchEntry, BatchStore
from apps.jobs.queue import Publisher, make_celery
from apps.jobs.reconcile import reconcile, turn_seconds
from apps.jobs.store import JobStore
from apps.jobs.submit import new_job_id, submit
from apps.runs.record import now
from lab.scale.figures import Figures, figures_of
from lab.scale.ledger import Ledger
from lab.scale.mix import USUAL_MINUTES, Mix, Wanted, season_mix
from lab.scale.mortal import Moment
from lab.scale.redis_watch import RedisWatch
from lab.scale.work import Specs
from lab.scale.worker import SimulatedWorker, facts_of

_MOMENTS: tuple[Moment, ...] = get_args(Moment)
_MOMENT_SHARES = (70, 15, 15)
_ANNOUNCERS = 8  # threads that say for all workers that they live
_SAY_SECONDS = 2.0  # as `apps.worker.celery_app`
_FORGOTTEN_AFTER_SECONDS = 60.0  # not 8: a thousand threads keep each other waiting
_LOOK_SECONDS = 1.0
_TIMEOUT_S = 3600.0
# How long a thread that is ready leaves another one alone: at the usual 5 ms a thousand that wait
# wake two hundred thousand times a second, and do nothing else.
_SWITCH_SECONDS = 0.5
_STACK_BYTES = 512 * 1024  # of each thread


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Args:
        deaths: workers that die, at random moments; another one takes the place of each.
        seconds: that a run of a 43-minute episode takes; others as they are long.
        lease_s: as SCREENALYTICS_LEASE_S.
        limit_s: after which it is over, whatever is left.
    """

    workers: int
    episodes: int
    seed: int = 1
    deaths: int = 0
    seconds: float = 20.0
    lease_s: float = 30.0
    limit_s: float = 520.0


def simulate(case: Case, redis_url: str, data_root: Path) -> Figures:
    """Runs it to its end; workers are gone then."""
    return _Simulation(case, redis_url, data_root).run()


class _Simulation:
    def __init__(self, case: Case, redis_url: str, data_root: Path) -> None:
        self._case = case
        self._settings = Settings(redis_url=redis_url, data_root=data_root, lease_s=case.lease_s)
        self._store = JobStore(redis_url, case.lease_s)
        self._publisher = Publisher(self._settings)
        self._app = make_celery(self._settings)
        self._specs = Specs(data_root)
        self._mix: Mix = season_mix(case.episodes, case.seed)
        self._seconds = {
            one.ep_id: case.seconds * one.minutes / USUAL_MINUTES for one in self._mix.episodes
        }
        self._ledger = Ledger()
        self._chance = random.Random(case.seed)
        self._begin = threading.Event()
        self._ended = threading.Event()
        self._workers: list[SimulatedWorker] = []
        self._hired = 0

    @property
    def _ideal_s(self) -> float:
        """How long it would take where no worker ever waited."""
        return sum(self._seconds.values()) / self._case.workers

    def run(self) -> Figures:
        switching = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        threading.stack_size(_STACK_BYTES)
        with ExitStack() as stack:
            stack.callback(sys.setswitchinterval, switching)
            stack.callback(threading.stack_size, 0)
            stack.callback(self._store.close)
            asked_s = self._ask_for_seasons()
            stack.callback(self._end_workers)
            for _ in range(self._case.workers):
                self._hire()
                self._workers[-1].listens.wait()
            looks = [
                *(
                    Repeater(f"workers-{place}", _SAY_SECONDS, partial(self._announce, place))
                    for place in range(_ANNOUNCERS)
                ),
                Repeater("reconcilers", turn_seconds(self._store), self._reconcile),
                Repeater("api", _LOOK_SECONDS, _Shown(self._store)),
            ]
            for place in range(_ANNOUNCERS):
                self._announce(place)
            for look in looks:
                stack.enter_context(look)
            watch, used, started = RedisWatch(self._store.redis), _cpu_s(), time.monotonic()
            asking = threading.Thread(target=self._ask_for_singles, daemon=True)
            asking.start()
            self._begin.set()
            self._look_until_all_have_ended(watch, started, asking)
            took_s = time.monotonic() - started
            return figures_of(
                self._ledger,
                self._store,
                watch.figures(),
                took_s=took_s,
                ideal_s=self._ideal_s,
                asked_s=asked_s,
                own_cpu_percent=100 * (_cpu_s() - used) / took_s,
            )

    def _hire(self) -> None:
        self._hired += 1
        worker = SimulatedWorker(
            f"worker-{self._hired:05}",
            self._app,
            self._settings,
            self._ledger,
            self._seconds,
            self._begin,
            self._ended,
        )
        self._workers.append(worker)
        worker.start()

    def _end_workers(self) -> None:
        self._ended.set()
        for worker in self._workers:
            worker.join()

    def _look_until_all_have_ended(
        self, watch: RedisWatch, started: float, asking: threading.Thread
    ) -> None:
        due = sorted(
            self._chance.uniform(0.05, 0.8) * self._ideal_s for _ in range(self._case.deaths)
        )
        while (elapsed := time.monotonic() - started) < self._case.limit_s:
            while due and due[0] <= elapsed:
                due.pop(0)
                self._doom_one()
            self._replace_the_dead()
            watch.look()
            if not asking.is_alive() and self._ledger.count_ended() == self._case.episodes:
                return
            time.sleep(_LOOK_SECONDS / 2)

    def _doom_one(self) -> None:
        living = [worker for worker in self._workers if not worker.mortal.is_dead]
        [moment] = self._chance.choices(_MOMENTS, _MOMENT_SHARES)
        self._chance.choice(living).mortal.doom(moment)

    def _replace_the_dead(self) -> None:
        for worker in [one for one in self._workers if not one.is_alive()]:
            worker.join()
            self._workers.remove(worker)
            self._hire()

    def _ask_for_seasons(self) -> float:
        """As the API does, batch after batch. Returns how many seconds that took.

        Workers begin when all is there: in one process with a thousand of them, asking takes
        longer than all of their work.
        """
        started, batches = time.monotonic(), BatchStore(self._store)
        self._store.announce(facts_of("first"), _TIMEOUT_S)
        for number, season in enumerate(self._mix.seasons):
            batch_id = f"batch-{number:08}"
            names = [one.ep_id for one in season]
            batches.create(batch_id, now(), BatchRequest(episodes=names), names)
            for one in season:
                job_id = self._ask_for(one, batch_id)
                batches.note(batch_id, {one.ep_id: BatchEntry(job_id=job_id)})
            batches.queued(batch_id)
        self._store.sign_off("first")
        return time.monotonic() - started

    def _ask_for_singles(self) -> None:
        """At random moments, which are early enough to meet seasons that wait."""
        started = time.monotonic()
        for one in self._mix.singles:
            wait_s = started + 0.8 * one.at_share * self._ideal_s - time.monotonic()
            time.sleep(max(0.0, wait_s))
            self._ask_for(one, None)

    def _ask_for(self, one: Wanted, batch_id: str | None) -> str:
        job_id, spec = new_job_id(), self._specs.of(one.ep_id)
        self._ledger.submitted(job_id, one.priority)
        submit(spec, _TIMEOUT_S, self._store, self._publisher, one.priority, job_id, batch_id)
        return job_id

    def _announce(self, place: int) -> None:
        for worker in self._workers[place::_ANNOUNCERS]:
            if not worker.mortal.is_dead:
                self._store.announce(facts_of(worker.name), _FORGOTTEN_AFTER_SECONDS)

    def _reconcile(self) -> None:
        """Every worker tries, and one of them looks."""
        for _ in list(self._workers):
            reconcile(self._store, self._publisher)


class _Shown:
    """What an API asks while somebody has its page open."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waiting = WaitingJobs(store)
        self._looks = 0

    def __call__(self) -> None:
        self._waiting.look()
        if self._looks % 3 == 0:
            self._store.workers()
        self._looks += 1


def _cpu_s() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
