"""Who is in an episode: watch, name and correct the people of a run."""

from __future__ import annotations

import streamlit as st

from apps.ui.formatting import RUN_ENDS
from apps.ui.parts.episode_picker import pick_episode
from apps.ui.parts.live import follow, show_progress
from apps.ui.parts.people import show_people
from apps.ui.parts.run_picker import pick_run, run_label, show_choice, show_run_with_people
from apps.ui.session import client


def view() -> None:
    api = client()
    where, which = st.columns(2)
    with where:
        ep_id = pick_episode(api)
        follow(api, "People", ep_id)
    if ep_id is None:
        return
    with which:
        choice = pick_run(api, ep_id, run_label)
    show_choice(choice)
    if choice.run_id is None:
        return
    run = api.run(ep_id, choice.run_id)
    if run.status == "running":
        st.info("This run is under way. Its people appear here.", icon=":material/hourglass_top:")
        show_progress(ep_id, run.run_id, cap=run.options.max_cpu_percent)
    elif run.status != "completed" or run.result is None:
        end = RUN_ENDS.get(run.status, "has no result")
        st.info(f"This run {end}; it has no people.", icon=":material/hourglass_empty:")
    else:
        if run.people is None:
            show_run_with_people(choice)
        show_people(ep_id, run.run_id, crops="crops" in run.result.artifacts)
