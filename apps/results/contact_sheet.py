"""Draws one picture of all tracks of a run: `python apps/results/contact_sheet.py RUN_FOLDER`.

A row a track: its number, first and last sighting, seconds on the screen, and its best crops; the
longest first. Needs a run with crops.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.common.files import read_jsonl, shown
from apps.common.screen_time import screen_time

Image = NDArray[np.uint8]
TILE = 112  # pixels, width and height of one crop
LABEL_WIDTH = 210
GAP = 6
COLUMNS = 5
MAX_TRACKS = 200  # more would be a picture that no viewer opens
BACKGROUND, TEXT, FAINT = (28, 24, 24), (235, 235, 235), (160, 160, 160)


def draw(run_folder: Path) -> Image | None:
    """Shape (height, width, 3), BGR; None where the run has no tracks or no crops."""
    tracks = sorted(read_jsonl(run_folder / "tracks.jsonl"), key=_length, reverse=True)
    if not any(track["sample_thumbs"] for track in tracks):
        return None
    rows = [_row(run_folder, track) for track in tracks[:MAX_TRACKS]]
    return np.vstack(rows)


def _length(track: dict[str, Any]) -> float:
    screen = screen_time(track)
    return 0.0 if screen is None else screen.seconds


def label(track: dict[str, Any]) -> list[str]:
    """What a track's row says, line by line.

    Args:
        track: a row of `tracks.jsonl`.
    """
    screen, stats = screen_time(track), track["stats"]
    return [
        f"Track {track['track_id'].rpartition('-')[2].lstrip('0')}",
        f"seen {_clock(track['start_s'])} - {_clock(track['end_s'])}",
        "" if screen is None else f"on screen {screen.seconds:.1f} s",
        f"{stats['detections']} faces, confidence {stats['avg_conf']:.2f}",
    ]


def _row(run_folder: Path, track: dict[str, Any]) -> Image:
    width = LABEL_WIDTH + COLUMNS * (TILE + GAP) + GAP
    row = np.full((TILE + GAP, width, 3), BACKGROUND, np.uint8)
    title, *lines = label(track)
    _write(row, title, 30, 0.7, TEXT)
    for number, line in enumerate(lines):
        _write(row, line, 56 + 22 * number, 0.5, FAINT)
    for column, name in enumerate(track["sample_thumbs"][:COLUMNS]):
        tile = cv2.imread(str(run_folder / name))
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


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def write(run_folder: Path) -> Path | None:
    """Writes `contact_sheet.jpg` into the run's folder; None where there is nothing to show."""
    sheet = draw(run_folder)
    if sheet is None:
        return None
    path = run_folder / "contact_sheet.jpg"
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="One picture of all tracks of a run.")
    p.add_argument("run_folder", type=Path, help="data/manifests/<ep_id>/runs/<run_id>")
    return p


def main() -> int:
    path = write(parser().parse_args().run_folder)
    if path is None:
        print("error: the run has no tracks with crops. Run with --save-crops.", file=sys.stderr)
        return 1
    print(shown(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
