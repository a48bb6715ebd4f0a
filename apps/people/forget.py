"""Removes data of people: of one person or of all, of an episode, in the trash as well.

Videos, tracks and pictures of faces stay: they go with their run or episode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.common.errors import CorrectionsUnreadable, EpisodeBusy
from apps.common.files import storage_errors, sync
from apps.common.layout import Layout
from apps.common.people_schemas import Forgotten
from apps.people.log import corrections_lock
from apps.people.places import Place, all_episodes, places_of_people
from apps.runs.episodes import check_episode
from apps.runs.store import bring_files, list_runs
from apps.runs.trash import alone


def forget_people(layout: Layout, ep_id: str, name: str | None = None) -> Forgotten:
    """Removes what is known of people in an episode: embeddings, people and corrections.

    Args:
        name: only of whoever is called so.

    Raises:
        EpisodeNotFound: there is no such episode, nor anything in the trash.
        EpisodeBusy: a run is on.
        StorageUnavailable: some of its runs are in the storage alone, and that is away.
        CorrectionsUnreadable: a later version has written the log, so that a name is not found.
        StorageFailed: something cannot be removed; the rest may be gone.
    """
    if ep_id not in all_episodes(layout):
        check_episode(layout, ep_id)
    for run_id in list_runs(layout, ep_id):
        bring_files(layout, ep_id, run_id)
    with _held(layout, ep_id), storage_errors():
        found = _forget_all(layout, ep_id) if name is None else _forget_person(layout, ep_id, name)
        if found.files and layout.remote is not None:
            layout.remote.changed(layout, ep_id, at_once=True)
        return found


@contextmanager
def _held(layout: Layout, ep_id: str) -> Iterator[None]:
    """No run publishes results meanwhile, and nobody corrects."""
    with alone(layout, ep_id), corrections_lock(layout, ep_id):
        yield


def _forget_all(layout: Layout, ep_id: str) -> Forgotten:
    removed = 0
    for place in places_of_people(layout, ep_id):
        files = place.layout.run(ep_id, "any")
        names = {files.people.name, files.embeddings.name, layout.corrections(ep_id).name}
        for folder in place.folders():
            for path in _named(folder, names):
                path.unlink(missing_ok=True)
                sync(path.parent)
                removed += 1
    return Forgotten(ep_ids=[ep_id] if removed else [], files=removed)


def _named(folder: Path, names: set[str]) -> Iterator[Path]:
    """Files of these names below a folder; links are not followed."""
    for path, _, found in os.walk(folder):
        yield from (Path(path) / name for name in sorted(names & set(found)))


def _forget_person(layout: Layout, ep_id: str, name: str) -> Forgotten:
    from apps.people.forget_person import forget_by_name  # with NumPy

    groups = list[list[Place]]()
    for place in places_of_people(layout, ep_id):
        if place.has_log:
            groups.append([place])
        else:
            groups[0].append(place)  # a deleted run is corrected by the episode's log
    changed = sum(forget_by_name(group, name) for group in groups)
    return Forgotten(ep_ids=[ep_id] if changed else [], files=changed)


def forget_everywhere(layout: Layout, name: str | None = None) -> Forgotten:
    """The same of all episodes. Those that refuse it stay as they are, and are named.

    Args:
        name: only of whoever is called so.
    """
    all_of_them = Forgotten()
    for ep_id in all_episodes(layout):
        with refusals_noted(all_of_them, ep_id):
            add_to(all_of_them, forget_people(layout, ep_id, name))
    return all_of_them


@contextmanager
def refusals_noted(found: Forgotten, ep_id: str) -> Iterator[None]:
    """An episode that cannot be changed now keeps no other one from it."""
    try:
        yield
    except EpisodeBusy:
        found.busy.append(ep_id)
    except CorrectionsUnreadable:
        found.unreadable.append(ep_id)


def add_to(found: Forgotten, of_one: Forgotten) -> None:
    found.ep_ids += of_one.ep_ids
    found.files += of_one.files
