"""Choosing among an episode's runs: what the address asks for, else the newest worth a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from apps.common.schemas import ActiveRun, RunList, RunSummary
from apps.ui.client import Client
from apps.ui.formatting import MODE_LABELS, moment, plain
from apps.ui.numbers import counted
from apps.ui.parts.address import asked, shortened, show_address
from apps.ui.session import reader_zone

_COMPARED_FIRST = 2
_BETWEEN = " · "  # parts of what a run is called in the box
_MISSING_ICON = ":material/link_off:"


@dataclass(frozen=True)
class RunChoice:
    """Which run is shown, and what is to be said of it.

    Args:
        run_id: None where there is none, or one was asked for that is not there.
        missing: what was asked for and is not there.
        usual: the run that is shown where none is asked for; None where there are no runs.
        newer: the newest run, where that is another one and did not complete.
        shown: the run of `run_id`.
        peopled: the newest completed run that has people; None where none has.
    """

    ep_id: str
    run_id: str | None
    missing: str | None
    usual: str | None
    newer: RunSummary | None
    shown: RunSummary | None = None
    peopled: RunSummary | None = None


def usual_run(runs: list[RunSummary]) -> RunSummary | None:
    """The newest completed one that is no comparison's; else the newest completed, or the newest.

    Args:
        runs: newest first.
    """
    completed = [run for run in runs if run.status == "completed"]
    own = [run for run in completed if not run.of_comparison]
    return next(iter([*own, *completed, *runs]), None)


def pick_run(api: Client, ep_id: str, label: Callable[[RunSummary], str]) -> RunChoice:
    """The box with the episode's runs. The address follows the choice."""
    runs = {run.run_id: run for run in _comparisons_last(api.runs(ep_id).items)}
    usual = usual_run(list(runs.values()))
    missing = _find_asked(ep_id, runs, usual)
    if usual is None:
        show_address(ep_id if missing is None else None)
        return RunChoice(ep_id, None, missing, None, None)
    run_id = st.selectbox(
        "Run",
        list(runs),
        index=0 if missing is None else None,
        format_func=lambda run_id: label(runs[run_id]),
        key=_key(ep_id),
        persist_state="session",
        placeholder="Choose a run",
    )
    if run_id is None:
        show_address(None)
        return RunChoice(ep_id, None, missing, usual.run_id, None)
    st.session_state.pop(_missing_key(ep_id), None)
    show_address(ep_id, [run_id], steps=["run"])
    newest = max(runs.values(), key=lambda run: run.started_at)
    is_newer = run_id == usual.run_id != newest.run_id and newest.status not in _FINE
    peopled = (run for run in runs.values() if run.status == "completed" and run.people)
    return RunChoice(
        ep_id,
        str(run_id),
        None,
        usual.run_id,
        newest if is_newer else None,
        runs[run_id],
        next(peopled, None),
    )


def run_label(run: RunSummary) -> str:
    """What a run is called in the box."""
    mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
    end = counted(run.tracks or 0, "track") if run.status == "completed" else run.status
    started = moment(run.started_at, reader_zone())
    said = [run.title, "of a comparison" if run.of_comparison else None, started, mode]
    # The box tells its options apart by these words, so the name is among them: the last one.
    return _BETWEEN.join(filter(None, [*said, run.profile, end, run.run_id]))


def _run_of(value: str | None) -> str | None:
    """The name of a run, of what the box holds.

    That is a name, or the words of an option as the browser saw it last: where a run has ended
    meanwhile these are no option's any more, and Streamlit hands them over as they are.
    """
    return value and value.rsplit(_BETWEEN, 1)[-1]


def forget_choice(ep_id: str, run_id: str) -> None:
    """Has another run be chosen in place of one that this reader has removed.

    The browser may tell once more that it is chosen, as long as it has not seen the next one.
    """
    _removed(ep_id).add(run_id)


def _comparisons_last(runs: list[RunSummary]) -> list[RunSummary]:
    """Those that people started, newest first, then those of comparisons, newest first."""
    return sorted(runs, key=lambda run: run.of_comparison)


_FINE = ("completed", "running")


def show_choice(choice: RunChoice) -> None:
    """Says what is not there, and what became of a newer run than the one that is shown."""
    if choice.missing is not None:
        _show_missing(choice.ep_id, [choice.missing])
        if choice.usual is not None:
            st.button(
                "Show the newest run",
                icon=":material/movie:",
                on_click=_choose,
                args=(choice.ep_id, choice.usual),
            )
    if choice.usual is None:
        st.info(
            "**No runs of this episode yet.** Start one on the page Detect/Track.",
            icon=":material/movie:",
        )
    if choice.newer is not None:
        _show_newer(choice.newer)


