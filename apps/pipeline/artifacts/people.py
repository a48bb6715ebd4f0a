"""People: who is in a run's tracks, and the numbers by which that was found, as files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apps.common.contracts.manifest import ModelFacts
from apps.common.contracts.rows import MAX_BEST_FACES, BestFaceRow, PersonRow
from apps.common.layout import RunFiles
from apps.common.names import person_name, track_name
from apps.common.stretches import OnScreen
from apps.pipeline.arrays import FloatArray


@dataclass(frozen=True)
class Person:
    """Tracks of one person.

    Args:
        tracks: numbers, ascending.
        faces: score, track, frame and time of faces that were described.
        confidence: of the group, 0..1.
    """

    tracks: tuple[int, ...]
    faces: tuple[tuple[float, int, int, float], ...]
    confidence: float


def write_people(
    staged: RunFiles,
    ep_id: str,
    people: Sequence[Person],
    on_screen: Callable[[tuple[int, ...]], OnScreen],
    video_s: float,
) -> None:
    """Writes `people.jsonl`: who is on the screen longest comes first.

    Args:
        on_screen: of tracks, by their numbers.
        video_s: duration of the video, seconds.
    """
    shown = [(person, on_screen(person.tracks)) for person in people]
    shown.sort(key=lambda pair: (-round(pair[1].seconds, 4), pair[0].tracks))
    with staged.people.open("w", encoding="utf-8") as stream:
        for number, (person, times) in enumerate(shown, start=1):
            stream.write(_row(number, ep_id, person, times, video_s).line())


def _row(number: int, ep_id: str, person: Person, times: OnScreen, video_s: float) -> PersonRow:
    best = sorted(person.faces, key=lambda face: (-face[0], face[2]))[:MAX_BEST_FACES]
    return PersonRow(
        person_id=person_name(number),
        ep_id=ep_id,
        track_ids=[track_name(track) for track in person.tracks],
        **times.figures(video_s),
        best_faces=[
            BestFaceRow(track_id=track_name(track), frame_idx=frame, ts_s=round(ts_s, 4))
            for _, track, frame, ts_s in best
        ],
        confidence=round(min(1.0, max(0.0, person.confidence)), 4),
    )


def write_embeddings(
    staged: RunFiles, model: ModelFacts, embeddings: Mapping[int, tuple[FloatArray, float, int]]
) -> None:
    """Writes `embeddings.npz`: a row a track, with the model's name.

    Its arrays: `track_ids`, `embeddings`, `spreads`, `faces`, `model_id`, `model_sha256`.

    Args:
        embeddings: by a track's number: its embedding, its spread, and of how many faces.
    """
    numbers = sorted(embeddings)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        track_ids=np.array([track_name(number) for number in numbers], dtype=np.str_),
        embeddings=np.array([embeddings[n][0] for n in numbers], np.float32),
        spreads=np.array([embeddings[n][1] for n in numbers], np.float32),
        faces=np.array([embeddings[n][2] for n in numbers], np.int32),
        model_id=np.array(model.id),
        model_sha256=np.array(model.sha256),
    )
    staged.embeddings.write_bytes(buffer.getvalue())
