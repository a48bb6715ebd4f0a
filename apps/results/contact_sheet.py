"""One picture of all tracks of a run.

A row a track: its number, first and last sighting, seconds on the screen, and its best crops; the
longest first. Needs a run with crops.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.common.contracts.rows import TrackRow, read_rows
from apps.common.layout import RunFiles
from apps.common.names import track_number

Image = NDArray[np.uint8]
TILE = 112  # pixels, width and height of one crop
LABEL_WIDTH = 210
GAP = 6
COLUMNS = 5
MAX_TRACKS = 200  # more would be a picture that no viewer opens
BACKGROUND, TEXT, FAINT = (28, 24, 24), (235, 235, 235), (160, 160, 160)


def draw(run_folder: Path) -> Image | None:
    """Shape (height, width, 3), BGR; None where the run has no tracks or no crops."""
    files = RunFiles(run_folder)
    tracks = [row for row in read_rows(files.tracks, TrackRow) if row is not None]
    tracks.sort(key=_length, reverse=True)
    if not any(track.sample_thumbs for track in tracks):
        return None
    rows = [_row(files, track) for track in tracks[:MAX_TRACKS]]
    return np.vstack(rows)


def _length(track: TrackRow) -> float:
    return 0.0 if track.screen is None else track.screen.seconds


def label(track: TrackRow) -> list[str]:
    """What a track's row says, line by line."""
    screen, stats = track.screen, track.stats
    return [
        f"Track {'?' if track.track_id is None else track_number(track.track_id)}",
        f"seen {_clock(track.start_s)} - {_clock(track.end_s)}",
        "" if screen is None else f"on screen {screen.seconds:.1f} s",
        f"{stats.detections or 0} faces, confidence {stats.avg_conf or 0:.2f}",
    ]


def _row(files: RunFiles, track: TrackRow) -> Image:
    width = LABEL_WIDTH + COLUMNS * (TILE + GAP) + GAP
    row = np.full((TILE + GAP, width, 3), BACKGROUND, np.uint8)
    title, *lines = label(track)
    _write(row, title, 30, 0.7, TEXT)
    for number, line in enumerate(lines):
        _write(row, line, 56 + 22 * number, 0.5, FAINT)
    for column, name in enumerate((track.sample_thumbs or [])[:COLUMNS]):
        crop = files.sample(name)
        tile = None if crop is None else cv2.imread(str(crop))
        if tile is not None:
            left = LABEL_WIDTH + column * (TILE + GAP)
            row[GAP // 2 : GAP // 2 + TILE, left : left + TILE] = _square(tile)
    return row


def _square(image: Image) -> Image:
    """Scaled to fit a tile, centred."""
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE, TILE, 3), BACKGROUND, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _write(row: Image, text: str, y: int, scale: float, color: tuple[int, int, int]) -> None:
    cv2.putText(row, text, (12, y), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def write(run_folder: Path) -> Path | None:
    """Writes `contact_sheet.jpg` into the run's folder; None where there is nothing to show."""
    sheet = draw(run_folder)
    if sheet is None:
        return None
    path = RunFiles(run_folder).contact_sheet
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return path