def show_run_with_people(choice: RunChoice) -> None:
    """Where the run that is shown has no people: offers the newest one that has."""
    run = choice.peopled
    if run is not None:
        st.info(f"**Another run has people:** {plain(run_label(run))}", icon=":material/group:")
        st.button(
            "Show its people",
            icon=":material/group:",
            on_click=_choose,
            args=(choice.ep_id, run.run_id),
        )


def show_newest_in_address(ep_id: str, active: ActiveRun | None, runs: RunList) -> None:
    """Has the address name the run that Detect/Track shows; says where another is."""
    items = [run.run_id for run in runs.items]
    shown = active.run_id if active is not None else next(iter(items), None)
    wanted = next(iter(asked().take_runs(ep_id)), None)
    if wanted is not None:
        st.session_state[_missing_key(ep_id)] = wanted
    show_address(ep_id, [] if shown is None else [shown])
    noted = st.session_state.get(_missing_key(ep_id))
    if noted is not None and noted != shown:
        if noted not in items:
            _show_missing(ep_id, [noted])
        else:
            st.session_state[_key(ep_id)] = noted
            st.caption(f"This view shows the newest run; {plain(noted)} is in Results.")


def choose_asked_runs(key: str, ep_id: str, runs: list[str], most: int) -> None:
    """Sets the box of runs that are compared: those asked for, else those chosen, else the newest.

    Args:
        key: of the box.
        runs: that there are, newest first.
    """
    wanted = asked().take_runs(ep_id)
    chosen = [run_id for run_id in wanted if run_id in runs][:most]
    if wanted:
        missing = [run_id for run_id in wanted if run_id not in runs]
        st.session_state[_missing_key(key)] = missing
        st.session_state[key] = chosen
    elif key not in st.session_state:
        st.session_state[key] = runs[:_COMPARED_FIRST]
    missing = st.session_state.get(_missing_key(key), [])
    if missing:
        _show_missing(ep_id, missing)


def _find_asked(ep_id: str, runs: dict[str, RunSummary], usual: RunSummary | None) -> str | None:
    """Chooses what the address asks for, else what was chosen, else the usual one.

    Returns:
        What was asked for and is not there; nothing is chosen then, until the reader does.
    """
    key, missing_key = _key(ep_id), _missing_key(ep_id)
    chosen = _run_of(st.session_state.get(key))
    if chosen not in runs and chosen in _removed(ep_id):
        chosen = None
    wanted = next(iter(asked().take_runs(ep_id)), None) or chosen
    if wanted is None and missing_key in st.session_state:
        return str(st.session_state[missing_key])
    if wanted is not None and wanted not in runs:
        st.session_state[key], st.session_state[missing_key] = None, wanted
        return wanted
    if wanted is None and usual is not None:
        wanted = usual.run_id
    st.session_state[key] = wanted  # also where it is chosen already, for a box on another view
    return None


def _key(ep_id: str) -> str:
    return f"run-{ep_id}"


def _removed(ep_id: str) -> set[str]:
    """Runs that this reader has removed; they may have been put back."""
    removed: set[str] = st.session_state.setdefault(f"removed-runs-{ep_id}", set())
    return removed


def _missing_key(of: str) -> str:
    return f"missing-run-{of}"


def _choose(ep_id: str, run_id: str) -> None:
    st.session_state[_key(ep_id)] = run_id


def _show_missing(ep_id: str, names: list[str]) -> None:
    shown = ", ".join(f"“{plain(shortened(name))}”" for name in names[:3])
    st.warning(f"**There is no run {shown} of {plain(ep_id)}.**", icon=_MISSING_ICON)


def _show_newer(run: RunSummary) -> None:
    """What became of the newest run, over the result of an older one."""
    started = plain(moment(run.started_at, reader_zone()))
    below = "Below is the newest run that completed."
    if run.status == "cancelled":
        st.info(f"{_stopped(run, started)} {below}", icon=":material/stop_circle:")
    else:
        reason = plain(run.exit_reason or "")
        st.error(
            f"**The run of {started} {run.status}.** {reason} {below}", icon=":material/error:"
        )


def _stopped(run: RunSummary, started: str) -> str:
    """Whoever looks has stopped it, unless its server or worker was."""
    if any(word in (run.exit_reason or "") for word in ("server", "worker")):
        return f"The run of {started} was stopped: {plain(run.exit_reason or '')}"
    return f"You stopped the run of {started}."
