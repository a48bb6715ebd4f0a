"""A finished run in a few figures, and what should be known about it."""

from __future__ import annotations

import streamlit as st

from apps.common.contracts.manifest import RunResult
from apps.common.schemas import Diagnosis, Finding
from apps.ui.formatting import count, duration, megabytes, percent, plain, rate, screen_time

_ICONS = {
    "problem": ":material/error:",
    "notice": ":material/info:",
}


def show_figures(result: RunResult) -> None:
    cap = result.options.max_cpu_percent
    figures = [
        ("Time", duration(result.elapsed_seconds), "From the start of its process to its end."),
        ("Frames", count(result.frames_done), f"Processed, of {count(result.frames_total)}."),
        ("Speed", rate(result.analyzed_fps), "Processed frames a second, loading not counted."),
        ("Tracks", count(result.tracks), "Faces that were followed."),
        ("On screen", _on_screen(result), _screen_meaning(result)),
        ("Faces", count(result.detections), "Detections in all processed frames."),
        (
            "CPU, mean / peak",
            f"{result.cpu.mean_percent:.0f} / {percent(result.cpu.peak_percent)}",
            "Of the whole run, and of its busiest second; "
            f"{'no cap' if cap is None else f'cap {cap:g} %'}. 100 % is one core.",
        ),
        ("Memory", megabytes(result.peak_rss_mb), "At most."),
    ]
    with st.container(gap="xsmall"):
        with st.container(horizontal=True):
            for label, value, meaning in figures:
                st.metric(label, value, help=meaning, border=True, width="content")
        st.caption(
            f"{plain(result.provider)} · {plain(result.options.detector)} · profile "
            f"{plain(result.profile)} · {result.cpu_threads} threads"
        )
    for warning in result.warnings:
        st.warning(plain(warning), icon=":material/warning:")


def _on_screen(result: RunResult) -> str:
    return "–" if result.screen_s is None else screen_time(result.screen_s, result.screen_error_s)


def _screen_meaning(result: RunResult) -> str:
    if result.screen_s is None:
        return "This run did not measure it."
    return (
        f"All tracks together, {duration(result.screen_s)}, and the standard error of that by "
        "sampling."
    )


def show_causes(diagnosis: Diagnosis) -> None:
    """What is to be acted on, or explains."""
    for finding in diagnosis.findings:
        if finding.severity == "info":
            continue
        text = f"**{plain(finding.summary)}** {plain(finding.action)}  \n{_evidence(finding)}"
        show = st.error if finding.severity == "problem" else st.info
        show(text, icon=_ICONS[finding.severity])


def show_description(diagnosis: Diagnosis) -> None:
    """What only describes."""
    quiet = [finding for finding in diagnosis.findings if finding.severity == "info"]
    for finding in quiet:
        st.caption(f"{plain(finding.summary)} {plain(finding.action)} {_evidence(finding)}")


def _evidence(finding: Finding) -> str:
    figures = ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in finding.evidence.items()
    )
    return plain(f"({figures})")
