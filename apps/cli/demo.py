"""`screenalytics demo`: the main job from end to end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Runs detect/track on a demo or on your video.")
    p.add_argument("--video", type=Path, help="your own video instead of the demo episode")
    p.add_argument(
        "--data-root",
        type=Path,
        help="folder of videos and results (default: $SCREENALYTICS_DATA_ROOT, else data/)",
    )
    p.add_argument("--stride", type=int, default=6, help="default: %(default)s")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.demo.demo import run_demo

    return run_demo(arguments.video, arguments.data_root, arguments.stride)


if __name__ == "__main__":
    sys.exit(main())
