"""Photos, cameras and the ground truth of generated episodes.

An :class:`Episode` is a list of :class:`Shot` objects. A shot moves a camera over a background
photo and may move cut-out people (:class:`Sprite`) across it. The pictures and the face boxes go
through the same :class:`Placement`, so the ground truth is exact by construction. What happens to
whole pictures (motion blur, darkness, flashes, fades) is a shot's `Look`.

Coordinates are continuous pixels: pixel number ``i`` covers ``[i, i + 1)``, hence the left edge of
an image is ``0`` and the right edge is its width. Pictures are ``uint8`` BGR arrays.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.demo.look import PLAIN, Image, Look, mixed

Mask = NDArray[np.float32]
"""Shape (height, width), 0 (transparent) .. 1 (opaque)."""
Easing = Callable[[float], float]
"""Maps progress 0..1 to progress 0..1."""

MIN_VISIBILITY = 0.5
"""A face is part of the ground truth while at least this fraction of its box shows."""
HARDLY_VISIBLE = 0.05
"""Below this fraction nobody would call it a face in the picture."""
LOST_SECONDS = 1.5
"""A visit ends when its face has no row for longer than this; evaluation episodes take the
tracker's own number from `config/pipeline.toml`."""


# --------------------------------------------------------------------------------------- geometry


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle given by its edges, in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Area in square pixels; 0 for an empty box."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    def clipped(self, width: float, height: float) -> Box:
        """Return the part inside a ``width`` x ``height`` image (its area may be 0)."""
        return Box(
            min(max(self.x1, 0.0), width),
            min(max(self.y1, 0.0), height),
            min(max(self.x2, 0.0), width),
            min(max(self.y2, 0.0), height),
        )


@dataclass(frozen=True)
class Placement:
    """Where an image lies on another one: scaled by ``scale``, origin at ``(x, y)``."""

    x: float
    y: float
    scale: float = 1.0

    def on(self, outer: Placement) -> Placement:
        """Return this placement as seen after ``outer`` has been applied on top of it."""
        return Placement(
            outer.x + outer.scale * self.x,
            outer.y + outer.scale * self.y,
            outer.scale * self.scale,
        )

    def box(self, box: Box) -> Box:
        """Map a box from the placed image to the image it lies on."""
        return Box(
            self.x + self.scale * box.x1,
            self.y + self.scale * box.y1,
            self.x + self.scale * box.x2,
            self.y + self.scale * box.y2,
        )

    def enlarged(self, factor: int) -> Placement:
        """Return the same place for an image that was shrunk by ``factor`` beforehand."""
        return Placement(self.x, self.y, self.scale * factor)

    def warp_matrix(self) -> NDArray[np.float64]:
        """Return the (2, 3) matrix for ``cv2.warpAffine``.

        OpenCV counts from pixel centres and we count from pixel edges, hence the half pixels.
        """
        half = 0.5 * self.scale - 0.5
        return np.array(
            [[self.scale, 0.0, self.x + half], [0.0, self.scale, self.y + half]], dtype=np.float64
        )


def linear(progress: float) -> float:
    """Constant speed."""
    return progress


def smooth(progress: float) -> float:
    """Start and stop softly (smoothstep)."""
    return progress * progress * (3.0 - 2.0 * progress)


def _mix(start: float, end: float, t: float) -> float:
    return start + (end - start) * t


def _mix_scale(start: float, end: float, t: float) -> float:
    # A zoom looks steady when the scale changes by a constant factor, not by a constant amount.
    return float(start * (end / start) ** t)


def _leg(progress: float, stops: int, easing: Easing) -> tuple[int, int, float]:
    """Return (from stop, to stop, eased 0..1) on a path whose legs all take equally long."""
    if stops == 1:
        return 0, 0, 0.0
    position = progress * (stops - 1)
    start = min(int(position), stops - 2)
    return start, start + 1, easing(position - start)


# ----------------------------------------------------------------------------------------- photos


@dataclass(frozen=True)
class Face:
    """A face in a photo: a stable made-up name and its tight box in photo pixels."""

    person: str
    box: Box


@dataclass(frozen=True)
class Photo:
    """A photo that an installed package brings along.

    Without a package it is any file. ``size`` is (width, height) in pixels. ``outline`` are the
    corners of the polygon around the person, for photos which serve as a cut-out. A mirrored photo
    is turned left to right; its faces and outline are given as they are then.
    """

    package: str
    file: str
    size: tuple[int, int]
    faces: tuple[Face, ...] = ()
    outline: tuple[tuple[int, int], ...] = ()
    is_mirrored: bool = False


