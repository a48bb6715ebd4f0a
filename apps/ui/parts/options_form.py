"""What a run is to do: offered from what the server has, bounded by what it accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import streamlit as st

from apps.common.options import RUN_OPTIONS, RunOption, RunRequest
from apps.common.schemas import DetectTrackRequest, PlanRequest, ResolvedPlan, RunOptionsOffer
from apps.ui.client import Bounds
from apps.ui.formatting import MODE_LABELS, OPTION_LABELS, duration, in_words, plain, source
from apps.ui.formatting import option as option_value
from apps.ui.glossary import tip
from apps.ui.numbers import counted
from apps.ui.parts.address import take_options
from apps.ui.session import bounds, offer

AUTO = "auto"
_MODES: tuple[Literal["local", "redis"], ...] = ("local", "redis")
# In the address: a page that is loaded again, or sent to somebody, has the same options.
_KEPT: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
_AT_HAND = ("save_preview", "save_crops")  # the others are folded away


@dataclass(frozen=True)
class Choices:
    """What was chosen; what is absent is the server's to decide.

    Args:
        wrong: a sentence for each value that the server would refuse.
    """

    mode: Literal["local", "redis"]
    options: dict[str, Any]
    wrong: tuple[str, ...] = ()

    def plan_request(self, ep_id: str) -> PlanRequest:
        return PlanRequest(ep_id=ep_id, **self.options)

    def run_request(self, ep_id: str) -> DetectTrackRequest:
        return DetectTrackRequest(ep_id=ep_id, execution_mode=self.mode, **self.options)


def choose(ep_id: str, usual_mode: str, *, returns: bool) -> Choices:
    """The form. The address keeps the options, the tab the mode of each episode.

    Args:
        usual_mode: execution mode of the episode's newest run, chosen at first.
        returns: it was not there before.
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
        help=f"{tip('local run')} {tip('queued run')}",
        key=f"mode-{ep_id}",
        persist_state="session",
    )
    there, limits = offer(), bounds()
    _restore_options(there)
    if returns:
        _show_again(there)
    options: dict[str, Any] = {}
    wrong: list[str] = []
    for column, (name, choose_one) in zip(st.columns(3), _OFFERED.items(), strict=True):
        with column:
            options[name] = choose_one(there)
    with st.container(horizontal=True):
        for name in _AT_HAND:
            options[name] = _field(RUN_OPTIONS[name], limits[name], there, wrong)
    rest = [RUN_OPTIONS[name] for name in RunRequest.model_fields if name not in options]
    numbers = [option for option in rest if option.kind in (int, float)]
    with st.expander("More options", icon=":material/tune:"):
        st.caption("Empty: as the profile says.")
        with st.container(horizontal=True):
            for option in numbers:
                options[option.name] = _field(option, limits[option.name], there, wrong)
        for option in rest:
            if option not in numbers:
                options[option.name] = _field(option, limits[option.name], there, wrong)
    return Choices(
        mode, {name: value for name, value in options.items() if value is not None}, tuple(wrong)
    )


def _restore_options(there: RunOptionsOffer) -> None:
    """Chooses what the address had when this tab began with another view."""
    for key, text in take_options().items():
        option = RUN_OPTIONS.get(key.removeprefix("option-"))
        if option is None or key in st.session_state or key in st.query_params:
            continue
        value = _value_of(option, text, there)
        if value is not None:
            st.session_state[key] = value


def _show_again(there: RunOptionsOffer) -> None:
    """Has the browser show what was chosen before the form went.

    Streamlit says a value to the browser only where the browser has not just said it. A message
    that was under way while the browser cleared the fields that went has the values, and the fields
    that come next would be empty: the next run would have other options than the reader chose.
    """
    for name in RunRequest.model_fields:
        key = f"option-{name}"
        if key in st.session_state and not there.switches.get(name):  # one that is on by itself
            st.session_state[key] = st.session_state[key]


