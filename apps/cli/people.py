"""Removes what is known of people: `screenalytics people forget --ep-id test-ep`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apps.common.errors import CorrectionsUnreadable, EpisodeBusy, ScreenalyticsError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="People of episodes.")
    commands = p.add_subparsers(dest="command", required=True)
    forget = commands.add_parser(
        "forget",
        help="remove embeddings, people and corrections for good",
        description="Removes embeddings, people and corrections for good, from the trash as well. "
        "Videos, tracks and pictures of faces stay.",
    )
    where = forget.add_mutually_exclusive_group(required=True)
    where.add_argument("--ep-id", help="name of the episode")
    where.add_argument("--everywhere", action="store_true", help="of all episodes")
    forget.add_argument("--name", help="only of whoever is called so")
    forget.add_argument("--data-root", type=Path, help="folder of videos and results")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.common.settings import Settings
    from apps.objects.open import layout_of
    from apps.people.forget import forget_everywhere, forget_people

    name = None if arguments.name is None else arguments.name.strip()
    try:
        settings = Settings.read(data_root=arguments.data_root)
        layout = layout_of(settings, settings.data_root.resolve())
        if arguments.everywhere:
            found = forget_everywhere(layout, name)
        else:
            found = forget_people(layout, arguments.ep_id, name)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    print(f"{found.files} files of {len(found.ep_ids)} episodes are removed, or without them now.")
    ended = 0
    if found.unreadable:
        which = ", ".join(found.unreadable)
        print(
            f"error: the log of corrections cannot be read: {which}. "
            "Use the version that wrote it, or remove all people of it.",
            file=sys.stderr,
        )
        ended = CorrectionsUnreadable.exit_code
    if found.busy:
        print(f"error: a run is on: {', '.join(found.busy)}. Try again then.", file=sys.stderr)
        ended = EpisodeBusy.exit_code
    return ended


if __name__ == "__main__":
    sys.exit(main())