# Face boxes are the rounded mean of what SCRFD-500M and CenterFace report on the full-size photos
# (the two differ by at most 7 px per edge). People are numbered from left to right.
GROUP = Photo(
    package="insightface",
    file="data/images/t1.jpg",
    size=(1280, 886),
    faces=(
        Face("t1-1", Box(59, 263, 167, 396)),
        Face("t1-2", Box(271, 148, 372, 267)),
        Face("t1-3", Box(464, 267, 572, 415)),
        Face("t1-4", Box(745, 344, 846, 481)),
        Face("t1-5", Box(904, 59, 1012, 206)),
        Face("t1-6", Box(1131, 270, 1229, 401)),
    ),
)

# The outline was found once with cv2.grabCut, pulled in by about 2 px so that none of the bright
# studio wall comes along, and simplified to corners.
# fmt: off
_ASTRONAUT_OUTLINE = (
    (199, 25), (186, 38), (177, 42), (163, 52), (157, 58), (155, 63), (156, 99), (158, 104),
    (170, 117), (174, 127), (182, 133), (182, 146), (176, 149), (159, 150), (148, 154),
    (140, 159), (131, 168), (122, 182), (122, 204), (120, 206), (112, 207), (104, 218),
    (96, 222), (75, 238), (60, 261), (49, 274), (41, 293), (39, 307), (35, 314), (27, 341),
    (26, 370), (20, 388), (20, 413), (25, 436), (24, 463), (26, 480), (29, 491), (39, 506),
    (39, 511), (511, 511), (511, 491), (508, 491), (501, 481), (493, 476), (493, 468),
    (500, 461), (500, 457), (495, 452), (494, 432), (491, 416), (484, 397), (477, 384),
    (449, 358), (419, 346), (390, 345), (370, 349), (363, 347), (359, 339), (359, 328),
    (356, 319), (354, 297), (342, 267), (303, 233), (299, 221), (289, 204), (275, 189),
    (256, 173), (256, 162), (263, 150), (266, 138), (275, 133), (290, 116), (295, 107),
    (299, 94), (298, 71), (294, 55), (288, 45), (269, 37), (258, 27), (236, 17), (226, 17),
)
# fmt: on

ASTRONAUT = Photo(
    package="skimage",
    file="data/astronaut.png",
    size=(512, 512),
    faces=(Face("astronaut", Box(181, 59, 271, 179)),),
    outline=_ASTRONAUT_OUTLINE,
)

ROCKET = Photo(package="skimage", file="data/rocket.jpg", size=(640, 427))


def photo_path(photo: Photo) -> Path:
    """Return where the photo lies, without importing its package (those imports are slow)."""
    if not photo.package:  # it is a file of its own
        return Path(photo.file)
    spec = importlib.util.find_spec(photo.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / photo.file
        if path.is_file():
            return path
    raise FileNotFoundError(f"package {photo.package!r} with {photo.file!r} is not installed")


@lru_cache(maxsize=32)
def load_photo(photo: Photo) -> Image:
    """Return the photo as a read-only (height, width, 3) BGR array."""
    path = photo_path(photo)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot decode {path}")
    if (image.shape[1], image.shape[0]) != photo.size:
        # The face boxes were measured on one certain picture; on another they would be wrong.
        raise ValueError(f"{photo.file} is {image.shape[1]}x{image.shape[0]}, not {photo.size}")
    turned = image[:, ::-1] if photo.is_mirrored else image
    pixels = np.ascontiguousarray(turned, dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


_SOFT_EDGE = 6
"""Pixels of the photo beyond which the blur of a cut-out's edge leaves nothing."""


@lru_cache(maxsize=32)
def load_cutout(photo: Photo) -> Mask:
    """Return the opacity of the photo's outlined person, with a soft edge, read-only."""
    if not photo.outline:
        raise ValueError(f"{photo.file} has no outline")
    width, height = photo.size
    mask = np.zeros((height, width), dtype=np.float32)
    cv2.fillPoly(mask, [np.array(photo.outline, dtype=np.int32)], (1.0,))
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.2), dtype=np.float32)
    soft.setflags(write=False)
    return soft


