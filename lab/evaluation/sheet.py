"""Pictures of identity errors: of each its last right and its first wrong sighting, side by side.

Green boxes are what is true, with the identity's number below; dim green ones need not be found.
Boxes of other colours are tracks, with the track's number above. Thick ones are those of the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.common.files import storage_errors, write_atomic
from apps.pipeline.decode.video import open_video
from lab.evaluation.errors import TAKEOVER, IdentityError
from lab.evaluation.rows import NO_ROWS, Found, Rows, Truth

Image = NDArray[np.uint8]
Color = tuple[int, int, int]  # blue, green, red

MAX_ERRORS = 24  # of a sheet; more would be a picture that no viewer opens
LEGEND = 26  # height of the line on top, pixels
_TILE = (480, 270)  # width and height of one frame's part, pixels
_CAPTION = 26  # height of the line above two tiles, pixels
_GAP = 8
_COLUMNS = 2  # errors side by side
_FACES = 4.0  # width of what is shown, in widths of the place where the error is
_MIN_SHARE = 0.2  # of the picture's width, that is shown
_BACKGROUND, _EMPTY, _TEXT = (28, 24, 24), (58, 52, 52), (235, 235, 235)
_TRUE, _IGNORED = (80, 220, 80), (60, 120, 60)
_TRACKS: tuple[Color, ...] = (
    (60, 160, 255),
    (255, 170, 60),
    (200, 90, 255),
    (80, 230, 255),
    (110, 110, 255),
    (255, 255, 110),
    (200, 170, 255),
)
_LEGEND_WORDS = (
    ("green: true faces, number below", _TRUE),
    ("dim green: need not be found", _IGNORED),
    *zip(("other colours:", "tracks,", "number above"), _TRACKS, strict=False),
    ("thick: the boxes of the error", _TEXT),
)


@dataclass(frozen=True)
class Sheet:
    """The errors of one video at one stride.

    Args:
        title: begins each caption.
        video: the frames' source; None draws boxes on an empty ground.
        size: width and height of its picture, pixels.
        stride: at which it was sampled.
        errors: where the tracks of `found` and the identities of `truth` part.
        stream: index of the video's stream in its file; see `open_video`.
    """

    title: str
    video: Path | None
    size: tuple[int, int]
    stride: int
    truth: Truth
    found: Found
    errors: Sequence[IdentityError]
    stream: int | None = None


@dataclass(frozen=True)
class _Side:
    """One frame of an error.

    Args:
        window: [x1, y1, x2, y2] of what is shown, pixels of the video's picture.
        identities, track: whose boxes are thick.
    """

    frame: int
    label: str
    window: NDArray[np.float64]
    identities: tuple[int, ...]
    tracks: tuple[int, ...]


def write_sheet(sheets: Sequence[Sheet], path: Path) -> Path | None:
    """Writes a PNG with the first errors of all sheets; None where there are no errors.

    Raises:
        VideoUnreadable: a video cannot be read.
        StorageFailed: the folder is not writable.
    """
    panels = [panel for sheet in sheets for panel in _panels(sheet)][:MAX_ERRORS]
    if not panels:
        return None
    lines = [_line(panels[start : start + _COLUMNS]) for start in range(0, len(panels), _COLUMNS)]
    picture = np.vstack([_legend(lines[0].shape[1]), *lines])
    encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encoded)
    return path


def _legend(width: int) -> Image:
    """The line on top that says what the colours are."""
    legend = np.full((LEGEND, width, 3), _BACKGROUND, np.uint8)
    left = _GAP
    for text, color in _LEGEND_WORDS:
        _write(legend, text, (left, LEGEND - 9), color, 0.5)
        left += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] + 3 * _GAP
    return legend


def _line(panels: Sequence[Image]) -> Image:
    """Panels side by side, filled up on the right."""
    missing = [np.full_like(panels[0], 0)] * (_COLUMNS - len(panels))
    for panel in missing:
        panel[:] = _BACKGROUND
    return np.hstack([*panels, *missing])


def _panels(sheet: Sheet) -> Iterator[Image]:
    """Of each error a caption and two tiles."""
    errors = sheet.errors[:MAX_ERRORS]
    pairs = [_sides(error, sheet) for error in errors]
    ground = _grounds(sheet, [side for pair in pairs for side in pair])
    for place, (error, pair) in enumerate(zip(errors, pairs, strict=True)):
        tiles = [
            _drawn(side, ground[2 * place + number], sheet) for number, side in enumerate(pair)
        ]
        width, height = _TILE
        panel = np.full((_CAPTION + height + _GAP, 2 * width + 3 * _GAP, 3), _BACKGROUND, np.uint8)
        _write(panel, f"{sheet.title}: {_sentence(error)}", (_GAP, _CAPTION - 9), _TEXT, 0.5)
        for number, tile in enumerate(tiles):
            left = _GAP + number * (width + _GAP)
            panel[_CAPTION : _CAPTION + height, left : left + width] = tile
        yield panel


def _sentence(error: IdentityError) -> str:
    frames = f"frames {error.last_right} -> {error.frame}"
    if error.kind == TAKEOVER:
        faces = f"from face {error.identity_before} to {error.identity}"
        return f"takeover, {frames}: track {error.track} goes {faces}"
    return f"split, {frames}: face {error.identity} goes on in {error.track}, not in " + str(
        error.track_before
    )


def _sides(error: IdentityError, sheet: Sheet) -> tuple[_Side, _Side]:
    """The frame of the last right sighting, and that of the first wrong one."""
    truth = sheet.truth
    before = _box(truth, error.last_right, error.identity_before)
    now = _box(truth, error.frame, error.identity)
    window = _window(np.vstack([before, now]), sheet.size)
    identities = (error.identity_before, error.identity)
    others = () if error.track_before is None else (error.track_before,)
    tracks = (error.track, *others)
    return (
        _Side(error.last_right, "last right", window, identities, tracks),
        _Side(error.frame, "first wrong", window, identities, tracks),
    )


def _box(truth: Truth, frame: int, identity: int) -> NDArray[np.float64]:
    for frames in (truth.rows, truth.ignored):
        rows = frames.get(frame, NO_ROWS)
        if identity in rows.ids:
            return np.asarray(rows.boxes[rows.ids == identity][:1], np.float64)
    raise ValueError(f"identity {identity} is not in frame {frame}")


def _window(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """What is shown of a picture: around some boxes, in the shape of a tile."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    tile = np.array(_TILE, np.float64)
    face = float((boxes[:, 2:] - boxes[:, :2]).max())
    width = max(float(size[0]) * _MIN_SHARE, _FACES * face)
    width = max(width, *(1.5 * (high - low) * np.array([1.0, tile[0] / tile[1]])))
    width = min(width, max(float(size[0]), size[1] * tile[0] / tile[1]))
    sides = width * np.array([1.0, tile[1] / tile[0]])
    corner = (low + high - sides) / 2
    corner = np.maximum(0.0, np.minimum(corner, np.array(size) - sides))
    return np.concatenate([corner, corner + sides])


