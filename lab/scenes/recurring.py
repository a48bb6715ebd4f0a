"""Episodes in which the same people come back in other photos, to be known again.

The photos are a folder of pictures, of which the largest face counts, and `people.csv`, their
list (`file,person`). They are no part of the product; where they are missing, photos of packages
stand in for them. Half of the people is held out from tuning.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from apps.common.config import pipeline_config
from apps.common.layout import Layout
from apps.demo.look import Look
from apps.demo.scene import Box, Episode, Face, Photo, Shot
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect import DetectorRequest, make_detector
from apps.pipeline.inference.session import CPU
from apps.pipeline.types import Faces, in_frame
from lab.scenes import library
from lab.scenes.director import Director, along, keyed
from lab.scenes.people import PEOPLE, mirrored

RATE = 12
SIZE = (640, 360)
SETS = {"tuning": 0, "heldout": 1}
TAKES = (1, 2, 3)
SHOTS = 20
_CORNERS = 32  # of the outline of a head
_DET_SIZE = 640


@dataclass(frozen=True)
class Portraits:
    """Photos by the person who is on them."""

    by_person: dict[str, tuple[Photo, ...]]

    def of(self, set_name: str) -> dict[str, tuple[Photo, ...]]:
        """Every second person: those for tuning, or those held out."""
        names = sorted(self.by_person)[SETS[set_name] :: len(SETS)]
        return {name: self.by_person[name] for name in names}


def read_portraits(folder: Path, cache: Path) -> Portraits:
    """The photos of a folder, each cut out around its largest face.

    Args:
        folder: with `people.csv`.
        cache: folder of caches, for the detector.

    Raises:
        OSError: there is no such folder, or no list in it.
    """
    found: dict[str, list[Photo]] = {}
    with (folder / "people.csv").open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            photo = _portrait(folder / line["file"], line["person"], cache)
            if photo is not None:
                found.setdefault(line["person"], []).append(photo)
    return Portraits({name: tuple(photos) for name, photos in found.items()})


def packaged_portraits() -> Portraits:
    """People of photos that packages bring: one photo each, and the same turned left to right."""
    return Portraits(
        {
            photo.faces[0].person: (photo, _of_same_person(photo))
            for photo in PEOPLE
            if not photo.is_mirrored
        }
    )


def _of_same_person(photo: Photo) -> Photo:
    turned = mirrored(photo)
    [face] = turned.faces
    return replace(turned, faces=(replace(face, person=photo.faces[0].person),))


def _portrait(path: Path, person: str, cache: Path) -> Photo | None:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return None
    height, width = image.shape[:2]
    face = largest_face(image, cache)
    if face is None:
        return None
    left, top, right, bottom = (float(side) for side in face.boxes[0] * ((width, height) * 2))
    box = Box(left, top, right, bottom)
    return Photo(
        package="",
        file=str(path),
        size=(width, height),
        faces=(Face(person, box),),
        outline=_head(box, width, height),
    )


def largest_face(image: ByteArray, cache: Path) -> Faces | None:
    """The largest and surest face of a picture, alone, in 0..1 of it; None where there is none.

    Args:
        image: shape (h, w, 3), BGR.
        cache: folder of caches, for the detector.
    """
    height, width = image.shape[:2]
    request = DetectorRequest(width, height, _DET_SIZE, 0.5, CPU, 1)
    detector = make_detector("centerface", request, cache=cache)
    box = detector.letterbox
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    inner = (box.inner_width, box.inner_height)
    canvas[: box.inner_height, : box.inner_width] = cv2.resize(
        image, inner, interpolation=cv2.INTER_AREA
    )
    faces = detector.detect(canvas)
    if len(faces) == 0:
        return None
    sizes = faces.boxes[:, 2:] - faces.boxes[:, :2]
    best = np.array([np.argmax(sizes.prod(axis=1) * faces.conf)], np.int64)
    return in_frame(faces[best], box)


def _head(box: Box, width: int, height: int) -> tuple[tuple[int, int], ...]:
    """An ellipse around hair and chin."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2 - 0.08 * (box.y2 - box.y1)
    half_width, half_height = 0.8 * (box.x2 - box.x1), 0.85 * (box.y2 - box.y1)
    turns = (2 * math.pi * corner / _CORNERS for corner in range(_CORNERS))
    return tuple(
        (
            min(max(round(x + half_width * math.cos(turn)), 0), width - 1),
            min(max(round(y + half_height * math.sin(turn)), 0), height - 1),
        )
        for turn in turns
    )


def render_missing(episode: Episode, root: Path) -> Path:
    """Renders an episode where it is not there as it would be rendered today; gives its folder.

    Args:
        root: folder of the evaluation episodes.
    """
    digest = hashlib.sha256(library.fingerprint(episode).encode())
    files = {s.photo.file for shot in episode.shots for s in shot.sprites if not s.photo.package}
    for file in sorted(files):
        digest.update(Path(file).read_bytes())
    name = digest.hexdigest()[:16]
    folder = Layout(root).episode(episode.ep_id)
    if not library.is_rendered(folder, name):
        library.render_episode(episode, {"fingerprint": name}, root)
    return folder


def recurring_episode(
    set_name: str, portraits: Portraits, take: int = 1, shots: int = SHOTS
) -> Episode:
    """An episode whose shots show one to three people each, in any of their photos.

    Args:
        set_name: a key of `SETS`.
        take: another one has other shots, from 1.
        shots: how many.
    """
    director = Director(f"people:{set_name}:{take}", RATE)
    cast = portraits.of(set_name)
    made = [_shot(director, cast) for _ in range(shots)]
    return Episode(
        f"people-{set_name}-{take}",
        tuple(made),
        *SIZE,
        RATE,
        (1,),
        lost_seconds=pipeline_config().track.lost_seconds,
    )


def _shot(director: Director, cast: dict[str, tuple[Photo, ...]]) -> Shot:
    stage, seconds = director.stage(), director.between(1.5, 4.0)
    names: Sequence[str] = director.random.sample(
        sorted(cast), director.random.choice((1, 1, 2, 3))
    )
    sprites = []
    for place, name in enumerate(names):
        photo = director.random.choice(cast[name])
        x = (place + 1) / (len(names) + 1)
        drift = director.between(-0.06, 0.06)
        path = along(
            keyed((0.0, x - drift), (seconds, x + drift)),
            director.between(0.35, 0.5),
            director.between(0.04, 0.16),
        )
        sprites.append(stage.moving(photo, path, seconds))
    look = Look(
        exposure=director.random.choice((0.0, 0.5)),
        brightness=director.random.choice((1.0, 1.0, 0.8, 0.6)),
        noise=director.random.choice((0.0, 2.0, 5.0)),
    )
    return director.shot(seconds, stage, sprites, look=look)
