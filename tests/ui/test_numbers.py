"""Numbers and dates in the reader's language."""

from __future__ import annotations

from datetime import UTC, datetime

import altair as alt
import pytest

from apps.ui import numbers
from apps.ui.parts.charts import localised

NARROW = "\u202f"  # between thousands in French, and before PM


@pytest.mark.parametrize(
    ("name", "shown", "when"),
    [
        ("en-GB", "12,345.7", "24 Nov, 14:30"),
        ("en-US", "12,345.7", f"Nov 24, 2:30{NARROW}PM"),
        ("de", "12.345,7", "24. Nov., 14:30"),
        ("fr-FR", f"12{NARROW}345,7", "24 nov., 14:30"),
    ],
)
def test_each_reader_has_the_own_signs(name: str, shown: str, when: str) -> None:
    reader = numbers.locale_named(name)
    assert numbers.decimal(12345.678, 1, reader) == shown
    assert numbers.day_and_time(datetime(2026, 11, 24, 14, 30, tzinfo=UTC), reader) == when


@pytest.mark.parametrize("name", [None, "", "xx-YY", "../../etc", "<b>", "de-" + "x" * 10_000])
def test_a_browser_may_say_anything(name: str | None) -> None:
    assert numbers.decimal(1234.5, 1, numbers.locale_named(name)) == "1,234.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.8129999999999997, "2.813"),
        (58_403.0, "58,403"),
        (0.05, "0.05"),
        (1.0, "1"),
        (0, "0"),
        (1e9, "1,000,000,000"),
        (-12.34567, "-12.35"),
        (float("nan"), "–"),
    ],
)
def test_significant_digits(value: float, shown: str) -> None:
    assert numbers.significant(value) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 boxes"), (1, "1 box"), (2, "2 boxes"), (123_456, "123,456 boxes"), (2.5, "2.5 boxes")],
)
def test_one_and_several(number: float, shown: str) -> None:
    assert numbers.counted(number, "box", "boxes") == shown
    assert numbers.counted(number, "face").removesuffix("s").endswith(" face")


def test_charts_have_the_readers_signs() -> None:
    chart = alt.Chart(alt.Data(values=[])).mark_bar().encode(alt.X("a:Q"))
    for drawn in (chart, alt.layer(chart)):
        config = localised(drawn, numbers.locale_named("de")).to_dict()["config"]
        assert config["locale"]["number"]["decimal"] == ","
        assert config["locale"]["number"]["thousands"] == "."
