"""`screenalytics contact-sheet RUN_FOLDER`: one picture of all tracks of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="One picture of all tracks of a run.")
    p.add_argument("run_folder", type=Path, help="data/manifests/<ep_id>/runs/<run_id>")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.common.files import shown
    from apps.common.layout import RunFiles
    from apps.results.contact_sheet import write

    if not RunFiles(arguments.run_folder).tracks.is_file():
        name = shown(arguments.run_folder)
        print(f"error: {name} is no folder of a completed run (see --help).", file=sys.stderr)
        return 1
    path = write(arguments.run_folder)
    if path is None:
        print("error: the run has no tracks with crops. Run with --save-crops.", file=sys.stderr)
        return 1
    print(shown(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
