"""The figures of a person whose tracks were corrected: times, best faces, confidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest

from apps.common.contracts.rows import MAX_BEST_FACES, BestFaceRow, PersonRow
from apps.common.names import track_number
from apps.people.embeddings import Embeddings
from apps.people.replay import Person
from apps.people.run_tracks import RunTracks


def counted(
    person: Person,
    rows: Sequence[PersonRow],
    ep_id: str,
    run: RunTracks,
    embeddings: Embeddings,
    video_s: float,
) -> PersonRow:
    """The row of a person, from the tracks that it has now.

    Args:
        rows: as the run wrote them, of all who have had one of these tracks.
        video_s: duration of the video, seconds.
    """
    times = run.on_screen(person.tracks)
    return PersonRow(
        person_id=person.person_id,
        ep_id=ep_id,
        name=person.name,
        track_ids=sorted(person.tracks, key=track_number),
        **times.figures(video_s),
        best_faces=_best_faces(person.tracks, rows, run),
        confidence=_confidence(person.tracks, rows, embeddings),
        hidden=person.hidden,
    )


def _confidence(tracks: set[str], rows: Sequence[PersonRow], embeddings: Embeddings) -> float:
    """As the run counts it; without embeddings the least that it has said of them."""
    if len(tracks) == 1:
        return 1.0
    known = embeddings.confidence(tracks)
    if known is None:
        known = min((row.confidence for row in rows), default=0.0)
    return round(min(1.0, max(0.0, known)), 4)


def _best_faces(tracks: set[str], rows: Sequence[PersonRow], run: RunTracks) -> list[BestFaceRow]:
    """Those that the run has found, the best one of each first; then the surest of other tracks."""
    by_row = [[face for face in row.best_faces if face.track_id in tracks] for row in rows]
    turns = chain.from_iterable(zip_longest(*by_row))
    found = [face for face in turns if face is not None]
    shown = {face.track_id for face in found}
    found += _surest((track for track in sorted(tracks) if track not in shown), run)
    return found[:MAX_BEST_FACES]


def _surest(tracks: Iterable[str], run: RunTracks) -> Iterator[BestFaceRow]:
    """Of each track the face that is large and sure."""
    for track in tracks:
        seen = run.tracks.get(track)
        if seen is None:
            continue
        sizes = (seen.boxes[:, 2] - seen.boxes[:, 0]) * (seen.boxes[:, 3] - seen.boxes[:, 1])
        best = max(range(len(seen.frames)), key=lambda at: sizes[at] * seen.confidences[at])
        yield BestFaceRow(track_id=track, frame_idx=seen.frames[best], ts_s=seen.seconds[best])
