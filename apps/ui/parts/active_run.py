"""A run of the chosen episode that this page's request does not hold: a job, or another's run."""

from __future__ import annotations

import streamlit as st

from apps.common.schemas import ActiveRun, ActiveRuns
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import MODE_LABELS, plain
from apps.ui.numbers import counted
from apps.ui.parts.progress_board import History, ProgressBoard
from apps.ui.problems import problems_shown, show_problem

_LOOK_EVERY_SECONDS = 1.0
_UNDER_WAY = {"queued": "waits for its turn", "in_progress": "is running", "retrying": "is retried"}


def under_way(active: ActiveRuns) -> ActiveRun | None:
    """The one that is not over. An episode has at most one."""
    return next((run for run in active.items if run.state in _UNDER_WAY), None)


@st.fragment(run_every=_LOOK_EVERY_SECONDS)
def follow_active_run(client: Client, ep_id: str) -> None:
    """Shows it and looks again; draws the whole page again when it is over."""
    with problems_shown():
        active = client.active(ep_id)
        run = under_way(active)
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
            if run.state == "queued":
                _show_wait(run, active.workers)
            label = "Cancel" if run.job_id else "Stop"
            st.button(
                label,
                key="cancel_elsewhere",
                icon=":material/cancel:",
                on_click=_try_to_end,  # at once: a run of the script may be given up for the next
                args=(client, run),
            )
            refusals = _refusals()
            if run.run_id in refusals:
                show_problem(refusals[run.run_id])
            if run.progress is not None:
                histories: dict[str, History] = st.session_state.setdefault("histories", {})
                cap = _cap(client, ep_id, run.run_id)
                board = ProgressBoard(histories.setdefault(run.run_id, History()), cap)
                board.show(run.progress)


def _show_wait(run: ActiveRun, workers: int | None) -> None:
    """What it waits for: its turn, or a worker that is not there."""
    if run.ahead:
        st.markdown(f"{counted(run.ahead, 'other run')} before it.")
    if run.job_id is not None and workers == 0:
        st.warning(
            "**No worker listens to the queue.** Start one: `screenalytics worker`, or `make up`, "
            "which has one.",
            icon=":material/cloud_off:",
        )


@st.cache_data(max_entries=100, show_spinner=False)
def _cap(_client: Client, ep_id: str, run_id: str) -> float | None:
    """The run's CPU budget in percent; it is settled before the run reports progress."""
    return _client.run(ep_id, run_id).options.max_cpu_percent


def _refusals() -> dict[str, ApiProblem]:
    """By run: why it could not be ended. Kept, since the next look comes within a second."""
    kept: dict[str, ApiProblem] = st.session_state.setdefault("refusals", {})
    return kept


def _try_to_end(client: Client, run: ActiveRun) -> None:
    try:
        client.stop(run)
    except ApiProblem as problem:
        _refusals()[run.run_id] = problem
