"""The state of every episode: what runs or waits, else how its newest run ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from apps.common.contracts.manifest import ExecutionMode, Progress
from apps.common.layout import Layout
from apps.common.live import EpisodeState, EpisodeStateName
from apps.common.schemas import ActiveRun
from apps.runs.lock import current_holder
from apps.runs.outcomes import Outcome, Outcomes
from apps.runs.record import now
from apps.runs.store import read_progress

# Where an episode has several, the first of these counts.
_UNDER_WAY: dict[str, EpisodeStateName] = {
    "in_progress": "running",
    "retrying": "queued",  # its worker is gone; it is delivered again soon
    "queued": "queued",
}


class EpisodeStates:
    """Of a data root. For one thread at a time; cheap to ask again."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._outcomes = Outcomes(layout)
        self._since: dict[tuple[str, str, str], str] = {}  # when a state under way was seen first

    def look(self, active: Sequence[ActiveRun]) -> dict[str, EpisodeState]:
        """By episode, in the order of their names.

        Args:
            active: what runs and waits. Found before this is asked: a run that has ended since
                then has left its result by now.
        """
        outcomes = self._outcomes.look()
        before, self._since = self._since, {}
        return self._states(active, outcomes, before)

    def of(self, active: Sequence[ActiveRun], names: Sequence[str]) -> dict[str, EpisodeState]:
        """The same of these episodes alone, whatever others there are."""
        return self._states(active, self._outcomes.of(names), self._since)

    def _states(
        self,
        active: Sequence[ActiveRun],
        outcomes: Mapping[str, Outcome],
        before: Mapping[tuple[str, str, str], str],
    ) -> dict[str, EpisodeState]:
        under_way = _first(active)
        states = {}
        for ep_id, outcome in outcomes.items():
            run = under_way.get(ep_id) or self._began_meanwhile(ep_id, outcome)
            if run is None:
                states[ep_id] = _ended(ep_id, outcome)
                continue
            name = _UNDER_WAY[run.state]
            key = (ep_id, run.run_id, name)
            since = self._since[key] = before.get(key) or now()
            states[ep_id] = _active(run, name, outcome, since)
        return states

    def _began_meanwhile(self, ep_id: str, outcome: Outcome) -> ActiveRun | None:
        """A run that is not among the active ones, though its manifest says that it is on."""
        holder = current_holder(self._layout, ep_id) if outcome.state == "unfinished" else None
        if holder is None:
            return None
        return ActiveRun(
            run_id=holder.run_id,
            ep_id=ep_id,
            execution_mode=holder.execution_mode,
            state="in_progress",
            progress=read_progress(self._layout, ep_id, holder.run_id),
        )


def _first(active: Sequence[ActiveRun]) -> dict[str, ActiveRun]:
    """By episode, the one that counts of those that are not over."""
    found: dict[str, ActiveRun] = {}
    for name in _UNDER_WAY:
        for run in active:
            if run.state == name:
                found.setdefault(run.ep_id, run)
    return found


def _ended(ep_id: str, outcome: Outcome) -> EpisodeState:
    return EpisodeState(
        ep_id=ep_id,
        # A manifest that says running while nobody holds the episode is of a run that was killed.
        state="failed" if outcome.state == "unfinished" else outcome.state,
        run_id=outcome.run_id,
        execution_mode=outcome.execution_mode,
        latest_run_id=outcome.latest_run_id,
        runs=outcome.runs,
        title=outcome.about.title,
        pinned=outcome.about.pinned,
        updated=outcome.updated,
    )


def _active(run: ActiveRun, name: EpisodeStateName, outcome: Outcome, since: str) -> EpisodeState:
    report = run.progress if name == "running" else None
    return EpisodeState(
        ep_id=run.ep_id,
        state=name,
        run_id=run.run_id,
        job_id=run.job_id,
        execution_mode=cast("ExecutionMode", run.execution_mode),
        ahead=run.ahead if name == "queued" else None,
        progress=_share(report),
        eta_sec=None if report is None else report.eta_sec,
        report=report,
        latest_run_id=outcome.latest_run_id,
        runs=outcome.runs,
        title=outcome.about.title,
        pinned=outcome.about.pinned,
        updated=since,
    )


def _share(report: Progress | None) -> float | None:
    """How much is done, 0..1; of a run that knows how much there is."""
    if report is None or report.frames_total <= 0:
        return None
    return round(min(1.0, max(0.0, report.frames_done / report.frames_total)), 4)
