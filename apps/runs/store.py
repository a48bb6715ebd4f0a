"""Reads finished and running runs from disk. Whatever a file holds, a listing never breaks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from apps.common.contracts.manifest import Progress, RunManifest, RunStatus
from apps.common.errors import RunNotFound
from apps.common.files import entries_of, is_file, read_json, storage_errors, write_json
from apps.common.layout import Layout, RunFiles
from apps.common.names import LATEST, is_comparison_run, is_name, is_run_name
from apps.common.open_result import open_result, result_json
from apps.runs.lock import current_holder
from apps.runs.record import now

_log = logging.getLogger("screenalytics.runs")
_BEGINNING_BYTES = 1024
_STARTED_AT = re.compile(rb'^ +"started_at": "([^"\\]+)"', re.MULTILINE)


def read_manifest(layout: Layout, ep_id: str, run_id: str) -> RunManifest:
    """The manifest of a run; `latest` names the newest completed one.

    A manifest that says `running` while nobody holds the episode for it is of a run that was
    killed: it is read as `interrupted`.

    Raises:
        InvalidInput: a name is not legal.
        RunNotFound: there is no such run, or its manifest cannot be read.
    """
    if run_id == LATEST:
        run_id = latest_run_id(layout, ep_id)
    manifest = _found(layout, ep_id, run_id)
    if manifest.status != "running" or _is_alive(layout, manifest):
        return manifest
    manifest = _load(layout, ep_id, run_id)  # it may have ended between the two looks
    if manifest.status != "running":
        return manifest
    return manifest.model_copy(
        update={"status": "interrupted", "exit_reason": "The run was killed."}
    )


def read_completed(layout: Layout, ep_id: str, run_id: str) -> RunManifest:
    """The manifest of a run that has results; as `read_manifest`.

    Raises:
        RunNotFound: it has not completed; the others have no results, whatever lies in their
            folder.
    """
    manifest = read_manifest(layout, ep_id, run_id)
    bring_files(layout, ep_id, manifest.run_id)
    if manifest.status != "completed":
        raise RunNotFound(
            f"Run {manifest.run_id!r} is {manifest.status}; it has no results.",
            hint="Results appear when a run has completed.",
            run_status=manifest.status,
        )
    return manifest


def bring_files(layout: Layout, ep_id: str, run_id: str) -> None:
    """Brings a run's files here where only its manifest is: the rest is in the storage.

    Raises:
        StorageUnavailable: it does not answer.
    """
    if layout.remote is not None and layout.run(ep_id, run_id).remote.exists():
        layout.remote.bring_results(layout, ep_id, run_id)


def _found(layout: Layout, ep_id: str, run_id: str) -> RunManifest:
    """A run's manifest, from the storage where it is not here."""
    path = layout.run(ep_id, run_id).manifest
    if layout.remote is not None and not path.exists():
        layout.remote.bring_run(layout, ep_id, run_id)
    return _load(layout, ep_id, run_id)


def _load(layout: Layout, ep_id: str, run_id: str) -> RunManifest:
    body = result_json(layout, layout.run(ep_id, run_id).manifest)
    try:
        manifest = None if body is None else RunManifest.model_validate(body)
    except ValidationError:
        manifest = None
    # A manifest that was copied here from another run tells nothing about this one.
    if manifest is None or (manifest.ep_id, manifest.run_id) != (ep_id, run_id):
        raise no_such_run(ep_id, run_id)
    return manifest


def no_such_run(ep_id: str, run_id: str) -> RunNotFound:
    """Says that an episode has no run of this name."""
    return RunNotFound(
        f"Episode {ep_id!r} has no run {run_id!r}.",
        hint=f"See GET /episodes/{ep_id}/runs, or screenalytics list {ep_id}.",
    )


def latest_run_id(layout: Layout, ep_id: str) -> str:
    """The newest completed run of an episode; a comparison's is none.

    Raises:
        RunNotFound: no run of the episode is complete.
    """
    run_id = (result_json(layout, layout.latest(ep_id)) or {}).get("run_id")
    if isinstance(run_id, str) and is_comparison_run(run_id):  # written by an older version
        newest = newest_completed(layout, ep_id)
        run_id = None if newest is None else newest.run_id
    if not isinstance(run_id, str) or not is_run_name(run_id):
        raise RunNotFound(
            f"Episode {ep_id!r} has no completed run.",
            hint="Start one, or look at those that did not complete: on the page Results, by "
            f"GET /episodes/{ep_id}/runs or screenalytics list {ep_id}.",
        )
    return run_id


def newest_completed(layout: Layout, ep_id: str) -> RunManifest | None:
    """The completed run that started last, looked for among all but those of comparisons."""
    names = (name for name in list_runs(layout, ep_id) if not is_comparison_run(name))
    runs = read_runs(layout, ep_id, names)
    return next((run for run in runs if run.status == "completed"), None)


