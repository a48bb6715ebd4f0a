"""Keeps a view up to date while nobody touches it: one subscription of the tab, no polling.

What changes is told to the browser. The script runs again only when the view would show something
else; progress, the tab's title and a server that is away are drawn there without it.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import streamlit as st
import streamlit.components.v2 as components

from apps.common.live import EpisodeState, EpisodeStates, ServerState
from apps.ui.client import Client
from apps.ui.modules import LOADER, module_path
from apps.ui.parts.progress_board import PHASES

_ASSETS = files("apps.ui") / "assets" / "live"
UNDER_WAY = ("queued", "running")
_DRAWN, _MOUNTED = "live-drawn", "live-mounted"  # of the session: runs of the script; in this one
_follow = components.component(
    "screenalytics_follow",
    html=(_ASSETS / "live.html").read_text(),
    css=(_ASSETS / "live.css").read_text(),
    js=LOADER,
)
_run = components.component(
    "screenalytics_run",
    html=(_ASSETS / "run.html").read_text(),
    css=(_ASSETS / "run.css").read_text(),
    js=LOADER,
)


def begin() -> None:
    """A run of the script begins, which has not said yet what it shows."""
    st.session_state[_MOUNTED] = False


def follow(
    client: Client,
    view: str,
    ep_id: str | None = None,
    *,
    everything: bool = False,
    hold: bool = False,
) -> EpisodeState | None:
    """Has the view drawn again when what it shows has changed.

    To be called before the view asks the server for what it shows: what changes meanwhile is
    then seen as a change.

    Args:
        view: its name, for the tab's title.
        ep_id: the episode that it is about; None: which episodes there are.
        everything: it shows what runs and waits, of all episodes.
        hold: never, in this run of the script: it holds a run that would end.

    Returns:
        The state of the episode, where the view is about one.
    """
    states = client.states(ep_id)
    _mount(view, ep_id, _seen(states, ep_id, everything=everything), everything, hold)
    return None if ep_id is None else next(iter(states.items), None)


def follow_return(view: str) -> None:
    """Has the view drawn again when the server is back, which did not answer."""
    if not st.session_state.get(_MOUNTED):
        _mount(view, None, None, False, False)


def _mount(view: str, ep_id: str | None, seen: str | None, everything: bool, hold: bool) -> None:
    st.session_state[_MOUNTED] = True
    drawn = st.session_state[_DRAWN] = st.session_state.get(_DRAWN, 0) + 1
    _mounted(
        {
            "module": module_path("live", "follow.js"),
            "view": view,
            "ep_id": ep_id,
            "all": everything,
            "seen": seen,
            "hold": hold,
            "drawn": drawn,
        }
    )


@st.fragment
def _mounted(data: dict[str, Any]) -> None:
    """A fragment, since its run never breaks off a run of the script."""
    answer = _follow(key="live", data=data, on_changed_change=lambda: None)
    if answer.changed is not None:
        st.rerun()


def show_progress(
    ep_id: str, run_id: str, *, cap: float | None = None, small: bool = False
) -> None:
    """How far a run is that this page's request does not hold.

    Args:
        cap: its CPU budget in percent, None where it has none.
        small: a bar and a line.
    """
    _show(ep_id, run_id, cap=cap, small=small, report=True)


def offer_to_tell(ep_id: str) -> None:
    """A switch: the browser tells the reader when the episode's run is over."""
    _show(ep_id, None, cap=None, small=False, report=False)


def _show(ep_id: str, run_id: str | None, *, cap: float | None, small: bool, report: bool) -> None:
    _run(
        key=f"run-{'small' if small else 'whole'}-{ep_id}-{run_id}",
        data={
            "module": module_path("live", "run.js"),
            "ep_id": ep_id,
            "run_id": run_id,
            "cap": cap,
            "small": small,
            "report": report,
            "phases": PHASES,
        },
    )


def _seen(states: EpisodeStates, ep_id: str | None, *, everything: bool) -> str:
    """What a view shows, as `seenOf` in assets/live/follow.js has it."""
    if everything:
        under_way = (state for state in states.items if state.state in UNDER_WAY)
        parts = [f"{state.ep_id} {_episode_key(state)}" for state in under_way]
    elif ep_id is None:
        parts = [state.ep_id for state in states.items]
    else:
        parts = [_episode_key(next(iter(states.items), None))]
    return "\n".join([_server_key(states.server), *sorted(parts)])


def _episode_key(state: EpisodeState | None) -> str:
    if state is None:
        return "none"
    begun = "" if state.report is None else "begun"
    return f"{state.state} {state.run_id or ''} {state.latest_run_id or ''} {begun}"


def _server_key(server: ServerState) -> str:
    stale = "stale" if server.stale else ""
    no_queue = "" if server.queue_problem is None else "no queue"
    return " ".join([server.source_fingerprint, stale, no_queue, *server.worker_names])
