"""Photos, cameras and the ground truth of generated episodes.

An :class:`Episode` is a list of :class:`Shot` objects. A shot moves a camera over a background
photo and may move cut-out people (:class:`Sprite`) across it. The pictures and the face boxes go
through the same :class:`Placement`, so the ground truth is exact by construction.

Coordinates are continuous pixels: pixel number ``i`` covers ``[i, i + 1)``, hence the left edge of
an image is ``0`` and the right edge is its width. Pictures are ``uint8`` BGR arrays.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Shape (height, width, 3), BGR, 0..255."""
Mask = NDArray[np.float32]
"""Shape (height, width), 0 (transparent) .. 1 (opaque)."""
Easing = Callable[[float], float]
"""Maps progress 0..1 to progress 0..1."""

MIN_VISIBILITY = 0.5
"""A face is part of the ground truth while at least this fraction of its box shows."""


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

    ``size`` is (width, height) in pixels. ``outline`` are the corners of the polygon around the
    person, for photos which serve as a cut-out.
    """

    package: str
    file: str
    size: tuple[int, int]
    faces: tuple[Face, ...] = ()
    outline: tuple[tuple[int, int], ...] = ()


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
    spec = importlib.util.find_spec(photo.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / photo.file
        if path.is_file():
            return path
    raise FileNotFoundError(f"package {photo.package!r} with {photo.file!r} is not installed")


@lru_cache(maxsize=8)
def load_photo(photo: Photo) -> Image:
    """Return the photo as a read-only (height, width, 3) BGR array."""
    path = photo_path(photo)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot decode {path}")
    if (image.shape[1], image.shape[0]) != photo.size:
        # The face boxes were measured on one certain picture; on another they would be wrong.
        raise ValueError(f"{photo.file} is {image.shape[1]}x{image.shape[0]}, not {photo.size}")
    pixels = np.asarray(image, dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


@lru_cache(maxsize=8)
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
class Camera:
    """Moves from view to view, each leg taking equally long; one view stands still."""

    views: tuple[View, ...]
    easing: Easing = smooth

    def view_at(self, progress: float) -> View:
        """Return the view at ``progress`` 0..1."""
        first, last, t = _leg(progress, len(self.views), self.easing)
        a, b = self.views[first], self.views[last]
        return View(_mix(a.x, b.x, t), _mix(a.y, b.y, t), _mix_scale(a.width, b.width, t))


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
    """One camera setting without a cut, ``frames`` frames long. Later sprites lie on top."""

    frames: int
    background: Photo
    camera: Camera
    sprites: tuple[Sprite, ...] = ()

    def progress(self, index: int) -> float:
        """Return 0..1 for frame number ``index`` of this shot (0-based)."""
        return index / (self.frames - 1) if self.frames > 1 else 0.0


@dataclass(frozen=True)
class Episode:
    """A list of shots with hard cuts between them."""

    ep_id: str
    shots: tuple[Shot, ...]
    width: int = 1280
    height: int = 720
    fps: int = 24

    def __post_init__(self) -> None:
        """Refuse empty shots and cameras that look past the edge of a photo (black borders)."""
        for number, shot in enumerate(self.shots):
            if shot.frames < 1 or not shot.camera.views:
                raise ValueError(f"shot {number} is empty")
            # Centres mix linearly and widths at most linearly, so the views in between fit too.
            for view in shot.camera.views:
                half_w, half_h = view.width / 2, view.width / 2 * self.height / self.width
                fits_x = half_w <= view.x <= shot.background.size[0] - half_w
                fits_y = half_h <= view.y <= shot.background.size[1] - half_h
                if not (fits_x and fits_y):
                    raise ValueError(f"shot {number}: {view} leaves {shot.background.file}")

    @property
    def frames(self) -> int:
        """Number of frames in total."""
        return sum(shot.frames for shot in self.shots)

    @property
    def shot_starts(self) -> tuple[int, ...]:
        """0-based number of the first frame of each shot; the first one is 0."""
        return tuple(accumulate((shot.frames for shot in self.shots[:-1]), initial=0))

    @property
    def cuts(self) -> tuple[int, ...]:
        """0-based number of the first frame after each cut."""
        return self.shot_starts[1:]


# -------------------------------------------------------------------------------------- rendering


@dataclass(frozen=True)
class _Layer:
    """A photo placed on the frame; the background has no mask and fills the frame."""

    photo: Photo
    placement: Placement
    is_cutout: bool


def _layers(episode: Episode, shot: Shot, index: int) -> tuple[_Layer, ...]:
    """Return what frame ``index`` of the shot is made of, from back to front."""
    progress = shot.progress(index)
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


def _warped_photo(episode: Episode, layer: _Layer) -> Image:
    """Return the layer's photo moved to its place, frame size; edge pixels repeat outside."""
    frame = cv2.warpAffine(
        load_photo(layer.photo),
        layer.placement.warp_matrix(),
        (episode.width, episode.height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(frame, dtype=np.uint8)


def _warped_cutout(episode: Episode, layer: _Layer) -> Mask:
    """Return the layer's opacity moved to its place, frame size; nothing outside the photo."""
    mask = cv2.warpAffine(
        load_cutout(layer.photo),
        layer.placement.warp_matrix(),
        (episode.width, episode.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0.0,),
    )
    return np.asarray(mask, dtype=np.float32)


def _render_frame(episode: Episode, shot: Shot, index: int) -> Image:
    back, *sprites = _layers(episode, shot, index)
    frame = _warped_photo(episode, back)
    for layer in sprites:
        opacity = _warped_cutout(episode, layer)
        blended = cv2.blendLinear(_warped_photo(episode, layer), frame, opacity, 1.0 - opacity)
        frame = np.asarray(blended, dtype=np.uint8)
    return frame


def render_frames(episode: Episode) -> Iterator[Image]:
    """Yield every frame of the episode in order, each (height, width, 3) BGR."""
    for shot in episode.shots:
        for index in range(shot.frames):
            yield _render_frame(episode, shot, index)


# ----------------------------------------------------------------------------------- ground truth


@dataclass(frozen=True)
class TruthRow:
    """One face in one frame.

    ``frame`` is 0-based, ``box`` is clipped to the frame, ``visibility`` is the fraction of the
    whole face box that is neither outside the frame nor behind a sprite (0.5..1).
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
    """All rows, ordered by frame and id, and all identities, ordered by id."""

    rows: tuple[TruthRow, ...]
    identities: tuple[Identity, ...]


@dataclass(frozen=True)
class _FaceInFrame:
    """A face in one frame; ``key`` tells it from the other faces of the shot."""

    key: tuple[int, int]
    person: str
    box: Box
    in_frame: float
    visibility: float


def _uncovered(box: Box, covers: list[Mask]) -> float:
    """Return the fraction 0..1 of the box that no cover hides."""
    if not covers or box.area == 0.0:
        return 1.0
    rows = slice(int(box.y1), max(int(box.y1) + 1, round(box.y2)))
    columns = slice(int(box.x1), max(int(box.x1) + 1, round(box.x2)))
    clear = np.prod([1.0 - cover[rows, columns] for cover in covers], axis=0)
    return float(clear.mean())


def _faces_in_frame(episode: Episode, shot: Shot, index: int) -> Iterator[_FaceInFrame]:
    layers = _layers(episode, shot, index)
    masks = [_warped_cutout(episode, layer) for layer in layers[1:]]
    for depth, layer in enumerate(layers):
        for number, face in enumerate(layer.photo.faces):
            whole = layer.placement.box(face.box)
            box = whole.clipped(episode.width, episode.height)
            in_frame = box.area / whole.area
            # masks[depth:] belong to the layers in front of this one.
            visibility = in_frame * _uncovered(box, masks[depth:])
            yield _FaceInFrame((depth, number), face.person, box, in_frame, visibility)


@dataclass
class _Visits:
    """Hands out ids: a visit starts with its first row and ends when the face is out of frame."""

    identities: dict[int, Identity] = field(default_factory=dict)
    _open: dict[tuple[int, int], int] = field(default_factory=dict)

    def cut(self) -> None:
        """End all visits."""
        self._open.clear()

    def leave(self, face: _FaceInFrame) -> None:
        """End the visit of this face, if there is one."""
        self._open.pop(face.key, None)

    def see(self, face: _FaceInFrame, frame: int) -> int:
        """Return the id of this face's visit and note that it lasts until ``frame``."""
        number = self._open.setdefault(face.key, len(self.identities) + 1)
        known = self.identities.get(number)
        first = known.first_frame if known else frame
        self.identities[number] = Identity(number, face.person, first, frame)
        return number


def ground_truth(episode: Episode) -> GroundTruth:
    """Compute the exact ground truth of an episode from its geometry.

    A face has a row while at least :data:`MIN_VISIBILITY` of it shows. Its id ends at a cut and
    when less than that is inside the frame; behind a sprite only the rows pause, the id stays.
    """
    visits = _Visits()
    rows: list[TruthRow] = []
    for shot, start in zip(episode.shots, episode.shot_starts, strict=True):
        visits.cut()
        for index in range(shot.frames):
            for face in _faces_in_frame(episode, shot, index):
                if face.in_frame < MIN_VISIBILITY:
                    visits.leave(face)
                elif face.visibility >= MIN_VISIBILITY:
                    number = visits.see(face, start + index)
                    rows.append(TruthRow(start + index, number, face.box, face.visibility))
    rows.sort(key=lambda row: (row.frame, row.id))
    return GroundTruth(tuple(rows), tuple(visits.identities.values()))