def point_latest_anew(layout: Layout, ep_id: str) -> None:
    """Has `latest.json` name the newest completed run that there is, after one has gone or come.

    Raises:
        StorageFailed: it cannot be written.
    """
    newest = newest_completed(layout, ep_id)
    with storage_errors():
        if newest is None:
            layout.latest(ep_id).unlink(missing_ok=True)
        else:
            latest = {"run_id": newest.run_id, "finished_at": newest.finished_at}
            write_json(layout.latest(ep_id), latest, durable=True)


def list_runs(layout: Layout, ep_id: str) -> list[str]:
    """The names of an episode's runs, newest first, by the beginnings of their manifests.

    So a page of many runs is cut out before their manifests are read (`read_runs`).
    """
    starts = ((_started_at(layout, run.manifest), run.folder.name) for run in _runs(layout, ep_id))
    return [name for start, name in sorted(starts, reverse=True) if start]


def read_runs(layout: Layout, ep_id: str, names: Iterable[str]) -> Iterator[RunManifest]:
    """The manifests of these runs, one at a time; those that cannot be read are passed over."""
    for name in names:
        with suppress(RunNotFound):
            yield read_manifest(layout, ep_id, name)


def count_runs(layout: Layout, ep_id: str) -> int:
    """How many runs an episode has, by their folders; no manifest is read."""
    return sum(is_file(run.manifest) for run in _runs(layout, ep_id))


def has_runs(layout: Layout, ep_id: str) -> bool:
    """Whether an episode has a run, by their folders; no manifest is read."""
    return any(is_file(run.manifest) for run in _runs(layout, ep_id))


def newest_runs(layout: Layout, ep_id: str, limit: int) -> list[RunManifest]:
    """The episode's runs whose manifests changed last, the newest first; reads at most `limit`."""
    changed = [(_changed(run.manifest), run.folder.name) for run in _runs(layout, ep_id)]
    names = [name for when, name in sorted(changed, reverse=True) if when > 0]
    return list(read_runs(layout, ep_id, names[:limit]))


def newest_of_episodes(layout: Layout, limit: int) -> list[RunManifest]:
    """The newest completed run of each of the episodes that ran last; reads at most `limit`."""
    episodes = [path.name for path in entries_of(layout.all_manifests) if is_name(path.name)]
    changed = [(_changed(layout.latest(ep_id)), ep_id) for ep_id in episodes]
    newest = [ep_id for when, ep_id in sorted(changed, reverse=True) if when > 0]
    return [run for ep_id in newest[:limit] for run in read_runs(layout, ep_id, [LATEST])]


def _runs(layout: Layout, ep_id: str) -> Iterator[RunFiles]:
    folders = entries_of(layout.runs(ep_id))
    return (RunFiles(folder) for folder in folders if is_run_name(folder.name))


def _changed(path: Path) -> int:
    """When a file changed last, in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _started_at(layout: Layout, path: Path) -> str:
    """When the run of a manifest started; empty where it does not say.

    It is among the first fields, so that a whole manifest need not be read.
    """
    try:
        with open_result(layout, path) as stream:
            found = _STARTED_AT.search(stream.read(_BEGINNING_BYTES))
    except OSError:
        return ""
    if found is not None:
        return found[1].decode("utf-8", "replace")
    start = (result_json(layout, path) or {}).get("started_at")
    return start if isinstance(start, str) else ""


def read_progress(layout: Layout, ep_id: str, run_id: str) -> Progress | None:
    """How far a run is; None where it has not said so, or nobody can read it."""
    body = result_json(layout, layout.run(ep_id, run_id).progress)
    try:
        return None if body is None else Progress.model_validate(body)
    except ValidationError:
        return None


def close_unfinished(
    layout: Layout,
    ep_id: str,
    run_id: str,
    status: RunStatus,
    reason: str,
    *,
    pid: int | None = None,
) -> None:
    """Says how a run ended whose process is gone and did not say so. Only its launcher may.

    An ending that is written stays. Where this one cannot be written, as on a full disk, readers
    find the run interrupted.

    Args:
        pid: that process; the run of another one under the same name is left alone.
    """
    path = layout.run(ep_id, run_id).manifest
    body = read_json(path)
    if body is None or body.get("status") != "running" or pid not in (None, body.get("pid")):
        return
    ended = {**body, "status": status, "exit_reason": reason, "finished_at": now()}
    try:
        write_json(path, ended, durable=True)
    except OSError as error:
        _log.warning("a run's end was not written", extra={"why": error.strerror})


def _is_alive(layout: Layout, manifest: RunManifest) -> bool:
    holder = current_holder(layout, manifest.ep_id)
    return holder is not None and holder.run_id == manifest.run_id
