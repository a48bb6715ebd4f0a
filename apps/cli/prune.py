"""Shows, or removes, old runs and records of the queue: `screenalytics prune --keep 3`."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from apps.common.errors import InvalidInput, ScreenalyticsError

if TYPE_CHECKING:
    from apps.common.layout import Layout
    from apps.common.retention_schemas import QueueRecords, RetentionPolicy, SurplusRun
    from apps.jobs.store import JobStore


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Shows which old runs, and which records of jobs, would go; with --yes the "
        "runs go to the trash, where the web service removes them for good a day later, and jobs "
        "that have ended are forgotten. What is left out comes from "
        "SCREENALYTICS_KEEP_RUNS, SCREENALYTICS_KEEP_DAYS and SCREENALYTICS_KEEP_JOB_DAYS."
    )
    p.add_argument("ep_ids", nargs="*", metavar="EPISODE", help="only runs of these episodes")
    p.add_argument("--keep", type=int, metavar="N", help="the N newest completed runs stay")
    p.add_argument("--keep-days", type=float, metavar="DAYS", help="younger runs stay")
    p.add_argument(
        "--keep-job-days", type=float, metavar="DAYS", help="the queue remembers younger jobs"
    )
    p.add_argument("--yes", action="store_true", help="do it")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of videos and results")
    return p


def main() -> int:
    arguments = parser().parse_args()
    try:
        return _pruned(arguments)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code


def _pruned(arguments: argparse.Namespace) -> int:
    from apps.common.names import check_name
    from apps.common.settings import Settings
    from apps.jobs.retention import old_records, prune_records
    from apps.jobs.store import JobStore
    from apps.objects.open import layout_of
    from apps.runs.retention import surplus_runs

    settings = Settings.read(data_root=arguments.data_root)
    policy = _policy(arguments, settings.keep_runs, settings.keep_days, settings.keep_job_days)
    layout = layout_of(settings, settings.data_root.resolve())
    ep_ids = [check_name(ep_id) for ep_id in arguments.ep_ids] or None
    found = list(surplus_runs(layout, policy, ep_ids))
    for run in found:
        print(f"{run.ep_id}  {run.run_id}  {run.status}  {_size(run.size_bytes)}  {run.why}")
    jobs = JobStore(settings.redis_url, settings.lease_s)
    try:
        if not arguments.yes:
            if ep_ids is None:
                _tell(old_records(jobs, policy.keep_job_days), "The queue would forget")
            total = _size(sum(run.size_bytes for run in found))
            print(
                f"{len(found)} runs, {total}. Nothing was removed; --yes moves them to the trash."
            )
            return 0
        code = _prune_runs(layout, jobs, policy, found)
        if ep_ids is None:
            _tell(prune_records(jobs, policy.keep_job_days), "The queue has forgotten")
        return code
    finally:
        jobs.close()


def _policy(
    arguments: argparse.Namespace, runs: int | None, days: float | None, job_days: float
) -> RetentionPolicy:
    from pydantic import ValidationError

    from apps.common.retention_schemas import RetentionPolicy

    given = arguments.keep_job_days
    try:
        policy = RetentionPolicy(
            keep=runs if arguments.keep is None else arguments.keep,
            keep_days=days if arguments.keep_days is None else arguments.keep_days,
            keep_job_days=job_days if given is None else given,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']}.", hint="See --help.") from None
    if not policy.is_on and given is None:
        raise InvalidInput(
            "Nothing says which runs stay.",
            hint="Give --keep N, or --keep-days DAYS; for the queue alone --keep-job-days DAYS.",
        )
    return policy


def _prune_runs(
    layout: Layout, jobs: JobStore, policy: RetentionPolicy, found: list[SurplusRun]
) -> int:
    """Moves them to the trash, an episode at a time; the exit code."""
    from apps.jobs.moving import moving, waited_for
    from apps.runs.retention import prune_episode

    gone = code = 0
    for ep_id, runs in groupby(found, key=lambda run: run.ep_id):
        try:
            with moving(layout, jobs, ep_id):
                went, stay = prune_episode(layout, ep_id, policy, waited_for(jobs, ep_id))
        except ScreenalyticsError as error:
            code = code or error.exit_code
            for run in runs:
                print(f"error: {ep_id} {run.run_id} stays: {error.detail}", file=sys.stderr)
            continue
        gone += len(went)
        for one in stay:
            code = code or 1
            print(f"error: {ep_id} {one.run_id} stays: {one.why}", file=sys.stderr)
    print(f"{gone} runs are in the trash.")
    return code


def _tell(records: QueueRecords, words: str) -> None:
    if records.problem is not None:
        print(f"The queue's records stay: {records.problem}", file=sys.stderr)
        return
    of_all = "" if records.redis_bytes is None else f", of {_size(records.redis_bytes)} in Redis"
    print(
        f"{words} {records.jobs} jobs, {records.batches} batches and {records.workers} workers: "
        f"{_size(records.size_bytes)}{of_all}."
    )


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