def _value_of(option: RunOption, text: str, there: RunOptionsOffer) -> Any:
    """What a field shows for a text of the address; None where it would not."""
    if option.kind is bool:
        is_on = _SWITCH.get(text)
        by_profile = option.name not in there.switches
        return (None if is_on is None else text) if by_profile else is_on
    if option.kind is str:
        offered = {
            "profile": [profile.name for profile in there.profiles],
            "device": [device.name for device in there.devices],
            "detector": [detector.name for detector in there.detectors],
        }
        return text if text in offered.get(option.name, option.choices) else None
    try:
        return option.kind(text)
    except ValueError:
        return None


def show_plan(plan: ResolvedPlan) -> None:
    """What the run would do: how much, and how long."""
    st.markdown(_headline(plan))
    for warning in plan.warnings:
        st.warning(plain(in_words(warning)), icon=":material/warning:")


def show_sources(plan: ResolvedPlan) -> None:
    """Each value as it would be applied, and where it comes from."""
    values = plan.options.model_dump()
    rows = [
        {
            "Option": label,
            "Value": option_value(name, values[name]),
            "From": source(plan.sources[name]),
        }
        for name, label in OPTION_LABELS.items()
        if name in plan.sources and name in values
    ]
    st.dataframe(
        rows, hide_index=True, height="content", alt="Options of the run, and their sources"
    )


def _headline(plan: ResolvedPlan) -> str:
    parts = []
    if plan.frames_total is not None and plan.effective_stride is not None:
        parts.append(f"**{counted(plan.frames_total, 'frame')}** will be processed")
        if plan.effective_stride != plan.options.stride:
            every = option_value("stride", plan.effective_stride)
            parts.append(f"{every}, for the limit on frames a second")
    if plan.estimate_seconds is not None:
        runs = counted(plan.estimate_runs or 0, "earlier run")
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
        help=tip("profile"),
        **_KEPT,
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
        help=tip("device"),
        **_KEPT,
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
        help=tip("detector"),
        **_KEPT,
    )
    if name == AUTO:
        st.caption("RetinaFace where its weights are there, else CenterFace.")
        return None
    missing = "" if found[name].on_disk else " Its weights will be downloaded first."
    st.caption(plain(f"Licence: {found[name].licence}.{missing}"))
    return str(name)


# What the server knows more of than names.
_OFFERED: dict[str, Callable[[RunOptionsOffer], str | None]] = {
    "profile": _profile,
    "device": _device,
    "detector": _detector,
}


_SWITCH = {"true": True, "false": False}  # words of the address


def _switch_word(word: str) -> str:
    return {"true": "yes", "false": "no"}.get(word, "as the profile says")


def _field(option: RunOption, limits: Bounds, there: RunOptionsOffer, wrong: list[str]) -> Any:
    """The widget that an option's type asks for; None leaves the value to the server.

    Args:
        wrong: gets a sentence where the server would refuse the value.
    """
    common: dict[str, Any] = {
        "label": option.label,
        "key": f"option-{option.name}",
        "help": limits.description,
        **_KEPT,
    }
    usual = there.switches.get(option.name)
    if usual is not None:
        is_on = st.toggle(value=usual, **common)
        return None if is_on == usual else is_on
    if option.kind is bool:  # the profile says whether
        word = st.selectbox(options=[AUTO, *_SWITCH], format_func=_switch_word, **common)
        return _SWITCH.get(word)
    if option.kind is str:
        chosen = st.selectbox(
            options=[AUTO, *option.choices],
            format_func=lambda word: (
                "automatic" if word == AUTO else option_value(option.name, word)
            ),
            **common,
        )
        return None if chosen == AUTO else chosen
    with st.container(width=220, gap="small"):
        number = st.number_input(
            value=None,
            step=option.kind(option.by.step),
            placeholder=option.choices[0] if option.choices else "as the profile says",
            **common,
        )
        # Streamlit's own bounds make the field red, say nothing, and keep the value before.
        problem = limits.problem(number)
        if problem is not None:
            st.error(problem)
            wrong.append(f"{option.label}: {problem}")
    return number
