"""What a run is to do: offered from what the server has, bounded by what it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import streamlit as st

from apps.common.options import Precision, SmallFaces
from apps.common.schemas import DetectTrackRequest, PlanRequest, ResolvedPlan, RunOptionsOffer
from apps.ui.client import Bounds
from apps.ui.formatting import MODE_LABELS, OPTION_LABELS, count, duration, option, plain, source
from apps.ui.session import bounds, offer

AUTO = "auto"
_MODES: tuple[Literal["local", "redis"], ...] = ("local", "redis")
_NUMBERS = (
    *("stride", "fps", "det_size", "det_thresh", "cpu_threads", "max_cpu_percent"),
    "video_stream",
)
_WHOLE = ("stride", "det_size", "cpu_threads", "video_stream")
_STEPS = {"det_size": 32, "det_thresh": 0.05, "max_cpu_percent": 50.0}


@dataclass(frozen=True)
class Choices:
    """What was chosen; what is absent is the server's to decide."""

    mode: Literal["local", "redis"]
    options: dict[str, Any]

    def plan_request(self, ep_id: str) -> PlanRequest:
        return PlanRequest(ep_id=ep_id, **self.options)

    def run_request(self, ep_id: str) -> DetectTrackRequest:
        return DetectTrackRequest(ep_id=ep_id, execution_mode=self.mode, **self.options)


def choose(ep_id: str, usual_mode: str) -> Choices:
    """The form. Widgets keep what they were told while the tab lives, the mode for each episode.

    Args:
        usual_mode: of the episode's newest run.
    """
    mode = st.radio(
        "Execution mode",
        _MODES,
        index=_MODES.index(cast("Any", usual_mode)) if usual_mode in _MODES else 0,
        format_func=lambda name: MODE_LABELS[name],
        captions=[
            "Runs while this page is open; ends with it.",
            "A worker runs it; this page may be closed.",
        ],
        horizontal=True,
        key=f"mode-{ep_id}",
        persist_state="session",
    )
    there, limits = offer(), bounds()
    options: dict[str, Any] = {}
    first, second, third = st.columns(3)
    with first:
        options["profile"] = _profile(there)
    with second:
        options["device"] = _device(there)
    with third:
        options["detector"] = _detector(there)
    with st.container(horizontal=True):
        for name in ("save_preview", "save_crops"):
            options[name] = _switch(name, limits[name])
    with st.expander("More options", icon=":material/tune:"):
        st.caption("Empty: as the profile says.")
        with st.container(horizontal=True):
            for name in _NUMBERS:
                options[name] = _number(name, limits[name])
        options["precision"] = _named("precision", get_args(Precision), limits["precision"])
        options["small_faces"] = _named("small_faces", get_args(SmallFaces), limits["small_faces"])
        options["allow_cpu_fallback"] = _switch("allow_cpu_fallback", limits["allow_cpu_fallback"])
    return Choices(mode, {name: value for name, value in options.items() if value is not None})


def show_plan(plan: ResolvedPlan) -> None:
    """What the run would do: how much, and how long."""
    st.markdown(_headline(plan))
    for warning in plan.warnings:
        st.warning(plain(warning), icon=":material/warning:")


def show_sources(plan: ResolvedPlan) -> None:
    """Each value as it would be applied, and where it comes from."""
    values = plan.options.model_dump()
    rows = [
        {"Option": label, "Value": option(name, values[name]), "From": source(plan.sources[name])}
        for name, label in OPTION_LABELS.items()
        if name in plan.sources and name in values
    ]
    st.dataframe(
        rows, hide_index=True, height="content", alt="Options of the run, and their sources"
    )


def _headline(plan: ResolvedPlan) -> str:
    parts = []
    if plan.frames_total is not None and plan.effective_stride is not None:
        parts.append(f"**{count(plan.frames_total)} frames** will be processed")
        if plan.effective_stride != plan.options.stride:
            every = option("stride", plan.effective_stride)
            parts.append(f"{every}, for the limit on frames a second")
    if plan.estimate_seconds is not None:
        runs = f"{plan.estimate_runs} earlier run{'s' if plan.estimate_runs != 1 else ''}"
        parts.append(f"about **{duration(plan.estimate_seconds)}**, judged by {runs}")
    elif plan.frames_total is not None:
        parts.append("no earlier run to judge the time by")
    return " · ".join(parts)


def _profile(there: RunOptionsOffer) -> str | None:
    summaries = {profile.name: profile.summary for profile in there.profiles}
    name = st.selectbox(
        "Profile",
        [AUTO, *summaries],
        format_func=lambda word: "automatic" if word == AUTO else word,
        key="option-profile",
        persist_state="session",
    )
    st.caption(plain(summaries.get(name, "The one that suits the device.")))
    return None if name == AUTO else name


def _device(there: RunOptionsOffer) -> str | None:
    found = {device.name: device for device in there.devices}
    name = st.selectbox(
        "Device",
        [AUTO, *found],
        format_func=lambda word: (
            word if word == AUTO or found[word].available else f"{word} (not on this machine)"
        ),
        key="option-device",
        persist_state="session",
    )
    best = next((d.name for d in there.devices if d.available), "cpu")
    st.caption(f"The best that is there: {best}." if name == AUTO else found[name].provider)
    return None if name == AUTO else name


def _detector(there: RunOptionsOffer) -> str | None:
    found = {detector.name: detector for detector in there.detectors}
    name = st.selectbox(
        "Detector",
        [AUTO, *found],
        key="option-detector",
        persist_state="session",
    )
    if name == AUTO:
        st.caption("RetinaFace where its weights are there, else CenterFace.")
        return None
    missing = "" if found[name].on_disk else " Its weights will be downloaded first."
    st.caption(plain(f"Licence: {found[name].licence}.{missing}"))
    return str(name)


def _named(name: str, values: Sequence[str], limits: Bounds) -> str | None:
    """One of some values; None leaves it to the server."""
    chosen = st.selectbox(
        OPTION_LABELS[name],
        [AUTO, *values],
        format_func=lambda word: "automatic" if word == AUTO else option(name, word),
        key=f"option-{name}",
        help=limits.description,
        persist_state="session",
    )
    return None if chosen == AUTO else chosen


def _switch(name: str, limits: Bounds) -> bool | None:
    """True where it was switched on; None leaves it to the server."""
    on = st.toggle(
        OPTION_LABELS[name],
        key=f"option-{name}",
        help=limits.description,
        persist_state="session",
    )
    return True if on else None


def _number(name: str, limits: Bounds) -> float | int | None:
    kind = int if name in _WHOLE else float
    low = None if limits.minimum is None else kind(limits.minimum)
    high = None if limits.maximum is None else kind(limits.maximum)
    return st.number_input(
        OPTION_LABELS[name],
        min_value=low,
        max_value=high,
        value=None,
        step=kind(_STEPS.get(name, 1)),
        key=f"option-{name}",
        help=limits.description,
        placeholder="auto" if name == "video_stream" else "as the profile says",
        persist_state="session",
        width=220,
    )
