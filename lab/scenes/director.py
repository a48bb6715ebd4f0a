"""Words in which evaluation episodes are written: stages, paths in seconds, shots, chance.

Positions are shares of what the camera sees: (0, 0) is its upper left corner, (1, 1) its lower
right one. Sizes are the width of a face as a share of the frame's width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from random import Random

from apps.demo.look import Look
from apps.demo.scene import (
    GROUP,
    Box,
    Camera,
    Photo,
    Placement,
    Shot,
    Sprite,
    View,
    linear,
    smooth,
)
from lab.scenes.people import PEOPLE, PLACES, Outline

ASPECT = 9 / 16
STOPS_A_SECOND = 12  # of a path; in between people move in straight lines

Path = Callable[[float], tuple[float, float, float]]
"""Seconds since the shot began to (x, y, size)."""
Moment = tuple[float, float]
"""(seconds, value)"""


@dataclass(frozen=True)
class Stage:
    """A place, and the largest view of it."""

    place: Photo

    @property
    def view(self) -> View:
        width, height = self.place.size
        return View(width / 2, height / 2, min(width, height / ASPECT))

    def closer(self, zoom: float, x: float = 0.5, y: float = 0.5) -> View:
        """Return a view ``zoom`` >= 1 times closer; x and y say where in the large one it lies."""
        full = self.view
        width = full.width / zoom
        return View(
            full.x + (x - 0.5) * (full.width - width),
            full.y + (y - 0.5) * (full.width - width) * ASPECT,
            width,
        )

    def put(self, person: Photo, x: float, y: float, size: float) -> Placement:
        """Return where the person's photo lies on the place, for a face at a place in the view.

        Of a photo without a face it is the outline that is put there.
        """
        full, box = self.view, person.faces[0].box if person.faces else _around(person.outline)
        scale = size * full.width / (box.x2 - box.x1)
        centre_x = full.x + (x - 0.5) * full.width
        centre_y = full.y + (y - 0.5) * full.width * ASPECT
        return Placement(
            centre_x - scale * (box.x1 + box.x2) / 2,
            centre_y - scale * (box.y1 + box.y2) / 2,
            scale,
        )

    def moving(self, person: Photo, path: Path, seconds: float) -> Sprite:
        """Return the person on a path that lasts for the whole shot."""
        steps = max(2, round(seconds * STOPS_A_SECOND))
        places = (path(seconds * step / steps) for step in range(steps + 1))
        return Sprite(person, tuple(self.put(person, *place) for place in places), linear)

    def standing(self, person: Photo, x: float, y: float, size: float) -> Sprite:
        return Sprite(person, (self.put(person, x, y, size),))


def _around(outline: Outline) -> Box:
    xs, ys = zip(*outline, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def keyed(*moments: Moment) -> Callable[[float], float]:
    """Return a value over time that starts and stops softly between the given moments."""

    def value(seconds: float) -> float:
        for (before, start), (after, end) in pairwise(moments):
            if seconds <= after:
                share = min(max((seconds - before) / (after - before), 0.0), 1.0)
                return start + (end - start) * smooth(share)
        return moments[-1][1]

    return value


def along(x: Callable[[float], float], y: float, size: float) -> Path:
    """Return a path at one height, whose x is a function of the seconds."""
    return lambda seconds: (x(seconds), y, size)


@dataclass
class Director:
    """Makes the shots of one episode; the same seed makes the same ones.

    ``rate`` is in frames a second.
    """

    seed: str
    rate: float
    random: Random = field(init=False)
    _places: list[Photo] = field(init=False, default_factory=list)
    _last: Photo | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def about(self, value: float, spread: float = 0.2) -> float:
        """Return a value within ``spread`` (a share) around this one."""
        return value * self.random.uniform(1.0 - spread, 1.0 + spread)

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def cast(self, count: int) -> list[Photo]:
        """Return different people in any order."""
        return self.random.sample(PEOPLE, count)

    def strangers(self, count: int) -> list[Photo]:
        """Return people in any order, none of whom is another one turned left to right."""
        half = len(PEOPLE) // 2
        originals = self.random.sample(range(half), count)
        return [PEOPLE[original + self.random.choice((0, half))] for original in originals]

    def stage(self) -> Stage:
        """Return the next place; all come up before one comes again, and none twice in a row."""
        if not self._places:
            self._places = [p for p in self.random.sample(PLACES, len(PLACES)) if p != self._last]
        self._last = self._places.pop()
        return Stage(self._last)

    def side(self) -> int:
        """Return 1 (from left to right) or -1."""
        return self.random.choice((1, -1))

    def frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.rate))

    def shot(
        self,
        seconds: float,
        stage: Stage,
        sprites: Sequence[Sprite] = (),
        *,
        camera: Camera | None = None,
        look: Look | None = None,
        dissolve: int = 0,
    ) -> Shot:
        return Shot(
            self.frames(seconds),
            stage.place,
            camera if camera is not None else Camera((stage.view,)),
            tuple(sprites),
            look if look is not None else Look(),
            dissolve,
        )

    def walk(self, y: float, size: float, speed: float, start: float, side: int) -> Path:
        """Return a path across the picture.

        Args:
            y, size: where and how large; heads bob a little.
            speed: widths of the frame a second.
            start: when the face is in the middle of the picture, in seconds.
            side: 1 walks to the right, -1 to the left.
        """
        bob, step = self.between(0.004, 0.01), self.between(1.5, 2.0)

        def path(seconds: float) -> tuple[float, float, float]:
            x = 0.5 + side * speed * (seconds - start)
            lift = abs((seconds * step) % 1.0 - 0.5) * 2.0
            return x, y - bob * lift, size

        return path

    def group_pan(self, seconds: float, speed: float, look: Look | None = None) -> Shot:
        """Return a pan back and forth along the six people at a table.

        ``speed`` is the mean, in widths of the frame a second.
        """
        width = self.between(680, 780)
        y = width * ASPECT / 2 + self.between(20, 45)  # all heads in it
        ends = View(width / 2, y, width), View(1280 - width / 2, y, width)
        return self._back_and_forth(seconds, Stage(GROUP), (), ends, speed, look)

    def row_pan(self, seconds: float, speed: float, look: Look | None = None) -> Shot:
        """Return the same along people who stand in a row at some place."""
        stage, zoom = self.stage(), self.between(1.7, 1.9)
        ends = stage.closer(zoom, 0.0, 0.4), stage.closer(zoom, 1.0, 0.4)
        return self._back_and_forth(seconds, stage, self.row(stage), ends, speed, look)

    def row(self, stage: Stage) -> tuple[Sprite, ...]:
        """Return four people side by side."""
        xs = (0.13, 0.38, 0.63, 0.87)
        return tuple(
            stage.standing(person, x, self.between(0.38, 0.5), self.between(0.06, 0.075))
            for x, person in zip(xs, self.cast(len(xs)), strict=True)
        )

    def _back_and_forth(
        self,
        seconds: float,
        stage: Stage,
        sprites: Sequence[Sprite],
        ends: tuple[View, View],
        speed: float,
        look: Look | None,
    ) -> Shot:
        first, second = ends if self.side() > 0 else ends[::-1]
        leg = abs(second.x - first.x) / first.width / speed
        legs = max(1, round(seconds / leg))
        views = tuple((first, second)[stop % 2] for stop in range(legs + 1))
        return self.shot(legs * leg, stage, sprites, camera=Camera(views), look=look)


def mean_rate(fps: int | Fraction, durations: tuple[int, ...]) -> float:
    """Return the frames a second of a video whose frames last so many ticks of 1/``fps``."""
    return float(fps) * len(durations) / sum(durations)
