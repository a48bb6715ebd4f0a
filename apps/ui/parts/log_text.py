"""A log that can be scrolled, by the keyboard too."""

from __future__ import annotations

from html import escape

import streamlit as st


def show_log(text: str) -> None:
    """Streamlit's own box for code scrolls, but takes no focus."""
    st.html(
        '<pre class="screenalytics-log" tabindex="0" role="region" aria-label="Log">'
        f"{escape(text)}</pre>"
    )
