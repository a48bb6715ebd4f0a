"""Errors as sentences with what to do. A traceback goes to the page's log, never into the page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from apps.ui.client import ApiProblem
from apps.ui.formatting import in_words, plain, with_commands

_log = logging.getLogger("screenalytics.page")


def show_problem(problem: ApiProblem) -> None:
    hint = f"\n\n{with_commands(in_words(problem.hint))}" if problem.hint else ""
    st.error(f"**{plain(in_words(problem.detail))}**{hint}", icon=":material/error:")


@contextmanager
def problems_shown() -> Iterator[None]:
    """Shows a problem of the API where it happened; the rest of the page goes on."""
    try:
        yield
    except ApiProblem as problem:
        show_problem(problem)


def show_unexpected(error: Exception) -> bool:
    """Called by Streamlit for an error that nobody caught. True: it need not show it itself."""
    if isinstance(error, ApiProblem):
        show_problem(error)
        return True
    _log.error("the page failed", exc_info=error)
    st.error(
        "**This part of the page failed.** Reload the page; if it happens again, the log of the "
        "page's server tells more.",
        icon=":material/error:",
    )
    return True
