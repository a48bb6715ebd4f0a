"""`screenalytics contact-sheet --ep-id NAME`: one picture of all tracks of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apps.common.errors import ScreenalyticsError
from apps.common.names import LATEST


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="One picture of all tracks of a run.")
    p.add_argument(
        "run_folder", type=Path, nargs="?", help="data/manifests/<ep_id>/runs/<run_id>, or:"
    )
    p.add_argument("--ep-id", help="name of the episode")
    p.add_argument("--run", default=LATEST, help="name of the run (default: %(default)s)")
    p.add_argument("--data-root", type=Path, help="folder of videos and results")
    return p


def main() -> int:
    p = parser()
    arguments = p.parse_args()
    if (arguments.run_folder is None) == (arguments.ep_id is None):
        p.error("name a run's folder, or an episode with --ep-id")

    from apps.common.files import shown
    from apps.common.layout import RunFiles
    from apps.results.contact_sheet import write

    try:
        folder = arguments.run_folder or _folder(arguments)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    if not RunFiles(folder).tracks.is_file():
        print(
            f"error: {shown(folder)} is no folder of a completed run (see --help).",
            file=sys.stderr,
        )
        return 1
    path = write(folder)
    if path is None:
        print("error: the run has no tracks with crops. Run with --save-crops.", file=sys.stderr)
        return 1
    print(shown(path))
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    """Of the run that is asked for.

    Raises:
        RunNotFound: there is none that has completed.
    """
    from apps.common.names import check_name
    from apps.objects.open import layout_at
    from apps.runs.store import read_completed

    layout = layout_at(arguments.data_root)
    run = read_completed(layout, check_name(arguments.ep_id), arguments.run)
    return layout.run(run.ep_id, run.run_id).folder


if __name__ == "__main__":
    sys.exit(main())
