"""Shows, or removes, old runs: `screenalytics prune --keep 3`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apps.common.errors import InvalidInput, ScreenalyticsError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Shows which old runs would go; with --yes they go to the trash, where the web "
        "service removes them for good a day later. What is left out comes from "
        "SCREENALYTICS_KEEP_RUNS and SCREENALYTICS_KEEP_DAYS."
    )
    p.add_argument("ep_ids", nargs="*", metavar="EPISODE", help="only of these episodes")
    p.add_argument("--keep", type=int, metavar="N", help="the N newest completed runs stay")
    p.add_argument("--keep-days", type=float, metavar="DAYS", help="younger runs stay")
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
    from pydantic import ValidationError

    from apps.common.names import check_name
    from apps.common.retention_schemas import RetentionPolicy
    from apps.common.settings import Settings
    from apps.objects.open import layout_of
    from apps.runs.retention import prune_run, surplus_runs

    settings = Settings.read(data_root=arguments.data_root)
    keep = settings.keep_runs if arguments.keep is None else arguments.keep
    days = settings.keep_days if arguments.keep_days is None else arguments.keep_days
    try:
        policy = RetentionPolicy(keep=keep, keep_days=days)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']}.", hint="See --help.") from None
    if not policy.is_on:
        raise InvalidInput(
            "Nothing says which runs stay.", hint="Give --keep N, or --keep-days DAYS."
        )
    layout = layout_of(settings, settings.data_root.resolve())
    ep_ids = [check_name(ep_id) for ep_id in arguments.ep_ids] or None
    found = list(surplus_runs(layout, policy, ep_ids))
    for run in found:
        print(f"{run.ep_id}  {run.run_id}  {run.status}  {_size(run.size_bytes)}  {run.why}")
    total = _size(sum(run.size_bytes for run in found))
    if not arguments.yes:
        print(f"{len(found)} runs, {total}. Nothing was removed; --yes moves them to the trash.")
        return 0
    refused: list[ScreenalyticsError] = []
    for run in found:
        try:
            prune_run(layout, run)
        except ScreenalyticsError as error:
            print(f"error: {run.ep_id} {run.run_id} stays: {error.detail}", file=sys.stderr)
            refused.append(error)
    print(f"{len(found) - len(refused)} runs are in the trash.")
    return refused[0].exit_code if refused else 0


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
