"""A finished run in a few figures, and what should be known about it."""

from __future__ import annotations

import streamlit as st

from apps.common.contracts.manifest import RunResult
from apps.common.schemas import Diagnosis, Finding
from apps.ui.formatting import (
    OPTION_LABELS,
    count,
    duration,
    in_words,
    megabytes,
    percent,
    plain,
    rate,
    screen_time,
)
from apps.ui.glossary import tip
from apps.ui.numbers import counted, significant

_ICONS = {
    "problem": ":material/error:",
    "notice": ":material/info:",
}


def show_figures(result: RunResult) -> None:
    cap = result.options.max_cpu_percent
    figures = [
        ("Time", duration(result.elapsed_seconds), "From the start of its process to its end."),
        (
            "Frames",
            count(result.frames_done),
            f"Processed, of {count(result.frames_total)}. {tip('stride')}",
        ),
        ("Speed", rate(result.analyzed_fps), "Processed frames a second, loading not counted."),
        ("Tracks", count(result.tracks), tip("track")),
        ("Faces on screen", _on_screen(result), _screen_meaning(result)),
        ("Faces", count(result.detections), f"In all processed frames. {tip('sighting')}"),
        (
            "CPU, mean / peak",
            f"{count(result.cpu.mean_percent)} / {percent(result.cpu.peak_percent)}",
            "Of the whole run, and of its busiest second; "
            f"{'no cap' if cap is None else f'cap {significant(cap)} %'}. 100 % is one core.",
        ),
        ("Memory", megabytes(result.peak_rss_mb), "At most."),
    ]
    with st.container(gap="xsmall"):
        with st.container(horizontal=True):
            for label, value, meaning in figures:
                st.metric(label, value, help=meaning, border=True, width="content")
        st.caption(
            f"{plain(result.provider)} · {plain(result.options.detector)} · profile "
            f"{plain(result.profile)} · {counted(result.cpu_threads, 'thread')}"
        )
    for warning in result.warnings:
        st.warning(_told(warning), icon=":material/warning:")


def _on_screen(result: RunResult) -> str:
    return "–" if result.screen_s is None else screen_time(result.screen_s, result.screen_error_s)


def _screen_meaning(result: RunResult) -> str:
    if result.screen_s is None:
        return "This run did not measure it."
    return (
        f"All tracks together, {duration(result.screen_s)}, and the standard error of that by "
        f"sampling. {tip('on screen')}"
    )


def show_causes(diagnosis: Diagnosis) -> None:
    """What is to be acted on, or explains."""
    for finding in diagnosis.findings:
        if finding.severity == "info":
            continue
        text = f"**{_told(finding.summary)}** {_told(finding.action)}  \n{_evidence(finding)}"
        show = st.error if finding.severity == "problem" else st.info
        show(text, icon=_ICONS[finding.severity])


def show_description(diagnosis: Diagnosis) -> None:
    """What only describes."""
    quiet = [finding for finding in diagnosis.findings if finding.severity == "info"]
    for finding in quiet:
        st.caption(f"{_told(finding.summary)} {_told(finding.action)} {_evidence(finding)}")


def _evidence(finding: Finding) -> str:
    figures = "; ".join(
        f"{OPTION_LABELS.get(name, name.replace('_', ' '))}: {_figure(value)}"
        for name, value in finding.evidence.items()
    )
    return plain(f"({figures})")


def _figure(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return significant(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _told(sentence: str) -> str:
    return plain(in_words(sentence))
