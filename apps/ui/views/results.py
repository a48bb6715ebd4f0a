"""Look at a run: the episode with its tracks, their faces, its figures."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

import streamlit as st

from apps.common.contracts.events import ErrorEvent, ProgressEvent
from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.contracts.rows import TrackRow
from apps.common.names import track_number
from apps.common.schemas import Diagnosis, Rows, RunCharts, RunSummary, TrackOrder
from apps.ui import formatting
from apps.ui.client import ApiProblem, Client
from apps.ui.files import download_url, track_thumbnail_url
from apps.ui.formatting import MODE_LABELS, clock, count, ended, moment, option, source
from apps.ui.parts.episode_picker import pick_episode
from apps.ui.parts.palette import colour_of
from apps.ui.parts.result_card import show_causes, show_description, show_figures
from apps.ui.parts.review import Picked, ask_for, asked_for, show_review
from apps.ui.parts.run_picker import pick_run, show_choice
from apps.ui.parts.track_charts import faces_over_time, histogram
from apps.ui.problems import problems_shown, show_problem
from apps.ui.session import client, reader_zone

_GALLERY = 12
_ORDERS: dict[str, tuple[TrackOrder, bool]] = {
    "Appearance": ("start", False),
    "Longest first": ("length", True),
    "Most confident first": ("confidence", True),
    "Least confident first": ("confidence", False),
    "Most faces first": ("detections", True),
}


def view() -> None:
    api = client()
    where, which = st.columns(2)
    with where:
        ep_id = pick_episode(api)
    if ep_id is None:
        return
    with which:
        choice = pick_run(api, ep_id, _run_label)
    show_choice(choice)
    run_id = choice.run_id
    if run_id is None:
        return
    run = api.run(ep_id, run_id)
    diagnosis = api.diagnosis(ep_id, run_id)
    if run.status != "completed" or run.result is None:
        show_causes(diagnosis)
        st.info(f"This run is {run.status}; it has no results.", icon=":material/hourglass_empty:")
        _show_details(api, run, diagnosis)
        return
    _explore(api, run, diagnosis)
    _show_downloads(run)
    _show_preview(api, run)
    _show_details(api, run, diagnosis)


def _run_label(run: RunSummary) -> str:
    mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
    end = f"{count(run.tracks)} tracks" if run.status == "completed" else run.status
    # The box tells its options apart by these words, so the name is among them.
    started = moment(run.started_at, reader_zone())
    return f"{started} · {mode} · {run.profile} · {end} · {run.run_id}"


@st.cache_data(max_entries=8, show_spinner="Counting faces…")
def charts_of(ep_id: str, run_id: str) -> RunCharts:
    """Completed runs never change."""
    return client().charts(ep_id, run_id)


@st.fragment
def _explore(api: Client, run: RunManifest, diagnosis: Diagnosis) -> None:
    """The review, figures and gallery: a click on a face moves the review there."""
    with problems_shown():
        picked = show_review(run.ep_id, run.run_id, seek=asked_for(run.run_id))
        show_causes(diagnosis)
        if run.result is not None:
            show_figures(run.result)
        charts, gallery = st.columns(2, gap="medium")
        with charts:
            _show_charts(charts_of(run.ep_id, run.run_id))
        with gallery:
            _show_gallery(api, run, picked)


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
                    f"{count(event.frames_total)} frames",
                )
    st.rerun()


class _Seen(NamedTuple):
    """A track of which is known which it is and when it is seen first and last."""

    track_id: str
    first_s: float
    last_s: float
    row: TrackRow


def _readable(rows: Rows) -> list[_Seen]:
    """The tracks that can be shown; lines that are damaged are left out."""
    return [
        _Seen(row.track_id, row.start_s, row.end_s, row)
        for row in map(TrackRow.model_validate, rows.items)
        if row.track_id is not None and row.start_s is not None and row.end_s is not None
    ]


def _show_gallery(api: Client, run: RunManifest, picked: Picked | None) -> None:
    order, descending = _ORDERS[
        st.selectbox("Order", list(_ORDERS), key="gallery-order", persist_state="session")
    ]
    total = 0 if run.result is None else run.result.tracks
    pages = max(1, -(-total // _GALLERY))
    place = st.container()
    page = st.pagination(pages, key=f"gallery-{run.run_id}") if pages > 1 else 1
    rows = api.tracks(
        run.ep_id,
        run.run_id,
        order=order,
        descending=descending,
        offset=(page - 1) * _GALLERY,
        limit=_GALLERY,
    )
    with place, st.grid(min_column_width=150):
        tracks = _readable(rows)
        for track in tracks:
            _show_track(run, track, picked is not None and picked.track == track.track_id)
        for _ in range(_GALLERY - len(tracks)):
            st.empty()  # where the page before had faces Streamlit would leave them standing


def _show_track(run: RunManifest, track: _Seen, is_picked: bool) -> None:
    track_id, start, stats = track.track_id, track.first_s, track.row.stats
    why = ended(track.row.ended)
    with st.container(border=True, gap="small"):
        st.image(
            track_thumbnail_url(run.ep_id, run.run_id, track_id),
            width="stretch",
            alt=f"Face of {track_id}",
        )
        colour = colour_of(track_id)
        st.html(f'<div style="height: 4px; border-radius: 2px; background: {colour}"></div>')
        st.button(
            clock(start),
            key=f"go-{run.run_id}-{track_id}",
            icon=":material/play_arrow:",
            help=f"Go to {track_id} in the video",
            width="stretch",
            type="primary" if is_picked else "secondary",
            on_click=ask_for,
            args=(run.run_id, track_id, start),
        )
        lines = [
            f"**Track {track_number(track_id)}**",
            f"On screen {_on_screen(track.row)}",
            f"Sightings {count(stats.detections)}",
            f"Confidence {stats.avg_conf or 0:.2f}",
            *([] if why is None else [f"Ended: {why}"]),
        ]
        st.caption("  \n".join(lines))


def _on_screen(track: TrackRow) -> str:
    screen = track.screen
    return "–" if screen is None else formatting.screen_time(screen.seconds, screen.error_s)


def _show_charts(charts: RunCharts) -> None:
    st.markdown("**Faces against time**")
    st.altair_chart(faces_over_time(charts), width="stretch")
    confidence, face_size = st.columns(2)
    with confidence:
        st.markdown("**Confidence**")
        st.altair_chart(histogram(charts.confidence, "confidence"), width="stretch")
    with face_size:
        st.markdown("**Face height**")
        st.altair_chart(histogram(charts.face_size, "pixels"), width="stretch")
    if charts.unreadable_rows:
        st.warning(f"{count(charts.unreadable_rows)} rows could not be read.")


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
    if run.result is not None and "preview" in run.result.artifacts:
        files.append(("Preview video", download_url(ep_id, run_id, "preview")))
    st.markdown("**Take away**")
    with st.container(horizontal=True):
        for label, url in files:
            st.link_button(label, url, icon=":material/download:")


def _show_details(api: Client, run: RunManifest, diagnosis: Diagnosis) -> None:
    with st.expander("What really ran", icon=":material/receipt_long:"):
        show_description(diagnosis)
        facts, options = st.columns(2)
        facts.dataframe(_facts(run), hide_index=True, height="content")
        values = run.options.model_dump()
        options.dataframe(
            [
                {
                    "Option": name,
                    "Value": option(name, value),
                    "From": source(run.sources.get(name, "")),
                }
                for name, value in values.items()
            ],
            hide_index=True,
            height="content",
        )
    with st.expander("Log", icon=":material/article:"):
        try:
            st.code(api.log(run.ep_id, run.run_id), language=None, height=300)
        except ApiProblem as problem:
            show_problem(problem)


def _stream(video: VideoFacts) -> str:
    """The one that was taken, and how many there were."""
    if video.stream is None:
        return "–"
    several = f", one of {len(video.streams)}" if len(video.streams) > 1 else ""
    return f"{video.stream} ({video.codec}){several}"


def _facts(run: RunManifest) -> list[dict[str, str]]:
    picture = " × ".join(str(side) for side in run.detection_picture)
    stride = run.effective_stride
    models = [model for model in (run.model, run.full_model) if model is not None]
    facts = {
        "Provider": run.provider or "–",
        "Video stream": "–" if run.video is None else _stream(run.video),
        "Frames processed": "–" if stride is None else option("stride", stride),
        "Detector's picture": f"{picture} px" if picture else "–",
        "Model": " and ".join(model.id for model in models) or "–",
        "Model's licence": " and ".join(model.licence for model in models) or "–",
        "Model's SHA-256": " and ".join(model.sha256[:16] for model in models) or "–",
        "Threads": ", ".join(f"{name} {size}" for name, size in run.threads.items()),
        "Seconds": ", ".join(f"{name} {value:g}" for name, value in run.times.items()),
        "Code": run.versions.get("source_fingerprint", "–"),
        "Code of its launcher": run.launcher_fingerprint or "–",
        "Host": run.host,
        "Ended": run.exit_reason or "–",
    }
    return [{"What": name, "Value": value} for name, value in facts.items()]
