"""A finished run in a few figures, and what should be known about it."""

from __future__ import annotations

import streamlit as st

from apps.common.contracts import RunResult
from apps.common.schemas import Diagnosis, Finding
from apps.ui.words import count, duration, megabytes, percent, plain, rate, screen_time

_ICONS = {
    "problem": ":material/error:",
    "notice": ":material/info:",
    "info": ":material/check_circle:",
}


def show_figures(result: RunResult) -> None:
    cap = result.options.max_cpu_percent
    figures = [
        ("Time", duration(result.elapsed_seconds), "From the start of its process to its end."),
        ("Frames", count(result.frames_done), f"Processed, of {count(result.frames_total)}."),
        ("Speed", rate(result.analyzed_fps), "Processed frames a second, loading not counted."),
        ("Tracks", count(result.tracks), "Faces that were followed."),
        ("On the screen", duration(result.screen_s), _screen_meaning(result)),
        ("Faces", count(result.detections), "Detections in all processed frames."),
        ("CPU, mean", percent(result.cpu.mean_percent), "100 % is one core."),
        (
            "CPU, peak",
            percent(result.cpu.peak_percent),
            f"The busiest second; {'no cap' if cap is None else f'cap {cap:g} %'}.",
        ),
        ("Memory", megabytes(result.peak_rss_mb), "At most."),
    ]
    with st.container(horizontal=True):
        for label, value, meaning in figures:
            st.metric(label, value, help=meaning, border=True, width=132)
    st.caption(
        f"{plain(result.provider)} · {plain(result.options.detector)} · profile "
        f"{plain(result.profile)} · {result.cpu_threads} threads"
    )
    for warning in result.warnings:
        st.warning(plain(warning), icon=":material/warning:")


def _screen_meaning(result: RunResult) -> str:
    if result.screen_s is None:
        return "This run did not measure it."
    length = screen_time(result.screen_s, result.screen_error_s)
    return f"All tracks together: {length}."


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """What is to be acted on first and openly; what only describes, folded."""
    loud = [finding for finding in diagnosis.findings if finding.severity != "info"]
    quiet = [finding for finding in diagnosis.findings if finding.severity == "info"]
    for finding in loud:
        text = f"**{plain(finding.summary)}** {plain(finding.action)}  \n{_evidence(finding)}"
        show = st.error if finding.severity == "problem" else st.info
        show(text, icon=_ICONS[finding.severity])
    for finding in quiet:
        st.caption(f"{plain(finding.summary)} {plain(finding.action)} {_evidence(finding)}")


def _evidence(finding: Finding) -> str:
    figures = ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in finding.evidence.items()
    )
    return plain(f"({figures})")
