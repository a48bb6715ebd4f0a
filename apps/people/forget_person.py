"""Removes one person, by name, from runs and from the log that gave the name."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np

from apps.common.contracts.corrections import CorrectionRow, PersonTracks, RunKey
from apps.common.contracts.manifest import RunManifest
from apps.common.contracts.rows import PersonRow, read_rows
from apps.common.errors import RunNotFound
from apps.common.files import write_atomic
from apps.common.layout import Layout, RunFiles
from apps.people.corrected import CorrectedRun
from apps.people.embeddings import read_arrays, read_embeddings
from apps.people.figures import counted
from apps.people.log import CorrectionLog, read_log
from apps.people.places import Place
from apps.people.replay import Person
from apps.people.run_tracks import read_run_tracks


def forget_by_name(places: Sequence[Place], name: str) -> int:
    """Removes a person from places that share a log; that comes last, since it knows the name.

    Args:
        places: the one with the log first.

    Returns:
        How many files were changed.
    """
    layout, ep_id = places[0].layout, places[0].ep_id
    log = read_log(layout, ep_id)
    runs = [(place.layout, manifest) for place in places for manifest in place.runs()]
    tracks = {(run.run_id, run.started_at): _called(here, run, log, name) for here, run in runs}
    for key in {row.run for row in log.rows} - tracks.keys():
        tracks[key] = _called_in_log(log, key, name)
    changed = sum(
        _forget_in_run(here, run, tracks[run.run_id, run.started_at]) for here, run in runs
    )
    rows = [_without(row, tracks[row.run], name) for row in log.rows]
    if rows != list(log.rows):
        write_atomic(layout.corrections(ep_id), b"".join(row.line() for row in rows), durable=True)
        changed += 1
    return changed


def _called(layout: Layout, manifest: RunManifest, log: CorrectionLog, name: str) -> set[str]:
    """Tracks of a run of whoever is called so in it."""
    try:
        people = CorrectedRun(layout, manifest, log).people.people
    except RunNotFound:  # it has none
        return set()
    return set[str]().union(*(person.tracks for person in people if person.name == name))


def _called_in_log(log: CorrectionLog, run: RunKey, name: str) -> set[str]:
    """Tracks of a run that is gone: those of persons that got this name, and of whom these were."""
    rows = [row for row in log.rows if row.run == run]
    found = {
        track
        for row in rows
        if row.action == "name" and row.name == name  # who it is not is another one
        for person in row.people
        for track in person.track_ids
    }
    for row in rows:
        if row.action == "merge":
            together = {track for person in row.people for track in person.track_ids}
            found |= together if found & together else set()
    return found


def _forget_in_run(layout: Layout, manifest: RunManifest, tracks: set[str]) -> int:
    if not tracks:
        return 0
    files = layout.run(manifest.ep_id, manifest.run_id)
    return _forget_embeddings(files, tracks) + _forget_rows(layout, manifest, files, tracks)


def _forget_embeddings(files: RunFiles, tracks: set[str]) -> int:
    if not files.embeddings.exists():
        return 0
    with files.embeddings.open("rb") as stream:
        arrays = read_arrays(stream)
    if arrays is None:  # nobody can tell whose they are
        files.embeddings.unlink()
        return 1
    kept = np.array([str(track) not in tracks for track in arrays["track_ids"]], bool)
    if kept.all():
        return 0
    rows = {name: array[kept] if array.ndim > 0 else array for name, array in arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **rows)  # type: ignore[arg-type]
    write_atomic(files.embeddings, buffer.getvalue(), durable=True)
    return 1


def _forget_rows(layout: Layout, manifest: RunManifest, files: RunFiles, tracks: set[str]) -> int:
    rows = [row for row in read_rows(files.people, PersonRow) if row is not None]
    kept = [row for row in rows if tracks.isdisjoint(row.track_ids)]
    if len(kept) == len(rows):
        return 0
    for row in rows:
        left = set(row.track_ids) - tracks
        if left and len(left) < len(row.track_ids):
            kept.append(_counted_again(layout, manifest, rows, row, left))
    kept.sort(key=lambda row: (-row.screen_seconds, row.person_id))
    text = "".join(row.line() for row in kept)
    write_atomic(files.people, text.encode(), durable=True)
    return 1


def _counted_again(
    layout: Layout, manifest: RunManifest, rows: list[PersonRow], row: PersonRow, left: set[str]
) -> PersonRow:
    """Who had some of the tracks, without these."""
    person = Person(row.person_id, left, row.name, row.hidden)
    embeddings = read_embeddings(layout, layout.run(manifest.ep_id, manifest.run_id))
    video_s = 0.0 if manifest.video is None else manifest.video.duration_s
    run = read_run_tracks(layout, manifest, rows)
    return counted(person, [row], manifest.ep_id, run, embeddings, video_s)


def _without(row: CorrectionRow, tracks: set[str], name: str) -> CorrectionRow:
    """A line that tells nothing of them; it keeps its place, so that later ones keep theirs."""
    people = [
        PersonTracks(person_id=person.person_id, track_ids=_less(person.track_ids, tracks))
        for person in row.people
    ]
    return row.model_copy(
        update={
            "people": [person for person in people if person.track_ids],
            "track_ids": _less(row.track_ids, tracks),
            "name": None if row.name == name else row.name,
            "tracks": [mark for mark in row.tracks if mark.track_id not in tracks],
        }
    )


def _less(names: Iterable[str], tracks: set[str]) -> list[str]:
    return [name for name in names if name not in tracks]
