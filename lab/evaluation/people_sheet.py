"""Contact sheets of people who were grouped wrongly: a row a group, the best face of each track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.common.config import pipeline_config
from apps.common.files import storage_errors, write_atomic
from apps.pipeline.people.best_faces import best_face
from apps.pipeline.yuv_crop import FacePatch
from lab.evaluation.people_scores import IGNORED, NOBODY, KnownPeople, seconds_on
from lab.evaluation.systems import ProductRun, tracked_again

Image = NDArray[np.uint8]

MAX_ROWS = 24
_MAX_FACES = 12  # of a row
_SIDE = 112  # pixels of a face
_CAPTION = 34  # pixels below it
_BACKGROUND, _TEXT, _WRONG = (28, 24, 24), (235, 235, 235), (90, 120, 255)


@dataclass(frozen=True)
class Picked:
    """A track that is in a group with somebody else's, or that others of its person are not in.

    Args:
        group: its number; None where it was left out.
        person: whose it is.
        seconds: in which it lies on faces.
        picture: its best face.
    """

    track: int
    group: int | None
    person: str
    seconds: float
    picture: Image


def failures(
    run: ProductRun, known: KnownPeople, groups: Sequence[Sequence[int]], iou: float
) -> Iterator[Picked]:
    """The tracks of people who are not exactly one group, and of groups that are not one person."""
    on = seconds_on(known, run.found, iou)
    whose = {track: max(sorted(parts), key=lambda name: parts[name]) for track, parts in on.items()}
    group_of = {track: place for place, tracks in enumerate(groups) for track in tracks}
    of_people = {t: name for t, name in whose.items() if name not in (NOBODY, IGNORED)}
    pairs = {(group_of.get(track), name) for track, name in of_people.items()}
    wrong_people = {name for _, name in pairs if sum(name == other for _, other in pairs) > 1}
    wrong_groups = {
        group for group, _ in pairs if sum(group == other for other, _ in pairs) > 1
    } - {None}
    wanted = {
        track
        for track, name in of_people.items()
        if name in wrong_people or group_of.get(track) in wrong_groups
    }
    pictures = _best_pictures(run, wanted)
    for track in sorted(wanted & pictures.keys()):
        seconds = sum(on[track].values())
        yield Picked(track, group_of.get(track), of_people[track], seconds, pictures[track])


def _best_pictures(run: ProductRun, wanted: set[int]) -> dict[int, Image]:
    config = pipeline_config()
    best: dict[int, tuple[float, FacePatch]] = {}
    for item in tracked_again(run.sightings, config.track):
        for face, track in enumerate(item.tracks):
            if track not in wanted:
                continue
            candidate = best_face(item.sighting, face, config.people)
            score = -1.0 if candidate is None else candidate.score
            if track not in best or score > best[track][0]:
                best[track] = score, item.sighting.face_patches[face]
    return {track: patch.picture(_SIDE) for track, (_, patch) in best.items()}


def write_people_sheet(titled: Sequence[tuple[str, Sequence[Picked]]], path: Path) -> Path | None:
    """Writes a PNG; None where nothing is wrong.

    Args:
        titled: a title and the tracks of each video.

    Raises:
        StorageFailed: the folder is not writable.
    """
    rows = [row for title, picked in titled for row in _rows(title, picked)][:MAX_ROWS]
    if not rows:
        return None
    encoded = cv2.imencode(".png", np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encoded.tobytes())
    return path


def _rows(title: str, picked: Sequence[Picked]) -> Iterator[Image]:
    numbers = sorted({each.group for each in picked if each.group is not None})
    for group in [*numbers, None]:
        members = [each for each in picked if each.group == group]
        if members:
            name = "left out" if group is None else f"group {group + 1}"
            yield _row(f"{title}: {name}", sorted(members, key=lambda each: each.person))


def _row(caption: str, members: Sequence[Picked]) -> Image:
    width = _MAX_FACES * (_SIDE + 8) + 8
    row = np.full((_CAPTION + _SIDE + _CAPTION, width, 3), _BACKGROUND, np.uint8)
    _write(row, caption, (8, 22), _TEXT)
    people = [each.person for each in members]
    main = max(sorted(set(people)), key=people.count)
    for place, each in enumerate(members[:_MAX_FACES]):
        left, picture = 8 + place * (_SIDE + 8), each.picture
        height, width = picture.shape[:2]
        row[_CAPTION : _CAPTION + height, left : left + width] = picture
        color = _TEXT if each.person == main else _WRONG
        _write(row, each.person[:14], (left, _CAPTION + _SIDE + 14), color)
        _write(row, f"{each.track}: {each.seconds:.1f} s", (left, _CAPTION + _SIDE + 29), color)
    return row


def _write(image: Image, text: str, place: tuple[int, int], color: tuple[int, int, int]) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