def _grounds(sheet: Sheet, sides: Sequence[_Side]) -> dict[int, Image]:
    """A tile for each side, by its place: the video's picture, or an empty one."""
    width, height = _TILE
    grounds = {place: np.full((height, width, 3), _EMPTY, np.uint8) for place in range(len(sides))}
    wanted: dict[int, list[int]] = {}
    for place, side in enumerate(sides):
        wanted.setdefault(side.frame, []).append(place)
    if sheet.video is None or not wanted:
        return grounds
    with open_video(sheet.video, threads=1, stream=sheet.stream) as video:
        for decoded in video.sampled(sheet.stride):
            if decoded.index > max(wanted):
                break
            if decoded.index in wanted:
                image = decoded.picture.pixels()
                for place in wanted[decoded.index]:
                    grounds[place] = _cut(image, sides[place].window)
    return grounds


def _cut(image: Image, window: NDArray[np.float64]) -> Image:
    """A part of a picture at a tile's size, black where it goes over the edge."""
    scale = _TILE[0] / (window[2] - window[0])
    to_tile = np.array([[scale, 0, -window[0] * scale], [0, scale, -window[1] * scale]])
    return np.asarray(cv2.warpAffine(image, to_tile, _TILE, flags=cv2.INTER_AREA), np.uint8)


def _drawn(side: _Side, ground: Image, sheet: Sheet) -> Image:
    tile = ground.copy()
    truth, frame = sheet.truth, side.frame
    for rows, color in (
        (truth.ignored.get(frame, NO_ROWS), _IGNORED),
        (truth.rows.get(frame, NO_ROWS), _TRUE),
    ):
        _boxes(tile, rows, side.window, side.identities, (color,), is_below=True)
    tracked = sheet.found.rows.get(frame, NO_ROWS).tracked
    _boxes(tile, tracked, side.window, side.tracks, _TRACKS, is_below=False)
    _write(tile, f"frame {frame}, {side.label}", (8, _TILE[1] - 10), _TEXT, 0.5)
    return tile


def _boxes(
    tile: Image,
    rows: Rows,
    window: NDArray[np.float64],
    thick: tuple[int, ...],
    colors: tuple[Color, ...],
    *,
    is_below: bool,
) -> None:
    """Draws boxes with their numbers.

    Args:
        thick: numbers of those that are drawn thick.
        colors: taken in turn, by the number.
        is_below: where the number stands.
    """
    scale = _TILE[0] / (window[2] - window[0])
    for number, box in zip(rows.ids.tolist(), rows.boxes, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in (box - np.tile(window[:2], 2)) * scale)
        color = colors[number % len(colors)]
        cv2.rectangle(tile, (x1, y1), (x2, y2), color, 3 if number in thick else 1, cv2.LINE_AA)
        if number > 0:
            _write(tile, str(number), (x1, y2 + 15 if is_below else y1 - 5), color, 0.55)


def _write(image: Image, text: str, place: tuple[int, int], color: Color, size: float) -> None:
    x, y = place
    for at, shade in (((x + 1, y + 1), (0, 0, 0)), ((x, y), color)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, shade, 1, cv2.LINE_AA)
