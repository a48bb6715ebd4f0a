"""docs/reliability.md: rows of several runs, of which one is replaced alone."""

from __future__ import annotations

from lab.faults.catalogue import FAULTS
from lab.faults.report import Tally, report, rows_from, rows_of
from lab.paths import CHECKOUT

OLD, NEW = "Version 0.1.0, 2026-01-02, seed 1.", "Version 0.1.0, 2026-03-04, seed 2."


def test_what_was_run_again_is_replaced_and_all_else_stays() -> None:
    names = ("worker_killed", "redis_away")
    first = report(rows_from({name: Tally(20, 20, seconds=0.5) for name in names}, OLD))
    first += "\n## What was found\n\nNothing.\n"
    again = rows_from({"redis_away": Tally(7, 6, lost=1, seconds=1.25), "cancelled": Tally()}, NEW)
    text = report({**rows_of(first), **again}, first)
    found = rows_of(text)
    assert list(found) == list(names)
    assert (found["worker_killed"].run, found["redis_away"].run) == (OLD, NEW)
    assert "| 7 | 6 | 1 | 0 | 0 | 1.2 | 2 |" in text
    assert "The longest of all ends took 1.2 s" in text
    assert f"1. {OLD}\n2. {NEW}\n" in text
    assert text.endswith("\n\n## What was found\n\nNothing.\n")
    all_again = report({**found, **rows_from({"worker_killed": Tally(1, 1)}, NEW)}, text)
    assert OLD not in all_again


def test_the_report_that_is_there_can_be_updated() -> None:
    text = (CHECKOUT / "docs" / "reliability.md").read_text()
    rows = rows_of(text)
    assert set(rows) <= set(FAULTS)
    assert report(rows, text) == text
