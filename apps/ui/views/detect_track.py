"""Choose an episode, see what a run would do, run it, watch it."""

from __future__ import annotations

import time

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apps.common.contracts.events import ErrorEvent, ResultEvent
from apps.common.contracts.manifest import RunManifest
from apps.common.schemas import ActiveRun, ResolvedPlan, RunList
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import moment, plain
from apps.ui.pages import link_to_results
from apps.ui.parts.active_run import show_active_run, under_way
from apps.ui.parts.address import show_address
from apps.ui.parts.episode_picker import pick_episode, show_episode
from apps.ui.parts.live import follow
from apps.ui.parts.local_run import run_locally
from apps.ui.parts.options_form import Choices, choose, show_plan, show_sources
from apps.ui.parts.result_card import show_causes, show_description, show_figures
from apps.ui.parts.run_picker import show_newest_in_address
from apps.ui.parts.upload import show_upload
from apps.ui.problems import problems_shown, show_problem
from apps.ui.session import LocalOutcome, PendingRun, Session, client, reader_zone, session

_SENT_SECONDS = 0.05  # Streamlit sends what the script has drawn more often than that


def view() -> None:
    mine = session()
    _view(client(), mine)
    mine.take_asked()  # what could not be started now does not start later by itself


def _view(api: Client, mine: Session) -> None:
    request = mine.take_pending()
    begins = request is not None
    left, right = st.columns([2, 3], gap="large")
    with left, problems_shown():
        ep_id = pick_episode(api, locked=begins)
        follow(api, "Detect/Track", ep_id, hold=begins)
        if ep_id is not None:
            show_episode(api, ep_id)
        uploads, last = _place(emptied=begins), _place(emptied=begins)
        if request is None:
            with uploads:
                show_upload()
    if ep_id is None:
        return
    with right:
        place = _place(emptied=begins)
    if request is not None:
        time.sleep(_SENT_SECONDS)  # the emptiness is sent by itself, or the form would stay
    with place.container(), problems_shown():
        if request is not None:
            show_address(ep_id)
            run_locally(api, request, mine)
        active, runs = api.active(ep_id), api.runs(ep_id)
        run = under_way(active)
        show_newest_in_address(ep_id, run, runs)
        if run is not None:
            _show_refusal(run, mine)
            show_active_run(api, run)
            return
        _prepare(api, ep_id, _usual_mode(runs), active.queue_problem, mine)
    with last.container(), problems_shown():
        _show_last(api, ep_id, runs, mine)


def _place(*, emptied: bool) -> DeltaGenerator:
    """Shows what it showed until it is drawn again; `emptied`, as a run begins: nothing, at once.

    What is emptied each time lets the page jump under the reader's pointer.
    """
    return st.empty() if emptied else st.container()


def _show_refusal(run: ActiveRun, mine: Session) -> None:
    """Of a run that this tab wanted beside the one that is on; as long as that is on."""
    if mine.take_asked() == run.ep_id:
        mine.refusals[run.run_id] = None
    outcome = mine.outcomes.get(run.ep_id)
    if outcome is not None and isinstance(outcome.event, ErrorEvent):
        mine.refusals[run.run_id] = mine.outcomes.pop(run.ep_id)
    if run.run_id not in mine.refusals:
        return
    refused = mine.refusals[run.run_id]
    if refused is None:
        st.warning(
            "Your run was not started: the episode is running already.", icon=":material/block:"
        )
    else:
        _show_unfinished(refused)


def _prepare(
    api: Client, ep_id: str, usual_mode: str, queue_problem: str | None, mine: Session
) -> None:
    """The form, what it comes to, and the button that starts it."""
    choices = choose(ep_id, usual_mode, returns=mine.form_returns())
    if queue_problem and choices.mode == "redis":
        st.warning(plain(queue_problem), icon=":material/cloud_off:")
    is_asked = mine.take_asked() == ep_id
    if choices.wrong:
        st.error("  \n".join(map(plain, choices.wrong)), icon=":material/edit:")
        return
    try:
        plan = api.plan(choices.plan_request(ep_id))
    except ApiProblem as problem:
        show_problem(problem)
        return
    if is_asked:
        with problems_shown():
            _start(api, ep_id, choices, plan, mine)
            st.rerun()
    show_plan(plan)
    _run_button(ep_id, choices, mine)
    show_sources(plan)


def _usual_mode(runs: RunList) -> str:
    return runs.items[0].execution_mode if runs.items else "local"


def _run_button(ep_id: str, choices: Choices, mine: Session) -> None:
    """Asks for a run, of what is chosen when the script comes by the next time.

    What is handed to a callback is what was drawn before, and who types a stride and clicks at once
    means the new one. A click that is only returned gets lost where another change follows it.
    """
    if choices.mode == "local":
        name, key, icon = "Run detect/track", "run_local", ":material/play_arrow:"
    else:
        name, key, icon = "Queue detect/track", "run_queued", ":material/playlist_add:"
    st.button(name, key=key, type="primary", icon=icon, on_click=mine.ask, args=(ep_id,))


def _start(api: Client, ep_id: str, choices: Choices, plan: ResolvedPlan, mine: Session) -> None:
    """Raises ApiProblem where the queue does not take it."""
    mine.jobs.pop(ep_id, None)
    request = choices.run_request(ep_id)
    if choices.mode == "local":
        mine.pending = PendingRun(request, plan.options.max_cpu_percent)
    else:
        mine.outcomes.pop(ep_id, None)
        mine.jobs[ep_id] = api.submit(request).job_id


def _show_last(api: Client, ep_id: str, runs: RunList, mine: Session) -> None:
    """How it ended: this tab's local run or job, else the episode's newest run."""
    outcome = mine.outcomes.get(ep_id)
    if outcome is not None and not isinstance(outcome.event, ResultEvent):
        _show_unfinished(outcome)
        return
    job_id = mine.jobs.get(ep_id)
    if outcome is None and job_id is not None:
        job = api.job(job_id)
        if job.state == "failed":
            show_problem(ApiProblem.of(job.error, 0))
            return
    if runs.items:
        newest = api.run(ep_id, runs.items[0].run_id)
        _show_run(api, newest)
        if newest.result is None:
            _link_to_earlier(runs)


def _link_to_earlier(runs: RunList) -> None:
    """What a run that did not complete has left as it was."""
    earlier = next(
        (run for run in runs.items if run.status == "completed" and not run.of_comparison), None
    )
    if earlier is not None:
        link_to_results(earlier.ep_id, earlier.run_id, "Look at the tracks of an earlier run")


def _show_unfinished(outcome: LocalOutcome) -> None:
    if outcome.stopped or outcome.event is None:
        st.info("The run was stopped. Earlier results are as they were.", icon=":material/stop:")
    elif not isinstance(outcome.event, ResultEvent):
        event = outcome.event
        show_problem(ApiProblem(event.detail, event.hint or "", event.status))


def _show_run(api: Client, run: RunManifest) -> None:
    with st.container(border=True):
        st.markdown(f"**Newest run: {run.status}**")
        st.caption(f"{plain(moment(run.started_at, reader_zone()))} · {plain(run.run_id)}")
        if run.status == "cancelled":
            st.markdown(plain(run.exit_reason or ""))
            return
        diagnosis = api.diagnosis(run.ep_id, run.run_id)
        show_causes(diagnosis)
        show_description(diagnosis)
        if run.result is not None:
            show_figures(run.result)
            link_to_results(run.ep_id, run.run_id)
