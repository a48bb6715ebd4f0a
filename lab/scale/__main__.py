"""Thousands of jobs and workers on one Redis, which is started for it.

`python -m lab.scale --workers 1000 --episodes 10000`: stages of a run are left out, all else is the
product's own code. One line of JSON at the end holds all figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.arguments import positive
from lab.processes.ending import all_ended
from lab.processes.queue import redis_server
from lab.scale.figures import Figures
from lab.scale.simulation import Case, simulate

_REDIS = ("--appendfsync", "everysec", "--save", "")  # as docker-compose.yml has it


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    made.add_argument("--workers", type=positive, default=1000)
    made.add_argument("--episodes", type=positive, default=10_000)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--deaths", type=int, default=50, help="workers that die on the way")
    made.add_argument(
        "--seconds", type=float, default=20.0, help="that a run of a 43-minute episode takes"
    )
    made.add_argument("--lease", type=float, default=30.0, help="as SCREENALYTICS_LEASE_S")
    made.add_argument("--limit", type=float, default=520.0, help="seconds after which it is over")
    made.add_argument("--folder", type=Path, help="for Redis and the data root; empty")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where a job was lost or ended twice, or an episode was worked on at once."""
    given = parser().parse_args(arguments)
    logging.disable(logging.WARNING)
    case = Case(
        workers=given.workers,
        episodes=given.episodes,
        seed=given.seed,
        deaths=given.deaths,
        seconds=given.seconds,
        lease_s=given.lease,
        limit_s=given.limit,
    )
    with (
        all_ended(),
        tempfile.TemporaryDirectory(prefix="scale-", dir=given.folder) as folder,
        redis_server(Path(folder) / "redis", *_REDIS) as broker,
    ):
        found = simulate(case, broker.url, Path(folder) / "data")
    print(_words(found))
    print(json.dumps(found.to_dict()))
    return int(found.lost + found.ended_twice + found.at_once > 0)


def _words(found: Figures) -> str:
    redis, single, season = found.redis, found.single, found.season
    return f"""\
{found.jobs} jobs in {found.seconds} s (at best {found.ideal_s} s): {found.jobs_per_second} a second
asked for before: {found.asked_per_second} jobs a second
single: median {single.median} s, 95 % {single.ninety_five_percent} s, longest {single.longest} s
season: median {season.median} s, 95 % {season.ninety_five_percent} s, longest {season.longest} s
episodes of seasons that began while a single one waited: {found.overtakings} (median)
workers that died: {sum(found.deaths.values())} {found.deaths}
lost {found.lost}, ended twice {found.ended_twice}, worked on at once {found.at_once}, \
done twice {found.worked_twice}, begun again {found.begun_again}
Redis: {redis.commands_per_second} commands a second (most {redis.most_commands_per_second}), \
{redis.cpu_percent} % of a core (most {redis.most_cpu_percent}), {redis.most_memory_mb} MB, \
{redis.most_connections} connections
this process: {found.own_cpu_percent} % of a core"""


if __name__ == "__main__":
    sys.exit(main())
