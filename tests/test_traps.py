"""The table of docs/traps.md and the marks in the tests name the same traps."""

from __future__ import annotations

import re

import pytest

from lab.paths import CHECKOUT

TESTS = CHECKOUT / "tests"


def marked() -> set[int]:
    marks = re.findall(
        r"^(?:    )?@pytest\.mark\.trap\(([\d, ]+)\)",
        "\n".join(path.read_text() for path in TESTS.rglob("test_*.py")),
        re.MULTILINE,
    )
    return {int(number) for mark in marks for number in mark.split(",")}


def listed() -> set[int]:
    table = (CHECKOUT / "docs" / "traps.md").read_text()
    return {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


def test_every_trap_of_the_table_has_a_test_and_the_other_way_round() -> None:
    assert listed() == marked()


@pytest.mark.trap(27)
def test_motmetrics_is_not_used() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        assert "motmetrics" not in (CHECKOUT / name).read_text().lower()
