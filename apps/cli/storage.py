"""Stores runs that are not in the storage yet: `screenalytics storage`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apps.common.errors import InvalidInput, ScreenalyticsError, StorageUnavailable


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Stores completed runs of this host that are not in SCREENALYTICS_STORAGE yet: "
        "those that could not be stored when they completed, which servers and workers do as well."
    )
    p.add_argument("--all", action="store_true", help="also those from before there was a storage")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of videos and results")
    return p


def main() -> int:
    arguments = parser().parse_args()
    try:
        return _stored(arguments)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code


def _stored(arguments: argparse.Namespace) -> int:
    from apps.common.layout import Layout
    from apps.common.settings import Settings
    from apps.objects.open import mirror_of
    from apps.objects.outbox import due, note_unstored
    from apps.objects.publish import publish

    settings = Settings.read(data_root=arguments.data_root)
    mirror = mirror_of(settings)
    if mirror is None:
        raise InvalidInput("No storage is set.", hint="Set SCREENALYTICS_STORAGE.")
    layout = Layout(settings.data_root.resolve(), remote=mirror)
    if arguments.all:
        note_unstored(layout)
    refused: list[ScreenalyticsError] = []
    for ep_id, run_id in due(layout):
        try:
            is_stored = publish(layout, mirror.store, ep_id, run_id)
        except (StorageUnavailable, OSError) as error:
            print(f"error: {ep_id} {run_id} is not stored: {error}", file=sys.stderr)
            if isinstance(error, StorageUnavailable):
                refused.append(error)
            continue
        print(f"{ep_id}  {run_id}  {'stored' if is_stored else 'passed over'}")
    return refused[0].exit_code if refused else 0


if __name__ == "__main__":
    sys.exit(main())
