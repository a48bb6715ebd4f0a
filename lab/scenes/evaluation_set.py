"""The evaluation episodes: nineteen recipes, each made several times, by the seeds of its set.

Numbers are chosen on the tuning set only. The held-out set has other people, places, speeds and
timings, and shows whether what was chosen holds elsewhere. Four takes of each recipe are for
tuning: what was chosen on one alone did not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from apps.common.config import pipeline_config
from apps.demo.look import FLASH, Look
from apps.demo.scene import GROUP, Camera, Episode, Shake, Shot, Sprite, View
from lab.scenes.director import Director, Path, Stage, along, keyed, mean_rate
from lab.scenes.people import BACK_OF_HEAD, mirrored
from lab.scenes.seeds import SEEDS

NTSC = Fraction(30000, 1001)
Shots = list[Shot]


@dataclass(frozen=True)
class Recipe:
    """One kind of episode. ``tests`` says in a sentence what it is for."""

    name: str
    tests: str
    make: Callable[[Director], Shots]
    width: int = 640
    height: int = 360
    fps: int | Fraction = 25
    is_phone: bool = False


def _pans(director: Director) -> Shots:
    """The place changes at every cut, so that a cut is one."""
    return [
        director.group_pan(5.5, director.about(0.15, 0.1)),
        director.row_pan(5.5, director.about(0.3, 0.1)),
        director.group_pan(5.5, director.about(0.6, 0.1)),
        director.row_pan(5.5, director.about(1.0, 0.1)),
    ]


def _zooms(director: Director) -> Shots:
    shots = []
    for number, leg in enumerate((4.0, 2.0, 1.0, 0.6)):
        leg = director.about(leg, 0.15)
        sprites: tuple[Sprite, ...] = ()
        if number % 2 == 0:
            stage = Stage(GROUP)
            face = director.random.choice(GROUP.faces).box
            x, y = (face.x1 + face.x2) / 2, (face.y1 + face.y2) / 2
            ends = View(640, 400, 1240), _inside(x, y, director.between(380, 480))
        else:
            stage = director.stage()
            sprites = director.row(stage)
            ends = stage.view, stage.closer(director.between(2.4, 3.0), director.random.random())
        legs = max(2, round(5.5 / leg))
        views = tuple(ends[stop % 2] for stop in range(legs + 1))
        shots.append(director.shot(legs * leg, stage, sprites, camera=Camera(views)))
    return shots


def _inside(x: float, y: float, width: float) -> View:
    """The view around a point of the group photo, moved until it fits."""
    half_w, half_h = width / 2, width * 9 / 32
    return View(min(max(x, half_w), 1280 - half_w), min(max(y, half_h), 886 - half_h), width)


def _walks(director: Director) -> Shots:
    shots = []
    for speed in (0.12, 0.25, 0.45, 0.8):
        stage, seconds = director.stage(), 6.0 if speed < 0.4 else 4.5
        sprites = []
        for y, person in zip((0.27, 0.68), director.cast(2), strict=True):
            pace, middle = director.about(speed), director.between(0.35, 0.65) * seconds
            path = director.walk(y, director.between(0.08, 0.1), pace, middle, director.side())
            sprites.append(stage.moving(person, path, seconds))
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _crossings(director: Director) -> Shots:
    shots = []
    for speed in (0.15, 0.3, 0.5, 0.7):
        stage, seconds = director.stage(), 5.0
        y, size = director.between(0.35, 0.45), director.between(0.1, 0.12)
        left, right, standing = director.cast(3)
        middle = director.between(2.2, 2.8)
        sprites = [
            stage.standing(standing, director.between(0.3, 0.7), y + 0.02, size),
            stage.moving(left, director.walk(y, size, director.about(speed), middle, 1), seconds),
            stage.moving(right, director.walk(y, size, director.about(speed), middle, -1), seconds),
        ]
        director.random.shuffle(sprites)  # who is in front
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _occlusions(director: Director) -> Shots:
    shots = []
    for wait in (0.05, 0.05, 2.6, 3.2):  # for a moment only, or for longer than any buffer
        stage, seconds = director.stage(), 4.0 + wait
        behind, front = director.cast(2)
        x, y, far = director.between(0.4, 0.6), director.between(0.38, 0.45), 0.8 * director.side()
        arrive = director.between(1.3, 1.6)
        leave = arrive + wait
        way = keyed((0.2, x - far), (arrive, x), (leave, x), (leave + 1.4, x + far))
        sprites = [
            stage.standing(behind, x, y, 0.09),
            stage.moving(front, along(way, y + 0.03, 0.14), seconds),
        ]
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _returns(director: Director) -> Shots:
    shots = []
    for gone in (0.4, 3.0, 0.5, 2.6):  # seconds: shorter and longer than the tracker's buffer
        stage, seconds = director.stage(), 3.4 + gone
        leaver, stayer = director.cast(2)
        side, out = director.side(), director.between(1.0, 1.3)
        inside, outside = 0.5 + side * 0.25, 0.5 + side * 0.62
        way = keyed(
            (out - 0.6, inside), (out, outside), (out + gone, outside), (out + gone + 0.6, inside)
        )
        y, size = director.between(0.35, 0.5), director.between(0.09, 0.12)
        sprites = [
            stage.standing(stayer, 0.5 - side * director.between(0.15, 0.3), y, size),
            stage.moving(leaver, along(way, y, size), seconds),
        ]
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _same_place(director: Director) -> Shots:
    """Every third cut stays in the room and looks the other way: its colours are the same."""
    shots: Shots = []
    x, y = director.between(0.42, 0.58), director.between(0.38, 0.48)
    people = director.cast(13)
    stage = director.stage()
    for number, person in enumerate(people):
        if number > 0:
            stage = Stage(mirrored(stage.place)) if number % 3 == 2 else director.stage()
        at_x, at_y = x + director.between(-0.02, 0.02), y + director.between(-0.02, 0.02)
        sprite = stage.standing(person, at_x, at_y, director.between(0.13, 0.16))
        shots.append(director.shot(director.between(1.0, 2.4), stage, [sprite]))
    return shots


def _dialogue(director: Director) -> Shots:
    """Two people in turn, each at home on their own side, and a two-shot at last."""
    shots: Shots = []
    people, stages = director.cast(2), [director.stage(), director.stage()]
    places = [director.between(0.36, 0.46), director.between(0.54, 0.64)]
    for number in range(10):
        who = number % 2
        stage, person = stages[who], people[who]
        sprite = stage.standing(person, places[who], 0.45, 0.15)
        push = director.between(1.0, 1.12)
        camera = Camera((stage.closer(1.0), stage.closer(push, places[who], 0.45)))
        seconds = director.between(1.1, 2.8)
        shots.append(director.shot(seconds, stage, [sprite], camera=camera))
    both = [
        stages[0].standing(person, place - 0.05 + 0.1 * number, 0.42, 0.1)
        for number, (person, place) in enumerate(zip(people, places, strict=True))
    ]
    shots.append(director.shot(2.5, stages[0], both))
    return shots


def _dissolves(director: Director) -> Shots:
    """By turns a dissolve and a fade through black, the faces near each other."""
    shots: Shots = []
    lengths = [0.5, 1.0, 0.7, 1.5, 0.4]
    director.random.shuffle(lengths)
    fade_in = 0
    for number, person in enumerate(director.cast(7)):
        stage = director.stage()
        gradual = 2 * (director.frames(lengths[(number - 1) % 5]) // 2)
        is_dissolved = number in (1, 2, 4, 5)
        fade_out = director.frames(0.6) if number in (2, 5) else 0
        drift = director.between(0.38, 0.62), director.between(0.38, 0.62)
        x = keyed((0.0, drift[0]), (3.4, drift[1]))
        sprite = stage.moving(person, along(x, director.between(0.4, 0.48), 0.13), 3.4)
        look = Look(fade_in=fade_in, fade_out=fade_out)
        dissolve = gradual if is_dissolved else 0
        shots.append(director.shot(3.4, stage, [sprite], look=look, dissolve=dissolve))
        fade_in = director.frames(0.5) if fade_out else 0
    return shots


def _flashes(director: Director) -> Shots:
    shots = []
    for seconds in (7.0, 7.0, 6.0):
        stage = director.stage()
        starts, frame = [], director.frames(0.8)
        while frame < director.frames(seconds) - len(FLASH) - 5:
            starts.append(frame)
            frame += director.random.choice((4, 5, 11, 17, 26, 34))  # bursts and pauses
        sprites = []
        for number, person in enumerate(director.cast(3)):
            x = 0.22 + 0.28 * number
            sway = keyed((0.0, x), (seconds / 2, x + director.between(-0.06, 0.06)), (seconds, x))
            path = along(sway, director.between(0.35, 0.5), director.between(0.08, 0.1))
            sprites.append(stage.moving(person, path, seconds))
        shots.append(director.shot(seconds, stage, sprites, look=Look(flashes=tuple(starts))))
    return shots


def _blur(director: Director) -> Shots:
    look = Look(exposure=1.0)
    shots = [
        director.group_pan(4.5, director.about(0.5, 0.1), look),
        director.row_pan(4.5, director.about(0.9, 0.1), look),
    ]
    for speed in (0.4, 0.7):
        stage, seconds = director.stage(), 4.5
        walker, stander = director.cast(2)
        path = director.walk(0.36, 0.11, director.about(speed), seconds / 2, director.side())
        sprites = [
            stage.standing(stander, director.between(0.3, 0.7), 0.72, 0.09),
            stage.moving(walker, path, seconds),
        ]
        shots.append(director.shot(seconds, stage, sprites, look=look))
    return shots


def _dark(director: Director) -> Shots:
    looks = [Look(0.5, brightness, noise=6.0) for brightness in (0.3, 0.25, 0.2)]
    shots = [director.group_pan(5.0, director.about(0.25), looks[0])]
    for look, speed in zip(looks, (0.3, 0.2, 0.15), strict=True):
        stage, seconds = director.stage(), 5.5
        sprites = []
        for y, person in zip((0.28, 0.68), director.cast(2), strict=True):
            path = director.walk(y, 0.1, director.about(speed), seconds / 2, director.side())
            sprites.append(stage.moving(person, path, seconds))
        shots.append(director.shot(seconds, stage, sprites, look=look))
    return shots


def _small(director: Director) -> Shots:
    """Faces of 19 to 32 pixels, in two rows that do not touch."""
    shots = []
    for smallest in (0.045, 0.036, 0.03):
        shots.append(two_rows(director, 7.0, smallest, (0.25, 0.7)))
    return shots


def two_rows(director: Director, seconds: float, width: float, rows: tuple[float, float]) -> Shot:
    """Six people who sway, in two rows by turns.

    Args:
        width: how wide their faces are, as a share of the frame's width.
        rows: heights of the rows, 0..1 of the frame.
    """
    stage, sprites = director.stage(), []
    for number, person in enumerate(director.cast(6)):
        y = rows[number % 2] + director.between(-0.05, 0.05)
        size, x = director.about(width, 0.1), 0.14 + 0.144 * number
        sway = keyed((0.0, x), (seconds * 0.6, x + director.between(-0.1, 0.1)), (seconds, x))
        sprites.append(stage.moving(person, along(sway, y, size), seconds))
    return director.shot(seconds, stage, sprites)


def _shake(director: Director) -> Shots:
    shots, seconds = [], 5.5
    for number, share in enumerate((0.015, 0.02, 0.03, 0.035)):
        sprites: tuple[Sprite, ...] = ()
        if number % 2 == 0:
            stage = Stage(GROUP)
            x, y, width = director.between(500, 780), director.between(300, 340), 700.0
            view = View(x, y, director.about(width, 0.08))
        else:
            stage = director.stage()
            sprites, view = director.row(stage), stage.closer(1.25, 0.5, 0.4)
        shake = Shake(share * view.width, seconds * director.between(0.8, 1.6))
        shots.append(director.shot(seconds, stage, sprites, camera=Camera((view,), shake=shake)))
    return shots


def _crowd(director: Director) -> Shots:
    """Nine people who wander, the near ones in front."""
    shots = []
    for _ in range(2):
        stage, seconds = director.stage(), 10.0
        sprites = []
        for number, person in enumerate(director.cast(9)):
            depth = number / 8
            y, size = 0.22 + 0.5 * depth, 0.055 + 0.025 * depth
            stops = [director.between(0.1, 0.9) for _ in range(4)]
            times = (0.0, seconds / 3, seconds * 2 / 3, seconds)
            way = keyed(*zip(times, stops, strict=True))
            sprites.append(stage.moving(person, along(way, y, size), seconds))
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _takeovers(director: Director) -> Shots:
    """By turns a third person steps out beside the hidden face, and the passer stays there."""
    shots = []
    for number, wait in enumerate((0.05, 0.4, 0.25, 0.5, 0.45)):  # seconds, and those of passing
        stage, seconds = director.stage(), 4.2 + wait
        side, size = director.side(), director.between(0.08, 0.09)
        x, y = 0.5 + side * director.between(0.05, 0.12), director.between(0.48, 0.53)
        arrive = director.between(1.6, 1.9)
        stop = _Stop(x, y, size, side, arrive, arrive + wait)
        scene = _third_steps_out if number % 2 == 0 else _passer_stays
        shots.append(director.shot(seconds, stage, scene(director, stage, stop, seconds)))
    return shots


@dataclass(frozen=True)
class _Stop:
    """Where a face stands, and when a passer stops before it, in seconds.

    ``side`` is 1 for a passer from left to right, -1 for the other way.
    """

    x: float
    y: float
    size: float
    side: int
    arrive: float
    leave: float


def _third_steps_out(
    director: Director, stage: Stage, stop: _Stop, seconds: float
) -> tuple[Sprite, ...]:
    third, hidden, passer = director.strangers(3)
    beside = stop.x - stop.side * director.between(0.8, 0.88) * stop.size
    step = keyed((stop.arrive - 0.1, stop.x), (stop.arrive + 0.2, beside))
    before = stop.x + stop.side * 0.3 * stop.size  # so that the third one shows
    way = keyed(
        (stop.arrive - 1.5, before - stop.side * 0.7),
        (stop.arrive, before),
        (stop.leave, before),
        (stop.leave + 0.7, before + stop.side * 0.9),
    )
    return (
        stage.moving(third, along(step, stop.y - 0.1, stop.size), seconds),
        stage.standing(hidden, stop.x, stop.y, stop.size),
        stage.moving(passer, along(way, stop.y - 0.12, stop.size * 1.35), seconds),
    )


def _passer_stays(
    director: Director, stage: Stage, stop: _Stop, seconds: float
) -> tuple[Sprite, ...]:
    bystander, hidden, passer = director.strangers(3)
    way = keyed(
        (stop.arrive - 1.5, stop.x - stop.side * 0.7),
        (stop.arrive, stop.x),
        (stop.leave, stop.x + stop.side * 0.02),
        (stop.leave + 0.5, stop.x + stop.side * director.between(2.9, 3.1) * stop.size),
    )
    return (
        stage.standing(bystander, stop.x - stop.side * 0.28, stop.y, stop.size),
        stage.standing(hidden, stop.x, stop.y, stop.size),
        stage.moving(passer, along(way, stop.y - 0.13, stop.size * 1.35), seconds),
    )


def _turns(director: Director) -> Shots:
    """By turns a small face steps out behind the head, and the head leaves the one behind it."""
    shots = []
    for number in range(5):
        stage, seconds = director.stage(), 4.4
        near, far, other = director.strangers(3)
        side, size = director.side(), director.between(0.19, 0.23)
        x, y = 0.5 + side * director.between(0.0, 0.08), director.between(0.46, 0.5)
        small = size * director.between(0.38, 0.5)
        turn = director.between(1.3, 1.6)
        shows = turn + 0.15 + director.between(0.3, 0.6)
        if number % 2 == 0:
            near_x = keyed((0.0, x), (seconds, x + 0.02))
            far_x = keyed((shows - 0.2, x), (shows + 0.3, x - side * (0.78 * size + 0.6 * small)))
        else:
            near_x = keyed((shows - 0.2, x), (shows + 0.8, x + side * 0.9))
            far_x = keyed((0.0, x), (seconds, x - side * 0.03))
        sprites = [
            stage.standing(other, 0.5 - side * director.between(0.38, 0.42), y - 0.11, small),
            stage.moving(far, along(far_x, y - 0.11, small), seconds),
            stage.moving(near, along(near_x, y, size), seconds),
            stage.moving(BACK_OF_HEAD, _turned_away(near_x, y, size, turn), seconds),
        ]
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _turned_away(x: Callable[[float], float], y: float, size: float, turn: float) -> Path:
    """Return the path of the back of a head: it comes from behind the ear over the face."""
    whole = keyed((turn, 0.02 * size), (turn + 0.25, 1.55 * size))
    aside = keyed((turn, 0.5 * size), (turn + 0.25, 0.0))
    return lambda seconds: (x(seconds) + aside(seconds), y, whole(seconds))


def _passers(director: Director) -> Shots:
    """First alone, one after the other, then two at a time, before or behind two who stand.

    Nobody stands in two shots in a row: this is not about cuts.
    """
    shots, cast = [], director.strangers(7)
    for number, face_widths in enumerate((3.2, 4.0, 4.8, 3.3, 4.1, 4.8)):  # in half a second
        stage, seconds = director.stage(), 3.8
        middles = (1.0, 2.8) if number < 3 else (1.8, 1.8 + director.between(-0.1, 0.1))
        side, people = director.side(), [cast[(4 * number + one) % 7] for one in range(4)]
        sprites = [
            stage.standing(person, director.about(x, 0.1), 0.45, 0.085)
            for x, person in zip((0.25, 0.75), people[:2], strict=True)
        ]
        for person, way, y, middle in zip(
            people[2:], (side, -side), (0.36, 0.54), middles, strict=True
        ):
            size = director.between(0.08, 0.1)
            speed = director.about(face_widths, 0.05) * size / 0.5
            path = director.walk(director.about(y, 0.1), size, speed, middle, way)
            sprites.append(stage.moving(person, path, seconds))
        director.random.shuffle(sprites)  # who is in front
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _phone(director: Director) -> Shots:
    shots = [
        director.group_pan(6.0, director.about(0.2, 0.1)),
        director.row_pan(6.0, director.about(0.5, 0.1)),
    ]
    for speed in (0.2, 0.4):
        stage, seconds = director.stage(), 5.0
        sprites = []
        for y, person in zip((0.27, 0.68), director.cast(2), strict=True):
            path = director.walk(y, 0.09, director.about(speed), seconds / 2, director.side())
            sprites.append(stage.moving(person, path, seconds))
        shots.append(director.shot(seconds, stage, sprites))
    return shots


def _phone_durations(random: Random) -> tuple[int, ...]:
    """Ticks of 1/60 s: 30 frames a second, fewer where it is dark, and some get lost."""
    durations: list[int] = []
    while len(durations) < 600:
        base = random.choice((2, 2, 2, 3, 4))
        stretch = [base] * random.randint(20, 60)
        stretch[random.randrange(len(stretch))] *= 2
        durations += stretch
    return tuple(durations)


RECIPES = (
    Recipe(
        "pans", "The camera pans along six faces at four speeds, up to a width a second.", _pans
    ),
    Recipe(
        "zooms", "The camera zooms in and out at four speeds, up to threefold in 0.6 s.", _zooms
    ),
    Recipe("walks", "People walk through the picture, slowly and so fast that boxes part.", _walks),
    Recipe("crossings", "Two people cross before a third: faces pass behind faces.", _crossings),
    Recipe(
        "occlusions", "A face is hidden for a moment, or for too long to stay one.", _occlusions
    ),
    Recipe("returns", "A face leaves and returns: one visit when soon, two when late.", _returns),
    Recipe(
        "takeovers",
        "While a face is hidden, another one comes within a face's size of its place and stays.",
        _takeovers,
    ),
    Recipe("turns", "A large face turns away, and behind it a small one begins to show.", _turns),
    Recipe(
        "passers",
        "People pass three to five face widths in half a second, alone and two at a time.",
        _passers,
    ),
    Recipe("same-place", "Hard cuts to another face at the same place.", _same_place, fps=NTSC),
    Recipe("dialogue", "Cuts back and forth between two people.", _dialogue, fps=24),
    Recipe("dissolves", "Dissolves and fades through black to another face.", _dissolves),
    Recipe(
        "flashes", "Press photographers flash: no cut, and no end of a track.", _flashes, fps=NTSC
    ),
    Recipe("blur", "Fast pans and walks with a shutter open for the whole frame.", _blur, fps=24),
    Recipe("dark", "Dark and grainy, down to a fifth of the light.", _dark),
    Recipe("small", "Faces of 19 to 32 pixels.", _small),
    Recipe("shake", "A camera in the hand, swaying about once a second.", _shake, fps=NTSC),
    Recipe("crowd", "Nine people wander and pass behind each other.", _crowd, 960, 540, 24),
    Recipe(
        "phone",
        "A variable frame rate: 30, 20 and 15 a second, some lost.",
        _phone,
        fps=60,
        is_phone=True,
    ),
)


def names() -> tuple[str, ...]:
    return tuple(recipe.name for recipe in RECIPES)


def episode_id(set_name: str, name: str, take: int = 1) -> str:
    return f"{set_name}{take if take > 1 else ''}-{name}"


def make_episode(set_name: str, recipe: Recipe, take: int = 1) -> Episode:
    """Return the recipe's episode of a set; `SEEDS` names the sets and counts the takes, from 1."""
    seed = f"{SEEDS[set_name][take - 1]}:{recipe.name}"
    durations = _phone_durations(Random(seed)) if recipe.is_phone else (1,)
    director = Director(seed, mean_rate(recipe.fps, durations))
    return Episode(
        episode_id(set_name, recipe.name, take),
        tuple(recipe.make(director)),
        recipe.width,
        recipe.height,
        recipe.fps,
        durations,
        lost_seconds=pipeline_config().track.lost_seconds,
    )
