"""Look at a run: the episode with its tracks, files to take away, and how it ran."""

from __future__ import annotations

from contextlib import closing

import streamlit as st

from apps.common.contracts.events import ErrorEvent, ProgressEvent
from apps.common.contracts.manifest import RunManifest
from apps.ui.client import ApiProblem, Client
from apps.ui.files import download_url
from apps.ui.formatting import RUN_ENDS, count
from apps.ui.numbers import counted
from apps.ui.parts.episode_picker import pick_episode
from apps.ui.parts.how_it_ran import show_how_it_ran
from apps.ui.parts.live import UNDER_WAY, follow, show_progress
from apps.ui.parts.result_card import show_causes
from apps.ui.parts.review import show_review
from apps.ui.parts.run_actions import show_deleted, show_run_actions
from apps.ui.parts.run_picker import pick_run, run_label, show_choice
from apps.ui.problems import problems_shown
from apps.ui.session import client

_OF_PEOPLE = (
    ("People (CSV)", "people-csv"),
    ("Who with whom (CSV)", "together-csv"),
    ("Timeline (EDL)", "edl"),
    ("Timeline (OTIO)", "otio"),
    ("Names (WebVTT)", "webvtt"),
    ("CVAT by person (XML)", "cvat-people"),
)


def view() -> None:
    api = client()
    where, which, what = st.columns([5, 5, 1.4])
    with where:
        ep_id = pick_episode(api)
        state = follow(api, "Results", ep_id)
    if ep_id is None:
        return
    with which:
        choice = pick_run(api, ep_id, run_label)
    with what, st.container(key="beside-boxes"):
        if choice.shown is not None:
            show_run_actions(api, choice.shown)
    show_deleted(api, ep_id)
    run_id = choice.run_id
    has_none = choice.usual is None and choice.missing is None
    if has_none and state is not None and state.state in UNDER_WAY and state.run_id is not None:
        _show_under_way(ep_id, state.run_id)
        return
    show_choice(choice)
    if run_id is None:
        return
    run = api.run(ep_id, run_id)
    if run.status == "running":
        _show_under_way(ep_id, run_id, run.options.max_cpu_percent)
        return
    if run.status != "completed" or run.result is None:
        show_causes(api.diagnosis(ep_id, run_id))
        end = RUN_ENDS.get(run.status, "has no result")
        st.info(f"This run {end}; it has no results.", icon=":material/hourglass_empty:")
        show_how_it_ran(api, run)
        return
    _explore(run)
    if run.result.detections == 0:
        show_causes(api.diagnosis(ep_id, run_id))  # they say what may help
    _show_downloads(run)
    _show_preview(api, run)
    show_how_it_ran(api, run)


def _show_under_way(ep_id: str, run_id: str, cap: float | None = None) -> None:
    st.info("This run is under way. Its results appear here.", icon=":material/hourglass_top:")
    show_progress(ep_id, run_id, cap=cap)


@st.fragment
def _explore(run: RunManifest) -> None:
    """The review, with the tracks below it. What is picked there concerns nothing else."""
    with problems_shown():
        show_review(run.ep_id, run.run_id, has_people=run.people is not None)


@st.fragment
def _show_preview(api: Client, run: RunManifest) -> None:
    """A file of the video with its boxes, for other players."""
    if run.result is not None and "preview" in run.result.artifacts:
        return  # it is among what is to be taken away
    with problems_shown():
        st.caption("This run has no preview video: a file with boxes and track numbers in it.")
        if st.button("Make the preview", icon=":material/movie_edit:"):
            _make_preview(api, run)


def _make_preview(api: Client, run: RunManifest) -> None:
    bar, pulse = st.progress(0.0, "Making the preview video…"), st.empty()
    with closing(api.make_preview(run.ep_id, run.run_id)) as events:
        for event in events:
            if isinstance(event, ErrorEvent):
                raise ApiProblem(event.detail, event.hint or "", event.status)
            if not isinstance(event, ProgressEvent):
                pulse.empty()  # a point at which Streamlit can stop this script
            elif event.phase == "waiting":
                bar.progress(0.0, "Making the preview video · waiting for its turn")
            elif event.frames_total:
                bar.progress(
                    min(1.0, event.frames_done / event.frames_total),
                    f"Making the preview video · {count(event.frames_done)} of "
                    f"{counted(event.frames_total, 'frame')}",
                )
    st.rerun()


def _show_downloads(run: RunManifest) -> None:
    ep_id, run_id = run.ep_id, run.run_id
    files = [
        ("Tracks (JSONL)", download_url(ep_id, run_id, "tracks")),
        ("Detections (JSONL)", download_url(ep_id, run_id, "detections")),
        ("CSV", download_url(ep_id, run_id, "export", format="csv")),
        ("MOT", download_url(ep_id, run_id, "export", format="mot")),
        ("COCO", download_url(ep_id, run_id, "export", format="coco")),
        ("CVAT (XML)", download_url(ep_id, run_id, "export", format="cvat")),
        ("Log", download_url(ep_id, run_id, "log")),
    ]
    if run.people is not None:
        files += [
            (label, download_url(ep_id, run_id, "export", format=kind))
            for label, kind in _OF_PEOPLE
        ]
    if run.result is not None and "preview" in run.result.artifacts:
        files.append(("Preview video", download_url(ep_id, run_id, "preview")))
    st.markdown("**Take away**")
    with st.container(horizontal=True):
        for label, url in files:
            st.link_button(label, url, icon=":material/download:")
