"""Numbers, dates and times as the reader of the page writes them.

For people only: links, files and the API keep the form that machines read. The words beside them
are English in every language.
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache

import streamlit as st
from babel import Locale, UnknownLocaleError
from babel.dates import format_skeleton, format_time
from babel.numbers import format_decimal
from streamlit.runtime.scriptrunner import get_script_run_ctx

_USUAL = Locale("en", "GB")  # English words, a day before its month, 24 hours
_LONGEST_NAME = 40  # of a language


def readers_locale() -> Locale:
    """That of the browser whose page is being drawn; international English for none."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return _USUAL
    return locale_named(st.context.locale)


@lru_cache(maxsize=64)
def locale_named(name: str | None) -> Locale:
    """The locale of a name such as `de-CH`, which comes from a browser and may be anything."""
    if not name or len(name) > _LONGEST_NAME:
        return _USUAL
    try:
        return Locale.parse(name, sep="-")
    except (ValueError, UnknownLocaleError):
        return _USUAL


def decimal(value: float, places: int, locale: Locale | None = None) -> str:
    """With so many decimals: `12.4`, `12,4`."""
    pattern = "#,##0" + (f".{'0' * places}" if places > 0 else "")
    return format_decimal(value, format=pattern, locale=locale or readers_locale())


def significant(value: float, digits: int = 4, locale: Locale | None = None) -> str:
    """With so many digits at most, never in powers of ten: `2.813`, `58,403`, `0.05`."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    pattern = "#,##0" + (f".{'#' * places}" if places > 0 else "")
    return format_decimal(value, format=pattern, locale=locale or readers_locale())


def day_and_time(when: datetime, locale: Locale | None = None) -> str:
    """In the zone that it has: `24 Nov, 10:21`."""
    reader = locale or readers_locale()
    return f"{format_skeleton('MMMd', when, locale=reader)}, {_time(when, reader)}"


def _time(when: datetime, reader: Locale) -> str:
    return format_time(when.replace(tzinfo=None), "short", locale=reader)


def counted(number: float, one: str, several: str | None = None) -> str:
    """How many of what: `1 frame`, `2 frames`, `1,200 boxes`.

    Args:
        several: where it is more than an `s` behind the word for one.
    """
    word = one if number == 1 else several or f"{one}s"
    return f"{significant(number, 12)} {word}"
