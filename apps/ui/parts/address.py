"""What the address names, and what it is to name: of which episode, and which of its runs.

The browser writes the address (`assets/review/address.js`) of what a view tells here, so that Back
and Forward go from one thing that was seen to another. The script only reads it, and only where
the address leads: at a tab's first run, after a link, Back or Forward. Otherwise it may still be
that of what was seen before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import streamlit as st
import streamlit.components.v2 as components
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.ui.files import review_module_path
from apps.ui.modules import LOADER

_component = components.component("screenalytics_address", html="<i></i>", js=LOADER)
_KEY, _OPTIONS = "address", "options-of-address"
_OPTION = "option-"  # begins what the form of options has in the address
_SHOWN = 60  # characters of a name that is none


@dataclass
class Asked:
    """What the address asked for, until a view has looked.

    Args:
        view: that is shown.
        episode: None where the address names none.
        runs: of that episode; several where they are compared.
        is_new: no view has looked for the episode yet.
    """

    view: str
    episode: str | None
    runs: tuple[str, ...]
    is_new: bool = True

    def take_episode(self) -> str | None:
        taken, self.is_new = self.episode if self.is_new else None, False
        return taken

    def take_runs(self, ep_id: str) -> tuple[str, ...]:
        taken, self.runs = self.runs, ()
        return taken if self.episode in (None, ep_id) else ()


def read_address(view: str) -> None:
    """Notes what the address asks for, where it has a say. Before the view is drawn."""
    before: Asked | None = st.session_state.get(_KEY)
    context = get_script_run_ctx()
    went_back = context is not None and context.is_history_navigation
    episode, runs = st.query_params.get("episode"), tuple(st.query_params.get_all("run"))
    follows_link = before is not None and before.view != view and episode is not None
    if before is None:
        kept = {name: text for name, text in st.query_params.items() if name.startswith(_OPTION)}
        st.session_state[_OPTIONS] = kept
    if before is None or went_back or follows_link:
        st.session_state[_KEY] = Asked(view, episode, runs)
    else:
        before.view = view


def asked() -> Asked:
    return cast("Asked", st.session_state.setdefault(_KEY, Asked("", None, ())))


def show_address(
    ep_id: str | None, runs: Sequence[str] = (), *, steps: Collection[str] = ()
) -> None:
    """Has the address name what is seen. Once in each run of the script.

    Args:
        ep_id: None leaves the address as it is: what it names is not there.
        runs: names of the runs that are seen.
        steps: `run`, where another run is what the reader has chosen, so that Back leads to the one
            before. Another episode always is.
    """
    seen = {
        "view": asked().view,
        "names": {"episode": [ep_id], "run": list(runs)},
        "steps": ["episode", *steps],
    }
    data = {
        "module": review_module_path("address.js"),
        "seen": None if ep_id is None else seen,
    }
    with st.container(key="address"):  # not seen: it would leave a gap
        _component(key="address-of-what-is-seen", data=data)


def take_options() -> dict[str, str]:
    """Options of the address that a tab began with, by the names of their fields: once.

    Streamlit knows them on the view with the form alone; this is for those who come to it later.
    """
    taken: dict[str, str] = st.session_state.pop(_OPTIONS, {})
    return taken


def shortened(name: str) -> str:
    """A name that somebody has typed, short enough for a sentence."""
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