@lru_cache(maxsize=64)
def _shrunk_photo(photo: Photo, factor: int) -> Image:
    return _shrunk(load_photo(photo), factor)


@lru_cache(maxsize=64)
def _shrunk_cutout(photo: Photo, factor: int) -> Mask:
    return _shrunk(load_cutout(photo), factor)


def _shrunk(pixels: NDArray[np.generic], factor: int) -> NDArray:  # type: ignore[type-arg]
    """Return the mean of every ``factor`` x ``factor`` block; what is left at the ends goes."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _shrink_factor(scale: float) -> int:
    """Return the power of two by which to shrink a photo first, so that none of it flickers."""
    return int(2 ** max(0, math.floor(math.log2(1.0 / scale)))) if scale < 0.5 else 1


# ------------------------------------------------------------------------------- cameras and shots


@dataclass(frozen=True)
class View:
    """What the camera sees: centre and width, in pixels of the background photo.

    The height follows from the shape of the frame.
    """

    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Shake:
    """A hand that holds the camera: at most ``amplitude`` pixels of the background off its path.

    ``cycles`` is how often it sways during the shot.
    """

    amplitude: float
    cycles: float

    def offset_at(self, progress: float) -> tuple[float, float]:
        """Return how far the view is off, x and y."""
        turn = 2.0 * math.pi * self.cycles * progress
        x = 0.65 * math.sin(turn) + 0.35 * math.sin(2.7 * turn + 1.0)
        y = 0.65 * math.sin(1.3 * turn + 2.0) + 0.35 * math.sin(3.1 * turn)
        return self.amplitude * x, self.amplitude * y


@dataclass(frozen=True)
class Camera:
    """Moves from view to view, each leg taking equally long; one view stands still."""

    views: tuple[View, ...]
    easing: Easing = smooth
    shake: Shake | None = None

    def view_at(self, progress: float) -> View:
        """Return the view at ``progress`` 0..1."""
        first, last, t = _leg(progress, len(self.views), self.easing)
        a, b = self.views[first], self.views[last]
        x, y = _mix(a.x, b.x, t), _mix(a.y, b.y, t)
        if self.shake is not None:
            dx, dy = self.shake.offset_at(progress)
            x, y = x + dx, y + dy
        return View(x, y, _mix_scale(a.width, b.width, t))


@dataclass(frozen=True)
class Sprite:
    """A cut-out person who moves over the background.

    ``stops`` place the sprite's photo on the background photo (pixels of the background).
    """

    photo: Photo
    stops: tuple[Placement, ...]
    easing: Easing = smooth

    def placement_at(self, progress: float) -> Placement:
        """Return where the sprite is on the background at ``progress`` 0..1."""
        first, last, t = _leg(progress, len(self.stops), self.easing)
        a, b = self.stops[first], self.stops[last]
        return Placement(_mix(a.x, b.x, t), _mix(a.y, b.y, t), _mix_scale(a.scale, b.scale, t))


@dataclass(frozen=True)
class Shot:
    """One camera setting without a cut, ``frames`` frames long. Later sprites lie on top.

    ``dissolve`` is the even number of frames in which the shot before becomes this one, half of
    them before this one's first frame.
    """

    frames: int
    background: Photo
    camera: Camera
    sprites: tuple[Sprite, ...] = ()
    look: Look = PLAIN
    dissolve: int = 0


@dataclass(frozen=True)
class Transition:
    """A gradual change of shots, in 0-based frames.

    ``first`` is the first frame that the new shot or the fade touches, ``middle`` the first frame
    of the new shot, ``last`` the last frame that is not the new shot alone.
    """

    first: int
    middle: int
    last: int


@dataclass(frozen=True)
class Episode:
    """A list of shots with hard cuts between them, where no fade or dissolve joins them.

    ``durations`` are those of the frames, in ticks of 1/``fps``; they repeat. Other than (1,),
    the frame rate is variable.
    """

    ep_id: str
    shots: tuple[Shot, ...]
    width: int = 1280
    height: int = 720
    fps: int | Fraction = 24
    durations: tuple[int, ...] = (1,)
    lost_seconds: float = LOST_SECONDS

    def __post_init__(self) -> None:
        """Refuse empty shots and cameras that look past the edge of a photo (black borders)."""
        for number, shot in enumerate(self.shots):
            if shot.frames < 1 or not shot.camera.views:
                raise ValueError(f"shot {number} is empty")
            if shot.dissolve % 2 or shot.dissolve > shot.frames:
                raise ValueError(f"shot {number} cannot dissolve over {shot.dissolve} frames")
            shake = shot.camera.shake.amplitude if shot.camera.shake else 0.0
            # Centres mix linearly and widths at most linearly, so the views in between fit too.
            for view in shot.camera.views:
                half_w, half_h = view.width / 2, view.width / 2 * self.height / self.width
                half_w, half_h = half_w + shake, half_h + shake
                fits_x = half_w <= view.x <= shot.background.size[0] - half_w
                fits_y = half_h <= view.y <= shot.background.size[1] - half_h
                if not (fits_x and fits_y):
                    raise ValueError(f"shot {number}: {view} leaves {shot.background.file}")

    @property
    def frames(self) -> int:
        """Number of frames in total."""
        return sum(shot.frames for shot in self.shots)

    @cached_property
    def shot_starts(self) -> tuple[int, ...]:
        """Number of the first frame of each shot, from 0; the first one is 0."""
        return tuple(accumulate((shot.frames for shot in self.shots[:-1]), initial=0))

    @property
    def cuts(self) -> tuple[int, ...]:
        """Number of the first frame after each hard cut, counted from 0."""
        gradual = {transition.middle for transition in self.transitions}
        return tuple(start for start in self.shot_starts[1:] if start not in gradual)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Dissolves, and fades through black, in order."""
        found = []
        for before, after, middle in zip(
            self.shots, self.shots[1:], self.shot_starts[1:], strict=False
        ):
            lead = max(after.dissolve // 2, before.look.fade_out)
            tail = max(after.dissolve // 2, after.look.fade_in)
            if lead + tail > 0:
                found.append(Transition(middle - lead, middle, middle + tail - 1))
        return tuple(found)

    def tick(self, frame: int) -> int:
        """Return when a frame is shown, in ticks of 1/``fps``."""
        rounds, rest = divmod(frame, len(self.durations))
        return rounds * self._ticks[-1] + self._ticks[rest]

    @cached_property
    def _ticks(self) -> tuple[int, ...]:
        return tuple(accumulate(self.durations, initial=0))

    def seconds(self, frame: int) -> float:
        """Return when a frame is shown."""
        return float(self.tick(frame) / self.fps)

    def progress(self, number: int, index: float) -> float:
        """Return 0..1 for frame ``index`` of shot ``number`` (0-based), by its time.

        Before the shot it is 0 and after it 1; parts of a frame are parts of its duration.
        """
        shot, start = self.shots[number], self.shot_starts[number]
        if shot.frames == 1:
            return 0.0
        whole = min(max(math.floor(index), 0), shot.frames - 1)
        ticks = self.tick(start + whole) - self.tick(start) + (index - whole)
        span = self.tick(start + shot.frames - 1) - self.tick(start)
        return float(min(max(ticks / span, 0.0), 1.0))


# -------------------------------------------------------------------------------------- rendering


@dataclass(frozen=True)
class _Layer:
    """A photo placed on the frame; the background has no mask and fills the frame."""

    photo: Photo
    placement: Placement
    is_cutout: bool


def _layers(episode: Episode, number: int, index: float) -> tuple[_Layer, ...]:
    """Return what frame ``index`` of shot ``number`` is made of, from back to front."""
    shot, progress = episode.shots[number], episode.progress(number, index)
    view = shot.camera.view_at(progress)
    scale = episode.width / view.width
    camera = Placement(
        episode.width / 2 - scale * view.x, episode.height / 2 - scale * view.y, scale
    )
    back = _Layer(shot.background, camera, is_cutout=False)
    sprites = (
        _Layer(sprite.photo, sprite.placement_at(progress).on(camera), is_cutout=True)
        for sprite in shot.sprites
    )
    return (back, *sprites)


@dataclass(frozen=True)
class _Window:
    """A part of the frame, in whole pixels; the right and lower edges are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    @property
    def pixels(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def seen(self, placement: Placement) -> Placement:
        """Return the placement as it is in this window."""
        return Placement(placement.x - self.left, placement.y - self.top, placement.scale)


def _whole_frame(episode: Episode) -> _Window:
    return _Window(0, 0, episode.width, episode.height)


def _window_of(episode: Episode, layer: _Layer) -> _Window | None:
    """Return the part of the frame that a cut-out touches, or None where it is outside."""
    xs, ys = zip(*layer.photo.outline, strict=True)
    box = layer.placement.box(
        Box(min(xs) - _SOFT_EDGE, min(ys) - _SOFT_EDGE, max(xs) + _SOFT_EDGE, max(ys) + _SOFT_EDGE)
    ).clipped(episode.width, episode.height)
    window = _Window(math.floor(box.x1), math.floor(box.y1), math.ceil(box.x2), math.ceil(box.y2))
    return window if min(window.size) > 0 else None


def _warped_photo(layer: _Layer, window: _Window) -> Image:
    """Return the layer's photo moved to its place; edge pixels repeat outside."""
    factor = _shrink_factor(layer.placement.scale)
    frame = cv2.warpAffine(
        _shrunk_photo(layer.photo, factor),
        window.seen(layer.placement.enlarged(factor)).warp_matrix(),
        window.size,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(frame, dtype=np.uint8)


def _warped_cutout(layer: _Layer, window: _Window) -> Mask:
    """Return the layer's opacity moved to its place; nothing outside the photo."""
    factor = _shrink_factor(layer.placement.scale)
    mask = cv2.warpAffine(
        _shrunk_cutout(layer.photo, factor),
        window.seen(layer.placement.enlarged(factor)).warp_matrix(),
        window.size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0.0,),
    )
    return np.asarray(mask, dtype=np.float32)


def _composed(episode: Episode, number: int, index: float) -> Image:
    """Return the picture of one moment of a shot, before its look."""
    back, *sprites = _layers(episode, number, index)
    frame = _warped_photo(back, _whole_frame(episode))
    for layer in sprites:
        window = _window_of(episode, layer)
        if window is not None:
            # Drawn from the frame's corner on, so that a window's place rounds nothing differently.
            drawn = _Window(0, 0, window.right, window.bottom)
            opacity = np.ascontiguousarray(_warped_cutout(layer, drawn)[window.pixels])
            over = np.ascontiguousarray(_warped_photo(layer, drawn)[window.pixels])
            under = np.ascontiguousarray(frame[window.pixels])
            frame[window.pixels] = cv2.blendLinear(over, under, opacity, 1.0 - opacity)
    return frame


def _developed(episode: Episode, number: int, index: int) -> Image:
    """Return frame ``index`` of a shot, which may lie before or after it, with its look."""
    shot = episode.shots[number]
    moments = [_composed(episode, number, index + offset) for offset in shot.look.moments]
    start = episode.shot_starts[number]
    return shot.look.developed(moments, index, shot.frames, grain=start + index)


def _shares(episode: Episode, number: int, index: int) -> tuple[tuple[int, float], ...]:
    """Return the shots that frame ``index`` of shot ``number`` shows, each with its share."""
    shot = episode.shots[number]
    if number > 0 and index < shot.dissolve // 2:
        share = (index + shot.dissolve // 2 + 0.5) / shot.dissolve
        return (number, share), (number - 1, 1.0 - share)
    if number + 1 < len(episode.shots):
        following = episode.shots[number + 1]
        ahead = index - shot.frames  # negative: frames until the next shot begins
        if ahead >= -(following.dissolve // 2):
            share = (ahead + following.dissolve // 2 + 0.5) / following.dissolve
            return (number, 1.0 - share), (number + 1, share)
    return ((number, 1.0),)


def _render_frame(episode: Episode, number: int, index: int) -> Image:
    shown = _shares(episode, number, index)
    frame = episode.shot_starts[number] + index
    pictures = [
        _developed(episode, other, frame - episode.shot_starts[other]) for other, _ in shown
    ]
    return mixed(pictures[0], pictures[1], shown[1][1]) if len(shown) == 2 else pictures[0]


def render_frames(episode: Episode) -> Iterator[Image]:
    """Yield every frame of the episode in order, each (height, width, 3) BGR."""
    for number, shot in enumerate(episode.shots):
        for index in range(shot.frames):
            yield _render_frame(episode, number, index)


# ----------------------------------------------------------------------------------- ground truth


@dataclass(frozen=True)
class TruthRow:
    """One face in one frame.

    ``frame`` is 0-based, ``box`` is clipped to the frame, ``visibility`` is the fraction of the
    whole face box that is neither outside the frame nor behind a sprite (0.5..1), times what
    flashes, fades and dissolves leave of the picture.
    """

    frame: int
    id: int
    box: Box
    visibility: float


@dataclass(frozen=True)
class Identity:
    """One visit of one person in one shot, from its first to its last row (0-based frames)."""

    id: int
    person: str
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class GroundTruth:
    """All rows, ordered by frame and id, and all identities, ordered by id.

    ``partial`` are the faces of which too little shows for a row: to find one is no mistake and
    to miss it neither. Their id is :data:`NOBODY`.
    """

    rows: tuple[TruthRow, ...]
    identities: tuple[Identity, ...]
    partial: tuple[TruthRow, ...]


NOBODY = -1


@dataclass(frozen=True)
class _FaceInFrame:
    """A face in one frame; ``key`` tells it from the other faces of the episode."""

    key: tuple[int, int, int]
    person: str
    box: Box
    visibility: float


def _uncovered(box: Box, covers: tuple[_Layer, ...]) -> float:
    """Return the fraction 0..1 of the box, which is clipped to the frame, that no cover hides."""
    if not covers or box.area == 0.0:
        return 1.0
    left, top = int(box.x1), int(box.y1)
    window = _Window(left, top, max(left + 1, round(box.x2)), max(top + 1, round(box.y2)))
    clear = np.prod([1.0 - _warped_cutout(cover, window) for cover in covers], axis=0)
    return float(clear.mean())


def _faces_in_frame(episode: Episode, number: int, index: int) -> Iterator[_FaceInFrame]:
    frame = episode.shot_starts[number] + index
    for other, share in _shares(episode, number, index):
        yield from _faces_of_shot(episode, other, frame - episode.shot_starts[other], share)


def _faces_of_shot(
    episode: Episode, number: int, index: int, share: float
) -> Iterator[_FaceInFrame]:
    """Yield the faces of a shot in its frame ``index``, of which ``share`` is in the picture."""
    shot = episode.shots[number]
    shown = share * shot.look.clearness(index, shot.frames)
    layers = _layers(episode, number, index)
    for depth, layer in enumerate(layers):
        for place, face in enumerate(layer.photo.faces):
            whole = layer.placement.box(face.box)
            box = whole.clipped(episode.width, episode.height)
            in_frame = box.area / whole.area
            visibility = in_frame * _uncovered(box, layers[depth + 1 :]) * shown
            yield _FaceInFrame((number, depth, place), face.person, box, visibility)


@dataclass
class _Visits:
    """Hands out ids: a visit ends when its face has no row for longer than ``lost_seconds``."""

    lost_seconds: float
    identities: dict[int, Identity] = field(default_factory=dict)
    _open: dict[tuple[int, int, int], tuple[int, float]] = field(default_factory=dict)

    def see(self, face: _FaceInFrame, frame: int, seconds: float) -> int:
        """Return the id of this face's visit and note that it lasts until ``frame``."""
        number, seen = self._open.get(face.key, (0, -math.inf))
        if seconds - seen > self.lost_seconds:
            number = len(self.identities) + 1
            self.identities[number] = Identity(number, face.person, frame, frame)
        self._open[face.key] = number, seconds
        first = self.identities[number].first_frame
        self.identities[number] = Identity(number, face.person, first, frame)
        return number


def ground_truth(episode: Episode) -> GroundTruth:
    """Compute the exact ground truth of an episode from its geometry.

    A face has a row while at least :data:`MIN_VISIBILITY` of it shows. Its id ends at a cut, in
    the middle of a dissolve, and when it has had no row for longer than the episode's
    ``lost_seconds``, be it out of the frame or behind somebody.
    """
    visits = _Visits(episode.lost_seconds)
    rows: list[TruthRow] = []
    partial: list[TruthRow] = []
    for number, (shot, start) in enumerate(zip(episode.shots, episode.shot_starts, strict=True)):
        for frame, index in enumerate(range(shot.frames), start):
            for face in _faces_in_frame(episode, number, index):
                if face.visibility >= MIN_VISIBILITY:
                    visit = visits.see(face, frame, episode.seconds(frame))
                    rows.append(TruthRow(frame, visit, face.box, face.visibility))
                elif face.visibility >= HARDLY_VISIBLE:
                    partial.append(TruthRow(frame, NOBODY, face.box, face.visibility))
    rows.sort(key=lambda row: (row.frame, row.id))
    return GroundTruth(tuple(rows), tuple(visits.identities.values()), tuple(partial))
