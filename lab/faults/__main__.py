"""Runs every fault many times at random moments and writes docs/reliability.md: `make faults`.

Real processes, a Redis and a worker for each trial, which takes about ten seconds and mostly waits.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import track

from apps.common.files import shown
from lab.faults.catalogue import FAULTS
from lab.faults.evidence import evidence
from lab.faults.report import Tally, report, rows_from, rows_of, run_of
from lab.faults.scenarios import Stack, Trial, shared_stack
from lab.paths import CHECKOUT, SHARED_DATA
from lab.processes.ending import all_ended, deaf

VIDEO = SHARED_DATA / "videos" / "carphone_pristine.mp4"
EVIDENCE = CHECKOUT / "build" / "faults"  # of trials that were not clean


def main() -> int:
    parser = argparse.ArgumentParser(description="Injects faults and counts what became of it.")
    parser.add_argument(
        "--trials", type=int, default=20, help="of each fault (default %(default)s)"
    )
    parser.add_argument("--only", nargs="*", choices=sorted(FAULTS), help="some faults")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--jobs", type=int, default=2, help="trials at a time (default %(default)s)"
    )
    parser.add_argument(
        "--in-turn",
        type=int,
        default=1,
        metavar="N",
        help="so many trials with the same servers, one after the other; new ones stand for those "
        "that died (default %(default)s)",
    )
    parser.add_argument("--video", type=Path, default=VIDEO)
    parser.add_argument(
        "--update", action="store_true", help="keeps the report's rows of faults that are not run"
    )
    parser.add_argument("--report", type=Path, default=CHECKOUT / "docs" / "reliability.md")
    arguments = parser.parse_args()
    names = arguments.only or list(FAULTS)
    before = arguments.report.read_text() if arguments.report.exists() else ""
    kept = rows_of(before) if arguments.update else {}
    # In turn, so that a change of the machine's load meets all faults alike.
    plan = [(name, number) for number in range(arguments.trials) for name in names]
    tallies = {name: Tally() for name in names}
    loads: list[float] = []
    with all_ended() as folder, ProcessPoolExecutor(arguments.jobs, initializer=deaf) as pool:
        turns = [plan[at : at + arguments.in_turn] for at in range(0, len(plan), arguments.in_turn)]
        ended = as_completed(
            pool.submit(attempts, folder, arguments.video, arguments.seed, turn) for turn in turns
        )
        console = Console(stderr=True)
        for done in track(ended, "injecting faults", total=len(turns), console=console):
            for name, trial in done.result():
                tallies[name].add(trial)
            loads.append(os.getloadavg()[0])
            rows = rows_from(tallies, run_of(loads, arguments.seed, arguments.jobs))
            arguments.report.write_text(report({**kept, **rows}, before))
    print(arguments.report.read_text())
    return int(any(t.completed < t.trials for t in tallies.values()))


def attempts(
    root: Path, video: Path, seed: int, turn: Sequence[tuple[str, int]]
) -> list[tuple[str, Trial]]:
    """Trials one after the other, each with an episode of its own, by fault and number.

    Servers live on from one to the next, unless it was not clean.
    """
    found: list[tuple[str, Trial]] = []
    left = deque(turn)
    while left:
        with (
            tempfile.TemporaryDirectory(dir=root, ignore_cleanup_errors=True) as name,
            shared_stack(Path(name), video, quick=False) as of_trial,
        ):
            is_clean = True
            while left and is_clean:
                fault, number = left.popleft()
                trial = attempt(Path(name), fault, seed + number, of_trial)
                is_clean = trial.is_clean
                found.append((fault, trial))
    return found


def attempt(root: Path, name: str, seed: int, of_trial: Callable[[str, int], Stack]) -> Trial:
    """One trial in this folder; what it did not expect counts as lost."""
    since = time.time()
    try:
        stack = of_trial(f"{name}-{seed}", seed)
        trial = FAULTS[name](stack)
        trial.seconds = max(stack.ends, default=0.0)
    except Exception:
        traceback.print_exc()
        trial = Trial(lost=1)
    if not trial.is_clean:
        kept = EVIDENCE / f"{name}-{seed}.txt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{trial}\n{evidence(root, since)}")
        print(f"{name}, seed {seed}: {trial}; see {shown(kept)}", file=sys.stderr)
    return trial


if __name__ == "__main__":
    sys.exit(main())
