"""`screenalytics compare`, and the process that the web service starts for a comparison."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apps.common.lifeline import Lifeline
from apps.comparison.modes import BASELINE, DEFAULT_MODES

_GRACE_SECONDS = 10.0  # Redis is loaded and a job cancelled in it meanwhile, however busy all is


def main() -> int:
    # Before anything else is imported: from here on it dies with the program that started it.
    has_lifeline = "--lifeline" in sys.argv
    lifeline = Lifeline(reads_line=False, grace_s=_GRACE_SECONDS) if has_lifeline else None
    arguments = parser().parse_args()

    from apps.comparison.compare import run_comparison

    return run_comparison(arguments, lifeline)


def parser() -> argparse.ArgumentParser:
    from apps.common.option_flags import add_flags, add_nice

    p = argparse.ArgumentParser(
        description="Runs one episode by each execution mode and by the bare command line, and "
        "compares time, CPU and memory. The runs stay in the episode's list.",
    )
    p.add_argument("--ep-id", required=True, metavar="ID", help="an episode that has its video")
    p.add_argument("--modes", type=_modes, metavar="M,M", help="some of sse,local,redis")
    p.add_argument("--repeat", type=_positive, default=3, metavar="N", help="rounds, default 3")
    p.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="the server's data root")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder of the report")
    p.add_argument(
        "--skip-missing",
        action="store_true",
        help="leave out a mode that is not there, as without --modes",
    )
    p.add_argument("--events", choices=["ndjson"], help="one JSON event a line")
    p.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    add_nice(p, "of the command line's runs, 0 to 19")
    options = p.add_argument_group("options of the run, as of `screenalytics run`")
    add_flags(options)
    return p


def _modes(value: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [mode for mode in modes if mode not in DEFAULT_MODES]
    if unknown or not modes:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a list of modes; allowed: {','.join(DEFAULT_MODES)} "
            f"({BASELINE} is always there)"
        )
    return modes


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of rounds, 1 or more")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
