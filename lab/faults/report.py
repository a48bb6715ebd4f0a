"""docs/reliability.md: a row for each fault, and when it was run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from apps import __version__
from apps.common.version import git_sha
from lab.faults.catalogue import FAULTS
from lab.faults.scenarios import Trial

_HEAD = """# Reliability

Written by `make faults`: each fault is injected into real processes (API, Celery worker, Redis, the
run's own process) at a random moment, and everything that was accepted is followed to its end.
`python -m lab.faults --update --only NAME …` runs some, and replaces their rows alone.

- **completed**: trials after which the work was done, exactly once.
- **lost**: accepted work that neither completed nor told its requester how it ended; also an answer
  other than the promised one.
- **doubled**: completed runs beyond the one that was asked for; in a storage, records beyond one.
- **orphans**: processes of a run that were alive 2.5 s after it should have ended, parts of a run
  that has ended, objects in a storage that no record names.
- **end**: the longest time from the end of a client or server (or from a cancel, or a result) until
  no process of its run was there any more, seconds.
- **run**: when, with which version and seed; see below the table.

A storage that goes away does so by connections that are reset, requests that hang, answers that are
lost or 503, at random; for 8 to 12 seconds, and for 30 in one trial of five. After each of these
trials the bucket itself is looked at: one record, all of its files with the right SHA-256, and
nothing that a host still has to store. Several of them, one after the other, have the same servers
where the fault leaves them alive (`--in-turn`).

| fault | what happens | trials | completed | lost | doubled | orphans | end | run |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""
_ROW = re.compile(r"^\| `(\w+)` (\|.*\| ([0-9.]+)) \| (\d+) \|$", re.M)
_RUN = re.compile(r"^(\d+)\. (.*)$", re.M)


@dataclass
class Tally:
    """Of the trials of one fault."""

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


@dataclass(frozen=True)
class Row:
    """Of one fault.

    Args:
        cells: from what happens to the seconds.
        seconds: of the longest end.
        run: when it was run.
    """

    cells: str
    seconds: float
    run: str


def rows_of(text: str) -> dict[str, Row]:
    """The rows of a report, by fault."""
    table, _, rest = text.partition("\nThe longest of all ends")
    runs = dict(_RUN.findall(rest.partition("\n## ")[0]))
    return {
        name: Row(cells, float(seconds), runs[number])
        for name, cells, seconds, number in _ROW.findall(table)
    }


def rows_from(tallies: dict[str, Tally], run: str) -> dict[str, Row]:
    """The rows of what has just been run."""
    return {
        name: Row(
            f"| {_sentence(name)} | {t.trials} | {t.completed} | {t.lost} | {t.doubled} | "
            f"{t.orphans} | {t.seconds:.1f}",
            round(t.seconds, 1),
            run,
        )
        for name, t in tallies.items()
        if t.trials
    }


def run_of(loads: Iterable[float], seed: int, jobs: int) -> str:
    """When and how faults were run, as a line."""
    seen = list(loads)
    sha = git_sha()
    return (
        f"Version {__version__} ({sha[:9]}), {datetime.now(UTC):%Y-%m-%d}, seed {seed}, two cores, "
        f"{jobs} trials at a time, load average {min(seen):.0f} to {max(seen):.0f}."
    )


def report(rows: dict[str, Row], before: str = "") -> str:
    """The whole of it; what follows the figures in the one of before stays."""
    found = {name: rows[name] for name in FAULTS if name in rows}
    runs = list(dict.fromkeys(row.run for row in found.values()))
    lines = [f"| `{name}` {row.cells} | {runs.index(row.run) + 1} |" for name, row in found.items()]
    longest = max(row.seconds for row in found.values())
    text = _HEAD + "\n".join(lines)
    text += f"\n\nThe longest of all ends took {longest:.1f} s; the goal is 2 s. Runs:\n\n"
    text += "\n".join(f"{number}. {run}" for number, run in enumerate(runs, 1))
    text += "\n\n`python -m lab.faults --help` repeats one fault or one seed.\n"
    _, heading, rest = before.partition("\n## ")
    return text + heading + rest


def _sentence(name: str) -> str:
    text = " ".join((FAULTS[name].__doc__ or "").split())
    return text.rstrip(".")
