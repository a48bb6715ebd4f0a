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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track

from apps import __version__
from apps.common.files import shown
from lab.faults.catalogue import FAULTS
from lab.faults.evidence import evidence
from lab.faults.scenarios import Stack, Trial, shared_stack
from lab.paths import CHECKOUT, SHARED_DATA
from lab.processes.ending import all_ended, deaf

VIDEO = SHARED_DATA / "videos" / "carphone_pristine.mp4"
EVIDENCE = CHECKOUT / "build" / "faults"  # of trials that were not clean
HEAD = """# Reliability

Written by `make faults`: each fault is injected into real processes (API, Celery worker, Redis, the
run's own process) at a random moment, and everything that was accepted is followed to its end.

- **completed**: trials after which the work was done, exactly once.
- **lost**: accepted work that neither completed nor told its requester how it ended; also an answer
  other than the promised one.
- **doubled**: completed runs beyond the one that was asked for.
- **orphans**: processes of a run that were alive 2.5 s after it should have ended.
- **end**: the longest time from the end of a client or server (or from a cancel, or a result) until
  no process of its run was there any more, seconds.

| fault | what happens | trials | completed | lost | doubled | orphans | end |
|---|---|---:|---:|---:|---:|---:|---:|
"""


@dataclass
class Tally:
    trials: int = 0
    completed: int = 0
    lost: int = 0
    doubled: int = 0
    orphans: int = 0
    seconds: float = 0.0

    def add(self, trial: Trial) -> None:
        self.trials += 1
        self.completed += int(trial.completed > 0 and trial.is_clean)
        self.lost += trial.lost
        self.doubled += trial.doubled
        self.orphans += trial.orphans
        self.seconds = max(self.seconds, trial.seconds)


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
    parser.add_argument("--report", type=Path, default=CHECKOUT / "docs" / "reliability.md")
    arguments = parser.parse_args()
    names = arguments.only or list(FAULTS)
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
            tried = {name: tally for name, tally in tallies.items() if tally.trials}
            arguments.report.write_text(report(tried, loads, arguments.seed, arguments.jobs))
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


def report(tallies: dict[str, Tally], loads: list[float], seed: int, jobs: int) -> str:
    rows = [
        f"| `{name}` | {sentence(name)} | {t.trials} | {t.completed} | {t.lost} | {t.doubled} | "
        f"{t.orphans} | {t.seconds:.1f} |"
        for name, t in tallies.items()
    ]
    longest = max(t.seconds for t in tallies.values())
    foot = (
        f"\nThe longest of all ends took {longest:.1f} s; the goal is 2 s.\n"
        f"\nVersion {__version__}, {datetime.now(UTC):%Y-%m-%d}, seed {seed}, two cores, "
        f"{jobs} trials at a time, load average {min(loads):.0f} to {max(loads):.0f}. "
        "`python -m lab.faults --help` repeats one fault or one seed.\n"
    )
    return HEAD + "\n".join(rows) + "\n" + foot


def sentence(name: str) -> str:
    text = " ".join((FAULTS[name].__doc__ or "").split())
    return text.rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
