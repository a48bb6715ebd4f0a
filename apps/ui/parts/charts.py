"""Charts as all views draw them: their numbers are in the form of the reader's language."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import streamlit as st
from babel import Locale
from babel.numbers import get_decimal_symbol, get_group_symbol

from apps.ui.numbers import readers_locale


def show_chart(
    chart: alt.Chart | alt.LayerChart, width: Literal["stretch", "content"] = "stretch"
) -> None:
    st.altair_chart(localised(chart, readers_locale()), width=width)


def localised(chart: alt.Chart | alt.LayerChart, reader: Locale) -> alt.Chart | alt.LayerChart:
    """The same chart, whose axes and tips have the decimal signs of a language."""
    signs: dict[str, Any] = {
        "decimal": get_decimal_symbol(reader),
        "thousands": get_group_symbol(reader),
        "grouping": [3],
        "currency": ["", ""],
    }
    return chart.configure(locale={"number": signs})
