"""The cast of a show: who was named in its episodes, and what they look like.

It is kept nowhere: names are read from the logs of corrections, faces from the runs. So whoever is
removed from an episode is no more suggested from there.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

from apps.common.contracts.manifest import RunManifest
from apps.common.errors import RunNotFound, ScreenalyticsError
from apps.common.files import entries_of
from apps.common.layout import Layout
from apps.common.names import is_name, show_of, track_number
from apps.people.corrected import CorrectedRun
from apps.people.known import Known, states_of
from apps.people.log import CorrectionLog, read_log
from apps.people.member import Member
from apps.runs.about import about_episode
from apps.runs.store import list_runs, read_completed, read_manifest


def show_of_episode(layout: Layout, ep_id: str) -> str | None:
    """The show that was given for an episode, else what its name tells."""
    return about_episode(layout, ep_id).show or show_of(ep_id)


def episodes_of_show(layout: Layout, show: str, known: Known) -> list[str]:
    """Names of its episodes that have runs.

    Args:
        known: of which show an episode is; what people said of it is read again when it changed.
    """
    key = show_key(show)
    names = sorted(path.name for path in entries_of(layout.all_manifests) if is_name(path.name))
    return [name for name in names if _key_of(layout, name, known) == key]


def _key_of(layout: Layout, ep_id: str, known: Known) -> str:
    return known.shows.of(
        ep_id,
        os.fspath(layout.about(ep_id)),
        lambda: show_key(show_of_episode(layout, ep_id) or ""),
    )


def show_key(show: str) -> str:
    """What names of one show have in common, whoever typed them.

    Case, forms of one letter (NFKC), spaces and characters that are not seen tell no two apart.
    """
    seen = "".join(
        letter
        for letter in unicodedata.normalize("NFKC", show)
        if unicodedata.category(letter) != "Cf"
    )
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())


def named_in(layout: Layout, ep_id: str, known: Known) -> tuple[Member, ...]:
    """Who was named in an episode; hidden ones were not meant to be seen again.

    Raises:
        CorrectionsUnreadable: a later version has written the log.
    """
    log_state = states_of(layout, layout.corrections(ep_id))  # before it is read: it may grow
    log = read_log(layout, ep_id)
    if not any(row.action == "name" and row.name for row in log.standing):
        return ()
    manifest = _run_of_names(layout, ep_id, log)
    if manifest is None:
        return ()
    files = layout.run(ep_id, manifest.run_id)
    states = states_of(layout, files.people, files.tracks, files.embeddings, files.manifest)
    return known.casts.of(
        (log_state, states), lambda: _named(CorrectedRun(layout, manifest, log, known))
    )


def _run_of_names(layout: Layout, ep_id: str, log: CorrectionLog) -> RunManifest | None:
    """The run in which a name was given last, else the newest one that has people.

    In the one in which they were given nobody has to be found again.
    """
    named = [row.run_id for row in reversed(log.standing) if row.action == "name" and row.name]
    for run_id in dict.fromkeys([*named, *list_runs(layout, ep_id)]):
        with suppress(ScreenalyticsError):
            is_elsewhere = layout.run(ep_id, run_id).remote.exists()
            if is_elsewhere and read_manifest(layout, ep_id, run_id).people is None:
                continue  # none of it is needed here
            manifest = read_completed(layout, ep_id, run_id)
            found = layout.inside(layout.run(ep_id, run_id).people)
            if found is not None and found.is_file():
                return manifest
    return None


def _named(run: CorrectedRun) -> tuple[Member, ...]:
    try:
        return tuple(_members(run))
    except RunNotFound:
        return ()


def _members(run: CorrectedRun) -> Iterator[Member]:
    best = {
        face.track_id: place for row in run.rows for place, face in enumerate(row.best_faces)
    }  # of a person the best one comes first
    for person in run.people.people:
        if not person.name or person.hidden or not person.tracks:
            continue
        tracks = sorted(person.tracks, key=track_number)
        yield Member(
            name=person.name,
            ep_id=run.manifest.ep_id,
            run_id=run.manifest.run_id,
            person_id=person.person_id,
            face=min(tracks, key=lambda track: best.get(track, len(best))),
            look=run.embeddings.look(tracks),
            model_id=run.embeddings.model_id,
        )
