"""Retention: which old runs go by themselves, as a policy says that is off where nobody set one.

They go to the trash like what people delete, so a policy that was set by mistake loses nothing for
a day, and each leaves a line beside its episode, where the disk takes one. A run that was restored
from there stays.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from apps.common.errors import EpisodeBusy, RunNotFound, ScreenalyticsError
from apps.common.files import append_line, size_of
from apps.common.layout import Layout
from apps.common.names import is_comparison_run
from apps.common.open_result import open_result
from apps.common.retention_schemas import PrunedRun, RetentionPolicy, RunThatStays, SurplusRun
from apps.runs.about import about_episode, about_run
from apps.runs.episodes import list_episodes
from apps.runs.record import now, time_of
from apps.runs.store import latest_run_id, list_runs, read_runs
from apps.runs.trash import alone, move_run

_log = logging.getLogger("screenalytics.retention")
_MAX_LOG_BYTES = 16 << 20
_PATIENCE_SECONDS = 10.0  # for another one who moves runs of the episode


def surplus_runs(
    layout: Layout, policy: RetentionPolicy, ep_ids: Iterable[str] | None = None
) -> Iterator[SurplusRun]:
    """Runs that go by a policy, by episode, the newest first.

    What always stays: a run that is on, the newest completed one of an episode and the newest one
    with people, runs with a title, those of pinned episodes and of comparisons, and those that came
    back from the trash.

    Args:
        ep_ids: of these episodes; None for all.
    """
    if not policy.is_on:
        return
    for ep_id in list_episodes(layout) if ep_ids is None else ep_ids:
        yield from _of_episode(layout, ep_id, policy)


def _of_episode(layout: Layout, ep_id: str, policy: RetentionPolicy) -> Iterator[SurplusRun]:
    is_pinned: bool | None = None
    names = [name for name in list_runs(layout, ep_id) if not is_comparison_run(name)]
    stay = set()
    with suppress(RunNotFound):
        stay.add(latest_run_id(layout, ep_id))
    completed = with_people = 0
    for run in read_runs(layout, ep_id, names):
        if run.status == "running":
            continue
        files = layout.run(ep_id, run.run_id)
        is_newest = completed == 0
        completed += run.status == "completed"
        has_people = files.people.is_file() or (files.remote.exists() and run.people is not None)
        if run.status == "completed" and has_people:
            is_newest |= with_people == 0  # other episodes may know somebody by it
            with_people += 1
        if is_newest or run.run_id in stay or files.restored.exists():
            continue
        if about_run(layout, ep_id, run.run_id).title:
            continue
        why = _why(policy, completed, run.status == "completed", run.finished_at or run.started_at)
        if why is None:
            continue
        if is_pinned is None:
            is_pinned = about_episode(layout, ep_id).pinned
        if not is_pinned:
            yield SurplusRun(
                ep_id=ep_id,
                run_id=run.run_id,
                status=run.status,
                started_at=run.started_at,
                finished_at=run.finished_at,
                size_bytes=size_of(files.folder),
                why=why,
            )


def _why(policy: RetentionPolicy, place: int, is_completed: bool, ended: str) -> str | None:
    """Why a run goes; None where it stays.

    Args:
        place: how many of the episode's runs have completed since it began, itself included.
        ended: when; ISO 8601.
    """
    reasons = []
    if policy.keep is not None:
        if is_completed and place <= policy.keep:
            return None
        reasons.append(f"newer ones that have completed: {place - is_completed}")
    if policy.keep_days is not None:
        if not _is_older(ended, policy.keep_days):
            return None
        reasons.append(f"it is older than {policy.keep_days:g} days")
    return " and ".join(reasons)


def _is_older(ended: str, days: float) -> bool:
    try:
        return datetime.now(UTC) - time_of(ended) > timedelta(days=days)
    except ValueError:
        return False  # nobody knows, so it stays


def note_pruned(layout: Layout, run: SurplusRun, trash_id: str) -> PrunedRun:
    """Writes down that a run went: into the service's log in any case, else beside the episode."""
    pruned = PrunedRun(**run.model_dump(), pruned_at=now(), trash_id=trash_id)
    _log.info("run pruned", extra={"ep_id": run.ep_id, "run_id": run.run_id, "why": run.why})
    path = layout.pruned(run.ep_id)
    try:
        if layout.inside(path) is None:
            raise OSError(errno.ELOOP, "it leads out of the data root")
        append_line(path, pruned.model_dump_json().encode() + b"\n")
    except OSError as error:
        _log.warning("it was not written down", extra={"ep_id": run.ep_id, "why": error.strerror})
    return pruned


def pruned_runs(layout: Layout, ep_id: str) -> list[PrunedRun]:
    """What went of an episode, in that order; lines that cannot be read are passed over."""
    try:
        with open_result(layout, layout.pruned(ep_id)) as stream:
            lines = stream.read(_MAX_LOG_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValidationError):
            found.append(PrunedRun.model_validate_json(line))
    return found


def prune_episode(
    layout: Layout, ep_id: str, policy: RetentionPolicy, waited_for: Mapping[str, EpisodeBusy]
) -> tuple[list[PrunedRun], list[RunThatStays]]:
    """Moves the episode's surplus runs to the trash, and writes that down.

    Which they are is found out while nothing else changes the episode: whatever has happened since
    somebody looked (another one pruned it, it was pinned, a title, a newer run that was deleted)
    counts.

    Args:
        waited_for: by run, why it stays, as a job is for it.

    Raises:
        EpisodeBusy: a run holds the episode; all stay.
        StorageFailed: the data root is not writable; all stay.
    """
    went: list[PrunedRun] = []
    stay: list[RunThatStays] = []
    with alone(layout, ep_id, _PATIENCE_SECONDS):
        for run in list(surplus_runs(layout, policy, [ep_id])):
            try:
                if run.run_id in waited_for:
                    raise waited_for[run.run_id]
                deleted = move_run(layout, ep_id, run.run_id)
                went.append(note_pruned(layout, run, deleted.trash_id))
            except ScreenalyticsError as error:
                stay.append(RunThatStays(ep_id=ep_id, run_id=run.run_id, why=error.detail))
    return went, stay
