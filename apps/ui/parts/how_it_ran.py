"""How a run went: speed, CPU and memory, what was found by figures, what really ran, its log.

It is folded, and nothing of it is asked for or counted before somebody opens it.
"""

from __future__ import annotations

import streamlit as st

from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.schemas import RunCharts
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import OPTION_LABELS, option, source
from apps.ui.numbers import counted, significant
from apps.ui.parts.charts import show_chart
from apps.ui.parts.log_text import show_log
from apps.ui.parts.result_card import show_causes, show_description, show_figures
from apps.ui.parts.track_charts import faces_over_time, histogram
from apps.ui.problems import problems_shown, show_problem
from apps.ui.session import client


@st.fragment
def show_how_it_ran(api: Client, run: RunManifest) -> None:
    """For a run in whichever state; only a completed one has figures."""
    warnings = 0 if run.result is None else len(run.result.warnings)
    said = "" if warnings == 0 else f" · {counted(warnings, 'warning')}"
    folded = st.expander(
        f"How it ran{said}",
        icon=":material/speed:",
        key=f"how-it-ran-{run.run_id}",
        on_change="rerun",
    )
    if not folded.open:
        return
    with folded, problems_shown():
        diagnosis = api.diagnosis(run.ep_id, run.run_id)
        if run.result is not None:
            show_causes(diagnosis)  # of another run they stand above
            show_figures(run.result)
        if run.result is not None and run.result.detections > 0:
            _show_charts(charts_of(run.ep_id, run.run_id))
        st.markdown("**What really ran**")
        show_description(diagnosis)
        _show_what_ran(run)
        st.markdown("**Log**")
        _show_log(api, run)


@st.cache_data(max_entries=8, show_spinner="Counting faces…")
def charts_of(ep_id: str, run_id: str) -> RunCharts:
    """Completed runs never change."""
    return client().charts(ep_id, run_id)


def _show_charts(charts: RunCharts) -> None:
    faces, confidence, face_size = st.columns([2, 1, 1])
    with faces:
        st.markdown("**Faces against time**")
        show_chart(faces_over_time(charts))
    with confidence:
        st.markdown("**Confidence**")
        show_chart(histogram(charts.confidence, "confidence"))
    with face_size:
        st.markdown("**Face height**")
        show_chart(histogram(charts.face_size, "pixels"))
    if charts.unreadable_rows:
        st.warning(f"{counted(charts.unreadable_rows, 'row')} could not be read.")


def _show_log(api: Client, run: RunManifest) -> None:
    try:
        show_log(api.log(run.ep_id, run.run_id))
    except ApiProblem as problem:
        show_problem(problem)


def _show_what_ran(run: RunManifest) -> None:
    facts, options = st.columns(2)
    facts.dataframe(_facts(run), hide_index=True, height="content")
    options.dataframe(
        [
            {
                "Option": OPTION_LABELS[name],
                "Value": option(name, value),
                "From": source(run.sources.get(name, "")),
                "Name": name,
            }
            for name, value in run.options.model_dump().items()
        ],
        hide_index=True,
        height="content",
    )


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
        "Seconds": ", ".join(f"{name} {significant(value)}" for name, value in run.times.items()),
        "Code": run.versions.get("source_fingerprint", "–"),
        "Code of its launcher": run.launcher_fingerprint or "–",
        "Host": run.host,
        "Ended": run.exit_reason or "–",
    }
    return [{"What": name, "Value": value} for name, value in facts.items()]
