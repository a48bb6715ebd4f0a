"""A run of the chosen episode that this page's request does not hold: a job, or another's run."""

from __future__ import annotations

import streamlit as st

from apps.common.schemas import ActiveRun, ActiveRuns
from apps.ui.client import Client
from apps.ui.parts.progress_board import History, ProgressBoard
from apps.ui.problems import problems_shown
from apps.ui.words import MODE_LABELS, plain

_LOOK_EVERY_SECONDS = 1.0
_UNDER_WAY = {"queued": "waits for a worker", "in_progress": "is running", "retrying": "is retried"}


def under_way(active: ActiveRuns) -> ActiveRun | None:
    """The one that is not over. An episode has at most one."""
    return next((run for run in active.items if run.state in _UNDER_WAY), None)


@st.fragment(run_every=_LOOK_EVERY_SECONDS)
def follow_elsewhere(client: Client, ep_id: str) -> None:
    """Shows it and looks again; draws the whole page anew when it is over."""
    with problems_shown():
        run = under_way(client.active(ep_id))
        if run is None:
            st.rerun()
        with st.container(border=True):
            mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
            st.markdown(f"**{mode}: run {plain(run.run_id)} {_UNDER_WAY[run.state]}**")
            st.caption(
                "It goes on without this page."
                if run.job_id
                else "It was started in another window or by another program."
            )
            label = "Cancel" if run.job_id else "Stop"
            if st.button(label, key="cancel_elsewhere", icon=":material/cancel:"):
                _end(client, run)
                st.rerun()
            if run.progress is not None:
                histories: dict[str, History] = st.session_state.setdefault("histories", {})
                board = ProgressBoard(histories.setdefault(run.run_id, History()), None)
                board.show(run.progress)


def _end(client: Client, run: ActiveRun) -> None:
    if run.job_id is not None:
        client.cancel_job(run.job_id)
    else:
        client.cancel_run(run.ep_id, run.run_id)
