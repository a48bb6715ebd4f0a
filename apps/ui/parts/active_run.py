"""A run of the chosen episode that this page's request does not hold: a job, or another's run."""

from __future__ import annotations

import streamlit as st

from apps.common.schemas import ActiveRun, ActiveRuns
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import MODE_LABELS, plain
from apps.ui.parts.live import show_progress
from apps.ui.problems import show_problem

_UNDER_WAY = {"queued": "waits for its turn", "in_progress": "is running", "retrying": "is retried"}


def under_way(active: ActiveRuns) -> ActiveRun | None:
    """The one that is not over. An episode has at most one."""
    return next((run for run in active.items if run.state in _UNDER_WAY), None)


def show_active_run(client: Client, run: ActiveRun) -> None:
    """The run, with a way to end it; how far it is the browser draws."""
    with st.container(border=True):
        mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
        st.markdown(f"**{mode}: run {plain(run.run_id)} {_UNDER_WAY[run.state]}**")
        st.caption(
            "It goes on without this page."
            if run.job_id
            else "It was started in another window or by another program."
        )
        st.button(
            "Cancel" if run.job_id else "Stop",
            key="cancel_elsewhere",
            icon=":material/cancel:",
            on_click=_try_to_end,  # at once: a run of the script may be given up for the next
            args=(client, run),
        )
        refusals = _refusals()
        if run.run_id in refusals:
            show_problem(refusals[run.run_id])
        cap = None if run.progress is None else _cap(client, run.ep_id, run.run_id)
        show_progress(run.ep_id, run.run_id, cap=cap)


@st.cache_data(max_entries=100, show_spinner=False)
def _cap(_client: Client, ep_id: str, run_id: str) -> float | None:
    """The run's CPU budget in percent; it is settled before the run reports progress."""
    return _client.run(ep_id, run_id).options.max_cpu_percent


def _refusals() -> dict[str, ApiProblem]:
    """By run: why it could not be ended. Kept, since the page is drawn again meanwhile."""
    kept: dict[str, ApiProblem] = st.session_state.setdefault("refusals", {})
    return kept


def _try_to_end(client: Client, run: ActiveRun) -> None:
    try:
        client.stop(run)
    except ApiProblem as problem:
        _refusals()[run.run_id] = problem
